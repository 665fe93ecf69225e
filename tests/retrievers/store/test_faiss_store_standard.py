"""LangChain's own suites for stores, document indexes and retrievers."""

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

from llms.fakes import HashedEmbeddings
from retrievers import FaissDocumentIndex, FaissStore, HybridRetriever


class TestStoreInMemory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        with FaissStore(embedding=self.get_embeddings()) as store:
            yield store


class TestStoreInFolder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        with FaissStore(tmp_path / "store", embedding=self.get_embeddings()) as store:
            yield store


class TestNamespaceWithHnsw(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        with FaissStore(tmp_path, embedding=self.get_embeddings(), namespace="店铺 A", index="hnsw") as store:
            yield store


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, tmp_path):
        with FaissStore(tmp_path / "store", embedding=HashedEmbeddings()) as store:
            yield FaissDocumentIndex(store=store)


class TestDocumentIndexAsync(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    def index(self, tmp_path):
        with FaissStore(tmp_path / "store", embedding=HashedEmbeddings()) as store:
            yield FaissDocumentIndex(store=store)


class _RetrieverSuite(RetrieversIntegrationTests):
    @property
    def retriever_query_example(self):
        return "a charging cable"


class TestHybridRetriever(_RetrieverSuite):
    @pytest.fixture(autouse=True)
    def _store(self, store):
        self.store = store

    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}


class TestDocumentIndexAsRetriever(TestHybridRetriever):
    @property
    def retriever_constructor(self):
        return FaissDocumentIndex
