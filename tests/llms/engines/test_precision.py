"""A chat model's precision is chosen by size, processor and free memory, and what cannot fit is refused at once."""

import json

import pytest

from llms.engines import precision as precision_choice
from llms.engines.choosing import EngineOptions, open_engine
from llms.engines.memory import free_bytes
from llms.engines.precision import choose_precision, count_weights
from llms.errors import ModelFolderError, ModelMemoryError, UnsupportedOptionError
from tests.tiny_models import build_chat_model

GIB = 2**30
CACHE = GIB // 4


def _folder(path, *, dtype="bfloat16", layers=28, vocabulary=150_000):
    """Write the headers of a model, 1.5 billion weights if nothing else is said, without any weights."""
    path.mkdir()
    hidden = 1536
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden]}
    shapes |= {f"model.layers.{n}.mlp.up_proj.weight": [hidden * 30, hidden // 2 * 1] for n in range(layers)}
    kind = {"bfloat16": "BF16", "float32": "F32"}[dtype]
    header = json.dumps({name: {"dtype": kind, "shape": shape} for name, shape in shapes.items()}).encode()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (path / "config.json").write_text(json.dumps({"vocab_size": vocabulary, "dtype": dtype}), "utf-8")
    return path


def _choose(folder, precision="auto", *, stored=False):
    return choose_precision(folder, precision, kv_cache_bytes=CACHE, is_stored=lambda _: stored)


@pytest.fixture
def free(monkeypatch):
    """A function that says how much memory is free."""
    return lambda value: monkeypatch.setattr(precision_choice, "free_bytes", lambda: value)


def test_weights_are_counted_from_the_headers(tmp_path):
    counts = count_weights(_folder(tmp_path / "m", layers=2, vocabulary=1000))
    assert counts.tables == 1000 * 1536
    assert counts.matrices == 2 * 46080 * 768
    assert counts.file_bytes == 2 * (counts.tables + counts.matrices)


def test_a_large_model_runs_in_int8(tmp_path, free):
    free(16 * GIB)
    chosen = _choose(_folder(tmp_path / "m"))
    assert chosen.name == "int8"
    assert "keeps the answers" in chosen.reason


def test_int4_is_taken_only_where_int8_does_not_fit(tmp_path, free):
    folder = _folder(tmp_path / "m")  # 1.22 GiB of weights at 8 bits, 0.79 at 4
    free(int(1.7 * GIB))
    chosen = _choose(folder, stored=True)
    assert chosen.name == "int4"
    assert "int8 needs 1,832 MiB of memory and 1,740 MiB are free" in chosen.reason
    free(2 * GIB)
    assert _choose(folder, stored=True).name == "int8"


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_small_model_keeps_its_precision_where_the_processor_multiplies_it(
    tmp_path, free, monkeypatch, native, expected
):
    free(16 * GIB)
    monkeypatch.setattr(precision_choice, "wants_bfloat16", lambda device: native)
    folder = _folder(tmp_path / "m", layers=1, vocabulary=1000)
    assert _choose(folder).name == expected
    assert _choose(_folder(tmp_path / "full", dtype="float32", layers=1, vocabulary=1000)).name == "float32"


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16", "int8", "int4"])
def test_what_cannot_fit_is_refused_with_both_numbers(tmp_path, free, precision):
    free(100 * 2**20)
    with pytest.raises(ModelMemoryError, match=r"needs [\d,]+ MiB of memory, 100 MiB are free.*max_kv_cache_mb"):
        _choose(_folder(tmp_path / "m"), precision)


def test_where_free_memory_is_not_known_nothing_is_refused(tmp_path, free):
    free(None)
    assert _choose(_folder(tmp_path / "m"), "float32").name == "float32"
    assert _choose(_folder(tmp_path / "n")).name == "int8"


def test_a_file_that_is_no_safetensors_file_is_named(tmp_path):
    folder = _folder(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is no safetensors file"):
        count_weights(folder)


def test_free_memory_is_a_number_of_this_machine():
    free = free_bytes()
    assert free is None or 2**20 < free < 2**50


def test_too_little_memory_does_not_lead_to_the_torch_engine(tmp_path, free):
    pytest.importorskip("openvino_genai")
    free(2**20)
    with pytest.raises(ModelMemoryError, match="1 MiB are free"):
        open_engine(build_chat_model(tmp_path), None, EngineOptions(device="cpu"))
    assert not (tmp_path / "openvino").exists()


def test_int4_needs_openvino(tmp_path):
    with pytest.raises(UnsupportedOptionError, match='precision="int4" runs on the OpenVINO engine only'):
        open_engine(build_chat_model(tmp_path), None, EngineOptions(device="cpu", engine="torch", precision="int4"))
