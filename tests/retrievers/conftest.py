"""Embeddings and stores for tests of the retrieval layer."""

import pytest

from llms.fakes import HashedEmbeddings
from retrievers import FaissStore

TEXTS = {
    "cable": "A short charging cable for phones",
    "charger": "A charger with 65 watts for laptops",
    "shoe": "Red running shoes",
    "sky": "Blue sky over the mountains",
    "zh": "七天内可以退货",
}


@pytest.fixture
def embedding():
    """Vectors of words: texts that share words are close."""
    return HashedEmbeddings(dimension=16)


@pytest.fixture
def store(embedding):
    """A store in memory with five documents."""
    store = FaissStore(embedding=embedding)
    store.add_texts(list(TEXTS.values()), [{"place": place} for place in range(len(TEXTS))], ids=list(TEXTS))
    yield store
    store.close()
