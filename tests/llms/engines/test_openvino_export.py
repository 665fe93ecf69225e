"""An export is accepted only when its tokens are torch's, is kept, and is made anew when it must be."""

import contextlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("openvino_genai")

from llms.engines.openvino_backend import export as openvino_export
from llms.engines.openvino_backend import making
from llms.engines.openvino_backend.export import export_openvino
from llms.errors import EngineError
from llms.loading import folder_fingerprint, folder_stamp, resolve_model
from llms.openvino_export import export_once, read_manifest
from tests.llms.engines.decoders import build_decoder
from tests.tiny_models import build_chat_model, build_chat_tokenizer


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model folder with a float32 export beside it; do not change it."""
    folder = build_chat_model(tmp_path_factory.mktemp("models") / "chat")
    export_openvino(folder, precision="float32")
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "model")


@pytest.fixture
def count_exports(monkeypatch):
    """A list of the precisions that were really exported."""
    made = []

    def write(source, work, *, precision, identity):
        made.append(precision)
        (work / "manifest.json").write_text(json.dumps({"identity": identity}), encoding="utf-8")

    monkeypatch.setattr(openvino_export, "_write_export", write)
    return made


def test_what_was_compared_is_written_down(exported):
    manifest = read_manifest(exported / "openvino" / "float32")
    assert manifest["verified"] == {"prompt_tokens": [5, 37, 150], "answer_tokens": 16}
    assert manifest["cache_shapes"] == [[2, 16, 16]]
    assert manifest["context_tokens"] == 512
    assert manifest["end_ids"] == [258]


def test_an_export_is_no_part_of_the_model(exported, tmp_path):
    plain = shutil.copytree(exported, tmp_path / "model", ignore=shutil.ignore_patterns("openvino"))
    assert folder_fingerprint(exported) == folder_fingerprint(plain)
    assert not [name for name, *_ in folder_stamp(exported) if "openvino" in name]
    assert resolve_model(exported) == exported


def test_a_right_export_is_used_again(folder, count_exports):
    assert export_openvino(folder, precision="float32") == folder / "openvino" / "float32"
    assert count_exports == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_changed_model_is_exported_anew(folder, count_exports, name):
    with (folder / name).open("ab") as file:
        file.write(b" ")
    for _ in range(2):
        export_openvino(folder, precision="float32")
    assert count_exports == ["float32"]
    assert not list((folder / "openvino").glob(".*"))  # nothing half-done is left


def test_other_versions_of_the_libraries_export_anew(folder, count_exports, monkeypatch):
    monkeypatch.setattr(openvino_export, "version", lambda name: "0.0")
    export_openvino(folder, precision="float32")
    assert count_exports == ["float32"]


def test_an_export_without_its_manifest_is_not_used(folder, count_exports):
    (folder / "openvino" / "float32" / "manifest.json").unlink()
    export_openvino(folder, precision="float32")
    assert count_exports == ["float32"]


def test_exports_at_the_same_time_do_not_break_each_other(folder, count_exports, monkeypatch):
    shutil.rmtree(folder / "openvino")
    monkeypatch.setattr("llms.openvino_export._EXPORTING", contextlib.nullcontext())  # as if processes
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: export_openvino(folder, precision="int8"), range(16)))
    assert set(places) == {folder / "openvino" / "int8"}
    assert [path.name for path in (folder / "openvino").iterdir()] == ["int8"]


def test_a_folder_that_cannot_be_written_is_exported_elsewhere(folder, count_exports, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = export_openvino(folder, precision="float32")
    assert place == tmp_path / ".cache" / "tunechain" / "openvino" / folder_fingerprint(folder) / "float32"


def test_a_missing_package_names_the_install_line(tmp_path):
    with pytest.raises(EngineError, match="needs the package no_such_package; run: pip install openvino"):
        export_once(tmp_path, pytest.fail, is_current=lambda _: True, packages=["openvino", "no_such_package"])


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "int4"])
def test_smaller_weights_are_verified_as_they_are_stored(folder, precision, capfd):
    export = export_openvino(folder, precision=precision)
    size = {path.name: path.stat().st_size for path in export.iterdir()}
    full = (folder / "openvino" / "float32" / "openvino_model.bin").stat().st_size
    assert size["openvino_model.bin"] < full * (0.6 if precision == "bfloat16" else 0.45)
    assert read_manifest(export)["verified"]["answer_tokens"] == 16
    assert capfd.readouterr().out == ""  # no log, no progress bar


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gemma3", "its cache is made of DynamicSlidingWindowLayer, not of plain keys and values"),
        ("gpt_neo", "its attention has no SDPA form"),
        ("bloom", "its attention has no SDPA form"),
        ("mamba", "its attention has no SDPA form"),
    ],
)
def test_what_paged_attention_cannot_express_is_refused_with_the_reason(tmp_path, name, reason):
    model = _gpt_neo() if name == "gpt_neo" else build_decoder(name)
    _save(model, tmp_path)
    with pytest.raises(EngineError, match=f"{reason}.*so the torch engine is used"):
        export_openvino(tmp_path)
    assert list((tmp_path / "openvino").iterdir()) == []


def test_other_tokens_than_those_of_torch_are_refused(tmp_path, monkeypatch):
    _save(build_decoder("llama"), tmp_path)
    answers = making._openvino_answers

    def wrong(export, prompts):
        found = answers(export, prompts)
        found[1][3] += 1
        return found

    monkeypatch.setattr(making, "_openvino_answers", wrong)
    with pytest.raises(EngineError, match="tokens differ from torch's at position 3 after a prompt of 37 tokens"):
        export_openvino(tmp_path, precision="float32")


def _save(model, folder):
    model.save_pretrained(folder)
    build_chat_tokenizer().save_pretrained(folder)


def _gpt_neo():
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=259,
            hidden_size=32,
            num_layers=2,
            num_heads=2,
            attention_types=[[["global", "local"], 1]],
            max_position_embeddings=128,
            intermediate_size=32,
        )
    )


def test_no_library_reports_the_conversion(exported):
    from openvino_telemetry import Telemetry

    assert not Telemetry("any", "1", "any", "ga4", enable_opt_in_dialog=False).consent
