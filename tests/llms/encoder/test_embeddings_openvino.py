"""An encoder on OpenVINO gives torch's vectors, is exported once, and is never used half-written or outdated."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("openvino")

from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from llms import LocalEmbeddings
from llms.device import has_integer_products
from llms.encoder import export as encoder_export
from llms.encoder.export import export_encoder, find_encoder_export
from llms.encoder.sentences import CALIBRATION, PROBES
from llms.errors import EngineError
from llms.loading import folder_fingerprint, resolve_model
from llms.openvino_export import read_manifest
from tests.contracts import EmbeddingsContract
from tests.llms.pipelines import build_pipeline
from tests.tiny_models import build_sentence_encoder

TEXTS = ["card", "where is my parcel? it is late", "", "退货要多久", "word " * 80, "Refund MY money"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An encoder with its three exports beside it; do not change it."""
    folder = build_sentence_encoder(tmp_path_factory.mktemp("models") / "encoder")
    for precision in ("float32", "bfloat16", "int8"):
        export_encoder(folder, precision=precision)
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "encoder")


@pytest.fixture
def plain(encoder_folder, tmp_path):
    """A copy without exports."""
    return shutil.copytree(encoder_folder, tmp_path / "plain", ignore=shutil.ignore_patterns("openvino"))


@pytest.fixture
def count_exports(monkeypatch):
    """A list of the precisions that were really exported."""
    made = []
    load = encoder_export._load

    def counted(export):
        made.append(export.precision)
        return load(export)

    monkeypatch.setattr(encoder_export, "_load", counted)
    return made


class _Parameters:
    @pytest.fixture(autouse=True)
    def _folder(self, exported):
        self.folder = exported

    @property
    def embeddings_class(self):
        return LocalEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": self.folder, "engine": "openvino", "precision": "int8"}


class TestLangChainUnit(_Parameters, EmbeddingsUnitTests):
    pass


class TestLangChainIntegration(_Parameters, EmbeddingsIntegrationTests):
    pass


class TestContract(EmbeddingsContract):
    @pytest.fixture
    def embeddings(self, exported):
        return LocalEmbeddings(exported, engine="openvino", precision="float32", batch_size=2)


@pytest.mark.parametrize(
    ("precision", "closeness"),
    [("float32", 0.99999), ("bfloat16", 0.999), ("int8", 0.99 if has_integer_products() else 0.95)],
)
def test_vectors_are_close_to_those_of_torch(exported, precision, closeness):
    expected = LocalEmbeddings(exported, engine="torch", precision="float32").embed_array(TEXTS)
    found = LocalEmbeddings(exported, engine="openvino", precision=precision).embed_array(TEXTS)
    assert (expected * found).sum(axis=1).min() > closeness
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 20])
def test_vectors_do_not_depend_on_how_many_texts_come_together(exported, size):
    texts = [" ".join(["parcel", "lost", "in", "transit"][: 1 + i % 4] * (1 + 7 * (i % 3))) for i in range(20)]
    expected = LocalEmbeddings(exported, engine="torch", precision="float32").embed_array(texts)
    embeddings = LocalEmbeddings(exported, engine="openvino", precision="float32")
    parts = [embeddings.embed_array(texts[begin : begin + size]) for begin in range(0, len(texts), size)]
    assert np.concatenate(parts) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("pooling", ["max", ("cls", "mean")])
def test_pooling_and_projection_are_carried_over(encoder_folder, tmp_path, pooling):
    folder = build_pipeline(encoder_folder, tmp_path / "model", pooling=pooling)
    expected = LocalEmbeddings(folder, engine="torch", precision="float32").embed_array(TEXTS)
    embeddings = LocalEmbeddings(folder, engine="openvino", precision="float32")
    assert embeddings.embed_array(TEXTS) == pytest.approx(expected, abs=1e-4)
    assert embeddings.dimension == 8


def test_prompts_are_carried_over(plain):
    config = {"prompts": {"query": "where is ", "document": "refund: "}, "default_prompt_name": None}
    (plain / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    torch, openvino = (LocalEmbeddings(plain, engine=engine, precision="float32") for engine in ("torch", "openvino"))
    for role in ("query", "document"):
        assert openvino.embed_array(TEXTS, role=role) == pytest.approx(torch.embed_array(TEXTS, role=role), abs=1e-4)


def test_a_pipeline_that_cannot_be_reproduced_is_refused_with_the_reason(encoder_folder, tmp_path):
    folder = build_pipeline(encoder_folder, tmp_path / "model", pooling="mean", include_prompt=False)
    with pytest.raises(EngineError, match="pooling leaves the prompt out"):
        LocalEmbeddings(folder, engine="openvino", precision="float32").embed_query("card")
    assert LocalEmbeddings(folder, device="cpu").engine_reason.startswith("torch")


def test_an_export_too_far_from_torch_is_refused_and_the_number_is_named(plain, monkeypatch):
    monkeypatch.setitem(encoder_export._MIN_MEAN_COSINE, "int8", 1.01)
    with pytest.raises(EngineError, match=r"int8 vectors have a mean cosine of 0\.\d{4} .* at least 1\.0"):
        LocalEmbeddings(plain, engine="openvino", precision="int8").embed_query("card")
    assert find_encoder_export(plain, precision="int8") is None
    assert list((plain / "openvino").iterdir()) == []  # nothing half-written is left


def test_an_export_whose_vectors_are_no_numbers_is_refused_in_these_words(plain, monkeypatch):
    encode = encoder_export.OpenVinoEncoder.encode
    monkeypatch.setattr(encoder_export.OpenVinoEncoder, "encode", lambda self, texts: encode(self, texts) * np.nan)
    with pytest.raises(EngineError, match=rf"{len(PROBES)} of {len(PROBES)} of its vectors are no numbers"):
        LocalEmbeddings(plain, engine="openvino", precision="float32").embed_query("card")


def test_vectors_are_as_short_as_the_model_was_saved_to_make_them(plain):
    path = plain / "config_sentence_transformers.json"
    path.write_text(json.dumps({"truncate_dim": 3}), encoding="utf-8")
    exported = LocalEmbeddings(plain, engine="openvino", precision="float32")
    expected = LocalEmbeddings(plain, engine="torch", precision="float32").embed_array(TEXTS)
    assert exported.embed_array(TEXTS) == pytest.approx(expected, abs=1e-3)


def test_what_was_measured_is_written_down(exported):
    manifest = read_manifest(exported / "openvino" / "encoder-int8")
    assert manifest["identity"]["fingerprint"] == folder_fingerprint(exported)
    assert manifest["identity"]["precision"] == "int8"
    assert manifest["verified"]["texts"] == len(PROBES)
    assert encoder_export._MIN_MEAN_COSINE["int8"] <= manifest["verified"]["mean_cosine"] <= 1.0001
    assert sorted(manifest["files"]) == ["encoder.bin", "encoder.xml", "tokenizer.json"]


def test_an_export_is_no_part_of_the_model(exported, tmp_path):
    plain = shutil.copytree(exported, tmp_path / "model", ignore=shutil.ignore_patterns("openvino"))
    assert folder_fingerprint(exported) == folder_fingerprint(plain)
    assert resolve_model(exported) == exported


def test_the_fingerprint_is_the_same_in_every_precision(exported):
    names = {LocalEmbeddings(exported, precision=name).fingerprint for name in ("float32", "bfloat16", "int8")}
    assert len(names) == 1


def test_a_model_is_exported_once(folder, count_exports):
    for _ in range(2):
        LocalEmbeddings(folder, engine="openvino", precision="float32").embed_query("card")
    assert count_exports == []


def test_threads_that_ask_at_once_export_once(plain, count_exports):
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(LocalEmbeddings(plain, precision="bfloat16", engine="openvino").embed_query, "card")] * 4
        assert len({tuple(call.result()) for call in calls}) == 1
    assert count_exports == ["bfloat16"]


@pytest.mark.parametrize("damage", ["other weights", "missing file", "changed graph", "no manifest", "broken manifest"])
def test_an_outdated_or_damaged_export_is_never_used(folder, count_exports, damage):
    export = folder / "openvino" / "encoder-float32"
    if damage == "other weights":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    elif damage == "missing file":
        (export / "encoder.bin").unlink()
    elif damage == "changed graph":
        (export / "encoder.bin").write_bytes((export / "encoder.bin").read_bytes() + b"x")
    elif damage == "no manifest":
        (export / "manifest.json").unlink()
    else:
        (export / "manifest.json").write_text("{", encoding="utf-8")
    assert find_encoder_export(folder, precision="float32") is None
    assert LocalEmbeddings(folder, device="cpu", precision="float32").engine_reason.startswith("torch")
    LocalEmbeddings(folder, engine="openvino", precision="float32").embed_query("card")
    assert count_exports == ["float32"]
    assert find_encoder_export(folder, precision="float32") == export


def test_auto_takes_an_export_that_is_there(exported):
    embeddings = LocalEmbeddings(exported, device="cpu", precision="float32")
    assert embeddings.engine_reason.startswith("openvino, float32")
    assert embeddings._encoder.name == "openvino"


def test_a_model_in_a_folder_that_cannot_be_written_is_exported_elsewhere(plain, tmp_path, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    export = export_encoder(plain, precision="float32")
    assert export.is_relative_to(tmp_path / "home" / ".cache" / "tunechain")
    assert not (plain / "openvino").exists()


def test_no_sentence_is_both_calibrated_and_measured_on():
    assert not set(CALIBRATION) & set(PROBES)
    assert len(set(PROBES)) == len(PROBES)


def test_an_exported_encoder_runs_without_torch(exported):
    code = (
        "import sys; from pathlib import Path; from llms.encoder.openvino import load_openvino_encoder\n"
        "encoder = load_openvino_encoder(Path(sys.argv[1]))\n"
        "assert encoder.encode(['card']).shape == (1, 32)\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    export = exported / "openvino" / "encoder-int8"
    subprocess.run([sys.executable, "-c", code, str(export)], check=True)
