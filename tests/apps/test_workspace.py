"""Making a workspace: complete, in both languages, and never over what is there."""

import pytest

from apps.errors import WorkspaceError
from apps.settings import SETTINGS_NAME, CustomerServiceSettings, load_settings
from apps.wiring import scenarios
from apps.workspace import create_workspace, with_encoder


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_new_workspace_has_valid_settings_and_returns_every_file(tmp_path, language):
    files = create_workspace(tmp_path / "a" / "b", language=language)
    assert files == _files(tmp_path / "a" / "b")
    assert {SETTINGS_NAME, "customer_service/intents.csv", "monitoring/stream.jsonl"} <= set(files)
    assert not [name for name in files if name.endswith((".py", ".pyc"))]
    settings = load_settings(tmp_path / "a" / "b")
    wanted = {
        "en": ["customer_service", "monitoring", "recommendation"],
        "zh": ["customer_service", "monitoring", "recommendation"],
    }
    assert scenarios(settings) == wanted[language]
    assert settings.customer_service.handover_text.isascii() == (language == "en")


def test_an_empty_folder_may_become_a_workspace(tmp_path):
    assert SETTINGS_NAME in create_workspace(tmp_path)


def test_a_folder_that_holds_anything_is_refused_and_nothing_is_touched(tmp_path):
    (tmp_path / ".hidden").write_text("mine")
    with pytest.raises(WorkspaceError, match="is not empty"):
        create_workspace(tmp_path)
    assert _files(tmp_path) == [".hidden"]


def test_a_file_in_the_place_is_refused_and_stays(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(WorkspaceError, match="is not empty"):
        create_workspace(file)
    assert file.read_text() == "mine"


def test_a_workspace_is_never_made_twice(tmp_path):
    create_workspace(tmp_path / "w", language="zh")
    intents = tmp_path / "w" / "customer_service" / "intents.csv"
    intents.write_text("mine")
    with pytest.raises(WorkspaceError):
        create_workspace(tmp_path / "w", language="zh")
    assert intents.read_text() == "mine"


def test_a_copy_that_broke_off_is_no_workspace(tmp_path, monkeypatch):
    def break_off(source, folder, **_):
        folder.mkdir()
        (folder / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("apps.workspace.shutil.copytree", break_off)
    with pytest.raises(WorkspaceError, match="cannot be written: No space left"):
        create_workspace(tmp_path / "w")
    assert _files(tmp_path / "w") == ["half"]


def test_a_chinese_workspace_goes_by_words_until_its_encoder_reads_chinese(tmp_path):
    create_workspace(tmp_path / "words", language="zh")
    create_workspace(tmp_path / "meaning", language="zh", encoder="multilingual-e5-small")
    words, meaning = (load_settings(tmp_path / name).customer_service for name in ("words", "meaning"))
    usual = CustomerServiceSettings()
    assert words.word_weight > usual.word_weight
    assert words.min_relevance < usual.min_relevance
    assert (meaning.word_weight, meaning.min_relevance) == (usual.word_weight, usual.min_relevance)
    text = (tmp_path / "words" / SETTINGS_NAME).read_text("utf-8")
    assert with_encoder(with_encoder(text, "a"), "multilingual-e5-small") == (
        tmp_path / "meaning" / SETTINGS_NAME
    ).read_text("utf-8")
