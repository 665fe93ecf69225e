"""The encoder that is installed with the library."""

import shutil

import numpy as np
import pytest

from llms import LocalEmbeddings
from llms.device import has_integer_products
from llms.openvino_export import read_manifest
from retrievers import FaissStore, HybridRetriever

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embeddings():
    return LocalEmbeddings()


def test_texts_of_one_meaning_are_closer_than_texts_of_another(embeddings):
    pairs = [
        ("How long does delivery take?", "When will my parcel arrive?", "The cat sleeps on the sofa."),
        ("I lost my bank card", "My debit card was stolen", "What is the exchange rate?"),
        ("reset my password", "I cannot log in any more", "a recipe for apple pie"),
    ]
    for text, near, far in pairs:
        vectors = np.array(embeddings.embed_documents([text, near, far]))
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_vectors_have_the_published_dimension(embeddings):
    assert embeddings.dimension == 384


def test_a_text_beyond_the_limit_of_the_model_has_a_vector(embeddings):
    assert np.linalg.norm(embeddings.embed_query("a long text " * 2000)) == pytest.approx(1.0, abs=1e-3)


def test_half_precision_moves_no_vector_far(embeddings):
    texts = ["How long does delivery take?", "reset my password"]
    full, half = (np.array(LocalEmbeddings(precision=name).embed_documents(texts)) for name in ("float32", "bfloat16"))
    assert (full * half).sum(axis=1).min() > 0.999


@pytest.mark.skipif(not has_integer_products(), reason="this processor has no VNNI: sums of 8-bit products are cut off")
def test_integer_products_keep_the_vectors_close(tmp_path):
    pytest.importorskip("openvino")
    # a copy: the export must not be written beside the installed model
    folder = shutil.copytree(LocalEmbeddings().folder, tmp_path / "model", ignore=shutil.ignore_patterns("openvino"))
    texts = [
        "I still have not received my new card, I ordered over a week ago.",
        "Zero-dimensional biomaterials show inductive properties.",
        "reset my password",
        "What is the capital of a country with two official languages, and how many people live there today?",
    ]
    full = LocalEmbeddings(folder, engine="torch", precision="float32").embed_array(texts)
    int8 = LocalEmbeddings(folder, engine="openvino", precision="int8")
    cosines = (full * int8.embed_array(texts)).sum(axis=1)
    assert cosines.mean() >= 0.995
    assert cosines.min() >= 0.98
    assert read_manifest(folder / "openvino" / "encoder-int8")["verified"]["mean_cosine"] >= 0.995


def test_a_question_finds_the_page_that_answers_it(embeddings):
    store = FaissStore(embedding=embeddings)
    pages = [
        "Parcels arrive within three working days.",
        "Cards can be blocked in the app.",
        "We are hiring engineers.",
    ]
    store.add_texts(pages, ids=["delivery", "card", "jobs"])
    for question, wanted in (("When does my order come?", "delivery"), ("my card was stolen", "card")):
        assert HybridRetriever(store=store, k=1).invoke(question)[0].id == wanted
