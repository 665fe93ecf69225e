"""A cross-encoder puts documents in the order of its outputs and changes nothing else about them."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

from llms import LocalReranker
from llms.errors import (
    InputTextError,
    ModelFolderError,
    ModelNotFoundError,
    OptionValueError,
    UnknownOptionError,
    UnsafeModelError,
)
from tests.tiny_models import build_cross_encoder

QUERY = "where is my parcel"
TEXTS = ["card lost", "the parcel is late", "refund my money back please", "", "退货要多久", "order " * 80]


@pytest.fixture(scope="module")
def cross_encoder_folder(tmp_path_factory):
    """A cross-encoder with random weights; do not change it."""
    return build_cross_encoder(tmp_path_factory.mktemp("models") / "tiny-cross-encoder")


@pytest.fixture
def folder(cross_encoder_folder, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(cross_encoder_folder, tmp_path / "cross-encoder")


@pytest.fixture
def reranker(cross_encoder_folder):
    return LocalReranker(cross_encoder_folder, device="cpu", precision="float32")


@pytest.fixture
def documents():
    return [Document(text, id=str(place), metadata={"place": place}) for place, text in enumerate(TEXTS)]


def test_scores_are_those_of_the_library(reranker, cross_encoder_folder):
    from sentence_transformers import CrossEncoder

    library = CrossEncoder(str(cross_encoder_folder), device="cpu")
    expected = library.predict([(QUERY, text) for text in TEXTS])
    assert reranker.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_folder_saved_by_sentence_transformers_gives_the_same_scores(reranker, cross_encoder_folder, tmp_path):
    from sentence_transformers import CrossEncoder

    saved = tmp_path / "saved"
    CrossEncoder(str(cross_encoder_folder), device="cpu").save_pretrained(str(saved), create_model_card=False)
    assert LocalReranker(saved, precision="float32").score(QUERY, TEXTS) == pytest.approx(
        reranker.score(QUERY, TEXTS), abs=1e-5
    )


def test_scores_are_float32_between_zero_and_one(reranker):
    scores = reranker.score(QUERY, TEXTS)
    assert (scores.shape, scores.dtype) == ((len(TEXTS),), np.float32)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert len(set(scores.tolist())) > 1
    assert reranker.score(QUERY, []).shape == (0,)


def test_documents_come_best_first_with_their_score(reranker, documents):
    ranked = reranker.compress_documents(documents, QUERY)
    scores = [document.metadata["rerank_score"] for document in ranked]
    assert isinstance(reranker, BaseDocumentCompressor)
    assert scores == sorted(scores, reverse=True)
    assert sorted(document.id for document in ranked) == [document.id for document in documents]
    expected = dict(enumerate(reranker.score(QUERY, TEXTS).tolist()))
    assert {document.metadata["place"]: document.metadata["rerank_score"] for document in ranked} == expected


def test_the_documents_passed_in_stay_as_they_were(reranker, documents):
    before = [document.model_copy(deep=True) for document in documents]
    reranker.compress_documents(documents, QUERY)
    assert documents == before


def test_equal_documents_keep_their_order(reranker):
    documents = [Document("card lost", metadata={"place": place}) for place in range(5)]
    assert [document.metadata["place"] for document in reranker.compress_documents(documents, QUERY)] == list(range(5))


def test_only_the_best_come_back(cross_encoder_folder, reranker, documents):
    best = LocalReranker(cross_encoder_folder, top_n=2, precision="float32").compress_documents(documents, QUERY)
    assert [document.id for document in best] == [
        document.id for document in reranker.compress_documents(documents, QUERY)[:2]
    ]
    assert reranker.compress_documents([], QUERY) == []


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_batch_size_changes_no_score(cross_encoder_folder, reranker, batch_size):
    batched = LocalReranker(cross_encoder_folder, batch_size=batch_size, precision="float32")
    assert batched.score(QUERY, TEXTS) == pytest.approx(reranker.score(QUERY, TEXTS), abs=1e-5)


@pytest.mark.parametrize("token", ["[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"])
def test_a_control_token_in_a_text_is_plain_text(reranker, token):
    encode = reranker._cross_encoder._tokenizer.encode
    pair = encode(f"where {token}", f"card {token} lost")
    assert pair.tokens.count("[SEP]") == 2
    assert pair.tokens.count("[CLS]") == 1
    assert not {"[PAD]", "[MASK]", "[UNK]"} & set(pair.tokens)


async def test_async_equals_sync(reranker, documents):
    assert await reranker.acompress_documents(documents, QUERY) == reranker.compress_documents(documents, QUERY)
    assert (await reranker.ascore(QUERY, TEXTS)).tolist() == reranker.score(QUERY, TEXTS).tolist()


def test_threads_get_their_own_scores(reranker):
    queries = ["card", "refund my money", "parcel late"] * 4
    expected = [reranker.score(query, TEXTS) for query in queries]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda query: reranker.score(query, TEXTS), queries))
    assert np.stack(found) == pytest.approx(np.stack(expected), abs=1e-5)


def test_the_same_folder_is_loaded_once(cross_encoder_folder):
    first, second = (LocalReranker(cross_encoder_folder)._cross_encoder for _ in range(2))
    assert first is second


def test_construction_loads_no_weights(folder):
    reranker = LocalReranker(folder)
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelFolderError, match="cannot be loaded as a cross-encoder"):
        reranker.score(QUERY, TEXTS)


def test_texts_are_checked(reranker):
    with pytest.raises(InputTextError, match="surrogate"):
        reranker.score("\ud83d", TEXTS)
    with pytest.raises(InputTextError, match="NUL"):
        reranker.score(QUERY, ["a\x00b"])


def test_a_model_with_several_outputs_is_refused_at_construction(sequence_classifier_folder):
    with pytest.raises(ModelFolderError, match="has 3 outputs"):
        LocalReranker(sequence_classifier_folder)


def test_a_sentence_encoder_is_refused_at_construction(encoder_folder):
    with pytest.raises(ModelFolderError):
        LocalReranker(encoder_folder)


def test_a_model_that_puts_a_prompt_before_its_pairs_is_refused(folder):
    settings = {"model_type": "CrossEncoder", "prompts": {"q": "find: "}, "default_prompt_name": "q"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="a prompt \\('q'\\)"):
        LocalReranker(folder)


def test_a_model_without_its_head_is_refused(folder):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in arrays.items() if "classifier" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelFolderError, match="lacks the weights of a cross-encoder"):
        LocalReranker(folder).score(QUERY, TEXTS)


def test_pickled_weights_and_code_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeModelError, match="safe_serialization"):
        LocalReranker(folder)


def test_a_missing_model_is_refused_at_construction():
    with pytest.raises(ModelNotFoundError):
        LocalReranker("no-such-model")


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"top_n": 0}, OptionValueError, "top_n must be at least 1, got 0"),
        ({"batch_size": -1}, OptionValueError, "batch_size must be at least 1, got -1"),
        ({"top_n": "many"}, OptionValueError, "top_n: .* got 'many'"),
        ({"precision": "int8"}, OptionValueError, "precision: .* got 'int8'"),
        ({"top_k": 3}, UnknownOptionError, "no option 'top_k'; it takes model, top_n"),
    ],
)
def test_options_that_mean_nothing_are_refused(cross_encoder_folder, options, error, expected):
    with pytest.raises(error, match=expected):
        LocalReranker(cross_encoder_folder, **options)
