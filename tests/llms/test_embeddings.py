"""Local sentence vectors: LangChain's suites, the contract, and what is special to them."""

import json
import logging
import shutil
import threading

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from llms import LocalEmbeddings
from llms.encoder import load_encoder, quiet_loading
from llms.errors import ModelFolderError, ModelNotFoundError, UnknownOptionError
from tests.contracts import EmbeddingsContract


class _Parameters:
    @pytest.fixture(autouse=True)
    def _folder(self, encoder_folder):
        self.folder = encoder_folder

    @property
    def embeddings_class(self):
        return LocalEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": self.folder, "device": "cpu"}


class TestLangChainUnit(_Parameters, EmbeddingsUnitTests):
    pass


class TestLangChainIntegration(_Parameters, EmbeddingsIntegrationTests):
    pass


class TestContract(EmbeddingsContract):
    @pytest.fixture
    def embeddings(self, encoder_folder):
        return LocalEmbeddings(encoder_folder, device="cpu", batch_size=2)


@pytest.fixture
def folder(encoder_folder, tmp_path):
    """A copy of the encoder that a test may change."""
    return shutil.copytree(encoder_folder, tmp_path / "encoder")


def test_the_dimension_is_that_of_the_vectors(encoder_folder):
    embeddings = LocalEmbeddings(encoder_folder)
    assert embeddings.dimension == len(embeddings.embed_query("card")) == 32


def test_vectors_are_lists_of_floats(encoder_folder):
    vector = LocalEmbeddings(encoder_folder).embed_query("card")
    assert type(vector) is list
    assert {type(value) for value in vector} == {float}


def test_newlines_reach_the_model_unchanged(folder, monkeypatch):
    embeddings = LocalEmbeddings(folder)
    seen = []
    encode = embeddings._encoder.model.encode_document
    monkeypatch.setattr(embeddings._encoder.model, "encode_document", lambda t, **kw: seen.extend(t) or encode(t, **kw))
    embeddings.embed_documents(["a\n\tb  c"])
    assert seen == ["a\n\tb  c"]


def test_the_prompts_of_the_model_are_used(folder):
    config = {"prompts": {"query": "where is ", "document": "refund: "}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    embeddings = LocalEmbeddings(folder)
    assert embeddings.embed_query("card") != pytest.approx(embeddings.embed_documents(["card"])[0], abs=1e-3)


def test_other_prompts_are_another_fingerprint(folder, encoder_folder):
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}}', encoding="utf-8")
    assert LocalEmbeddings(folder).fingerprint != LocalEmbeddings(encoder_folder).fingerprint


def test_the_fingerprint_changes_when_a_weight_changes(folder, encoder_folder):
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert LocalEmbeddings(folder).fingerprint != LocalEmbeddings(encoder_folder).fingerprint


def test_construction_loads_no_weights(folder):
    embeddings = LocalEmbeddings(folder)
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelFolderError, match="cannot be loaded as a sentence encoder"):
        embeddings.embed_query("card")


def test_the_same_folder_is_loaded_once(encoder_folder):
    assert load_encoder(encoder_folder) is load_encoder(encoder_folder)


def test_a_missing_model_is_refused_at_construction():
    with pytest.raises(ModelNotFoundError):
        LocalEmbeddings("no-such-model")


def test_an_unknown_precision_is_refused(encoder_folder):
    with pytest.raises(UnknownOptionError, match="'float16'"):
        LocalEmbeddings(encoder_folder, precision="float16").embed_query("card")


def test_bfloat16_vectors_are_close_to_float32(encoder_folder):
    full, half = (
        LocalEmbeddings(encoder_folder, precision=name).embed_query("card") for name in ("float32", "bfloat16")
    )
    assert sum(a * b for a, b in zip(full, half, strict=True)) == pytest.approx(1.0, abs=1e-3)


def test_threads_get_their_own_vectors(encoder_folder):
    embeddings = LocalEmbeddings(encoder_folder)
    expected = {text: embeddings.embed_query(text) for text in ("card", "refund my money", "parcel late")}
    wrong = []

    def ask(text):
        answers = [embeddings.embed_query(text) for _ in range(5)]
        wrong.extend(text for answer in answers if answer != pytest.approx(expected[text], abs=1e-5))

    threads = [threading.Thread(target=ask, args=(text,)) for text in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_loading_leaves_logging_levels_as_they_were_even_from_two_threads():
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    before = [logger.level for logger in loggers]
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with quiet_loading():
            inside.set()
            leave.wait(5)

    def follow():
        with quiet_loading():
            pass

    first, second = threading.Thread(target=hold), threading.Thread(target=follow)
    first.start()
    inside.wait(5)
    second.start()
    second.join(0.05)  # without a lock it has come and gone by now, or holds the lowered levels as "before"
    leave.set()
    first.join()
    second.join()
    assert [logger.level for logger in loggers] == before
