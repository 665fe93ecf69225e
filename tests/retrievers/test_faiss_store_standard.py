"""LangChain's own suites for stores and retrievers."""

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from retrievers import FaissStore, HybridRetriever


class TestStoreInMemory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        store = FaissStore(embedding=self.get_embeddings())
        yield store
        store.close()


class TestStoreInFolder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = FaissStore(tmp_path / "store", embedding=self.get_embeddings())
        yield store
        store.close()


class TestHybridRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _store(self, store):
        self.store = store

    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}

    @property
    def retriever_query_example(self):
        return "a charging cable"
