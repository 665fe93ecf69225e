"""Where an encoder's cosines begin, and what is done so that nothing depends on it."""

import numpy as np
import pytest
from langchain_core.stores import InMemoryByteStore

from llms import LocalEmbeddings
from llms.encoder.cosine_floor import above_floor, find_cosine_floor, remove_shared_part
from llms.fakes import HashedEmbeddings
from tests import tiny_models
from tests.lifted import LiftedEmbeddings


@pytest.mark.parametrize("lift", [0.3, 0.75, 0.95])
@pytest.mark.parametrize("text", ["where is it", "在哪里"])
def test_the_floor_is_the_cosine_of_unrelated_texts(lift, text):
    assert find_cosine_floor(LiftedEmbeddings(lift=lift), text) == pytest.approx(lift, abs=0.2 * (1 - lift))


def test_cosines_around_nothing_have_no_floor():
    assert LiftedEmbeddings(lift=0.0).cosine_floor("where") == 0.0
    assert find_cosine_floor(HashedEmbeddings(), "where") == 0.0  # does not say


def test_an_encoder_is_measured_once_and_not_kept_among_documents(tmp_path):
    encoder = tiny_models.build_sentence_encoder(tmp_path / "encoder", shared=3.0)
    store = InMemoryByteStore()
    embeddings = LocalEmbeddings(encoder, engine="torch", cache=store)
    low = LocalEmbeddings(tiny_models.build_sentence_encoder(tmp_path / "low"), engine="torch")
    assert low.cosine_floor("card") < embeddings.cosine_floor("card") < 1
    assert embeddings.cosine_floor("卡") == embeddings.cosine_floor("退货")
    assert list(store.yield_keys()) == []


def test_what_all_texts_share_is_taken_out():
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((40, 64)).astype(np.float32)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    lifted = np.hstack([plain * np.sqrt(0.2), np.full((40, 1), np.sqrt(0.8))]).astype(np.float32)
    spread = remove_shared_part(lifted, 0.8)
    assert np.linalg.norm(spread, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    np.testing.assert_allclose(spread @ spread.T, plain @ plain.T, atol=0.15)
    assert remove_shared_part(plain, 0.0) is plain
    assert remove_shared_part(plain[:0], 0.8).shape == (0, 64)


def test_one_place_between_floor_and_one():
    assert above_floor(0.75, 0.75) == 0
    assert above_floor(1.0, 0.75) == 1
    assert above_floor(0.7, 0.75) < 0
