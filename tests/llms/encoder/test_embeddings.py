"""Local sentence vectors: LangChain's suites, the contract, and what is special to them."""

import json
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from llms import LocalEmbeddings
from llms.encoder.sentence_encoder import load_encoder
from llms.errors import InputTextError, ModelFolderError, ModelNotFoundError, OptionValueError
from llms.loading import quiet_loading
from tests.contracts import EmbeddingsContract
from tests.llms.pipelines import build_pipeline

TEXTS = ["card", "where is my parcel? it is late", "", "退货要多久", "word " * 80, "Refund MY money"]


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


def test_texts_reach_the_tokenizer_unchanged(encoder_folder):
    embeddings = LocalEmbeddings(encoder_folder)
    texts = [" a\n\tb  c ", "ＡＢＣ", "card\r\nlost"]
    expected = [embeddings._encoder.model.tokenizer(text)["input_ids"] for text in texts]
    assert [row.ids.tolist() for row in embeddings._encoder.prepare(texts, "document")] == expected


def test_the_prompts_of_the_model_are_used(folder):
    config = {"prompts": {"query": "where is ", "document": "refund: "}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    embeddings = LocalEmbeddings(folder)
    assert embeddings.embed_query("card") != pytest.approx(embeddings.embed_documents(["card"])[0], abs=1e-3)


def test_vectors_are_those_of_the_library(encoder_folder):
    embeddings = LocalEmbeddings(encoder_folder, engine="torch", precision="float32")
    expected = embeddings._encoder.model.encode_document(TEXTS, batch_size=2)
    assert embeddings.embed_array(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_prompts_stand_before_the_texts_as_the_library_puts_them(folder):
    config = {"prompts": {"query": "where is ", "passage": "refund: "}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    embeddings = LocalEmbeddings(folder, engine="torch", precision="float32")
    model = embeddings._encoder.model
    assert embeddings.embed_array(TEXTS) == pytest.approx(model.encode_document(TEXTS), abs=1e-5)
    assert embeddings.embed_array(TEXTS, role="query") == pytest.approx(model.encode_query(TEXTS), abs=1e-5)
    assert embeddings._encoder.encode(TEXTS) == pytest.approx(model.encode(TEXTS), abs=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "max", "mean_sqrt_len_tokens", "lasttoken", ("cls", "mean")])
def test_pooling_and_projection_of_the_model_are_used(encoder_folder, tmp_path, pooling):
    folder = build_pipeline(encoder_folder, tmp_path / "model", pooling=pooling)
    embeddings = LocalEmbeddings(folder, engine="torch", precision="float32")
    expected = embeddings._encoder.model.encode(TEXTS, normalize_embeddings=True)
    assert embeddings._encoder._tokenizer is not None
    assert embeddings.dimension == 8
    assert embeddings.embed_array(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_pipeline_of_another_kind_is_run_by_its_own_library(encoder_folder, tmp_path):
    folder = build_pipeline(encoder_folder, tmp_path / "model", pooling="mean", include_prompt=False)
    embeddings = LocalEmbeddings(folder, engine="torch", precision="float32")
    model = embeddings._encoder.model
    assert embeddings._encoder._tokenizer is None
    assert embeddings.embed_array(TEXTS, role="query") == pytest.approx(
        model.encode_query(TEXTS, normalize_embeddings=True), abs=1e-5
    )


def _saved_with(folder, **values):
    path = folder / "config_sentence_transformers.json"
    saved = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(saved | values), encoding="utf-8")
    return folder


def test_vectors_are_as_short_as_the_model_was_saved_to_make_them(folder):
    embeddings = LocalEmbeddings(_saved_with(folder, truncate_dim=3), engine="torch", precision="float32")
    expected = embeddings._encoder.model.encode(TEXTS, normalize_embeddings=True)
    assert embeddings.dimension == 3
    assert embeddings.embed_array(TEXTS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder", "MultiVectorEncoder"])
def test_a_model_that_gives_no_dense_vector_is_refused(folder, kind):
    embeddings = LocalEmbeddings(_saved_with(folder, model_type=kind), engine="torch")
    with pytest.raises(ModelFolderError, match=f"holds a {kind}, not an encoder that gives one dense vector"):
        embeddings.embed_query("card")


def test_an_array_has_one_row_per_text(encoder_folder):
    embeddings = LocalEmbeddings(encoder_folder)
    vectors = embeddings.embed_array(["card", "refund", "card"])
    assert (vectors.shape, vectors.dtype) == ((3, 32), np.float32)
    assert vectors[0].tolist() == vectors[2].tolist()
    assert embeddings.embed_array([]).shape == (0, 32)


def test_a_text_that_comes_twice_is_embedded_once(encoder_folder, monkeypatch):
    embeddings = LocalEmbeddings(encoder_folder)
    seen = []
    prepare = embeddings._encoder.prepare
    monkeypatch.setattr(embeddings._encoder, "prepare", lambda texts, role: seen.extend(texts) or prepare(texts, role))
    embeddings.embed_documents(["card", "lost", "card", "card"])
    assert seen == ["card", "lost"]


def test_an_unknown_role_is_refused(encoder_folder):
    with pytest.raises(OptionValueError, match="'passage'"):
        LocalEmbeddings(encoder_folder).embed_array(["card"], role="passage")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"engine": "onnx"}, "engine must be one of"),
        ({"engine": "torch", "precision": "int8"}, "OpenVINO's alone"),
        ({"engine": "openvino", "device": "cuda"}, "on the CPU only"),
        ({"precision": "int8", "device": "cuda:1"}, "on the CPU only"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"cache": {}}, "must be a LangChain BaseStore"),
    ],
)
def test_options_that_do_not_go_together_are_refused_at_construction(encoder_folder, options, expected):
    with pytest.raises(OptionValueError, match=expected):
        LocalEmbeddings(encoder_folder, **options)


def test_without_an_export_torch_runs_the_model_and_nothing_is_written(folder):
    embeddings = LocalEmbeddings(folder, device="cpu")
    embeddings.embed_query("card")
    assert embeddings.engine_reason.startswith("torch, ")
    assert not (folder / "openvino").exists()


def test_memory_is_bounded_by_padded_tokens(encoder_folder, monkeypatch):
    embeddings = LocalEmbeddings(encoder_folder, engine="torch")
    monkeypatch.setattr(embeddings._encoder, "max_tokens", 100, raising=False)
    sizes = []
    forward = embeddings._encoder._forward
    monkeypatch.setattr(
        embeddings._encoder,
        "_forward",
        lambda batch: sizes.append(len(batch) * max(text.num_tokens for text in batch)) or forward(batch),
    )
    embeddings.embed_documents(["lost card " * length + str(length) for length in range(1, 30)])
    assert max(sizes) <= 100
    assert len(sizes) < 29


def test_the_progress_bar_counts_batches(encoder_folder, capsys):
    LocalEmbeddings(encoder_folder, show_progress=True, batch_size=1).embed_documents(["card", "lost"])
    assert "2/2" in capsys.readouterr().err


def test_one_bad_text_fails_only_its_own_caller(encoder_folder):
    embeddings = LocalEmbeddings(encoder_folder)
    expected = embeddings.embed_query("card")
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(embeddings.embed_query, "\ud83d" if i % 4 == 0 else "card") for i in range(32)]
    assert [isinstance(call.exception(), InputTextError) for call in calls] == [i % 4 == 0 for i in range(32)]
    assert all(call.result() == pytest.approx(expected, abs=1e-5) for i, call in enumerate(calls) if i % 4)


def test_threads_that_wait_share_a_forward_pass(encoder_folder, monkeypatch):
    encoder = LocalEmbeddings(encoder_folder, engine="torch")._encoder
    sizes, begun, go_on = [], threading.Event(), threading.Event()
    forward = encoder._forward

    def slow_forward(batch):
        begun.set()
        go_on.wait(60)
        sizes.append(len(batch))
        return forward(batch)

    monkeypatch.setattr(encoder, "_forward", slow_forward)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(encoder.encode, ["first"])
        begun.wait(60)
        others = [pool.submit(encoder.encode, [f"card {i}"]) for i in range(7)]
        while len(encoder._gatherer._waiting) < 7:
            pass
        go_on.set()
    assert sizes == [1, 7]
    assert all(call.result().shape == (1, 32) for call in [first, *others])


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
    with pytest.raises(OptionValueError, match="'float16'"):
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
            leave.wait(60)

    def follow():
        with quiet_loading():
            pass

    first, second = threading.Thread(target=hold), threading.Thread(target=follow)
    first.start()
    inside.wait(60)
    second.start()
    second.join(0.05)  # without a lock it has come and gone by now, or holds the lowered levels as "before"
    leave.set()
    first.join()
    second.join()
    assert [logger.level for logger in loggers] == before
