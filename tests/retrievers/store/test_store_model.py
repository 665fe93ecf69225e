"""A state machine that compares a store with a dict, in any order of changes."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from llms.fakes import HashedEmbeddings
from retrievers import FaissStore

WORDS = ["red", "blue", "shoe", "sky", "退货", "cable"]
_ids = st.sampled_from([f"id{place}" for place in range(12)])
_texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
_metadata = st.fixed_dictionaries({}, optional={"n": st.integers(0, 3), "tag": st.sampled_from(["a", "b"])})
_embedding = HashedEmbeddings(dimension=8)


class StoreMachine(RuleBasedStateMachine):
    """A store and the dict it should equal; another object reads the same folder."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "0"
        self.documents = {}  # id -> (text, metadata), oldest first
        self.store = self._open()
        self.reader = self._open()

    def _open(self):
        return FaissStore(self.folder, embedding=_embedding, index="hnsw", durable=False)

    @rule(rows=st.dictionaries(_ids, st.tuples(_texts, _metadata), min_size=1, max_size=5))
    def add(self, rows):
        assert self.store.add_texts(
            [text for text, _ in rows.values()], [metadata for _, metadata in rows.values()], ids=list(rows)
        ) == list(rows)
        for id_, row in rows.items():
            self.documents.pop(id_, None)
            self.documents[id_] = row

    @rule(text=_texts, metadata=_metadata)
    def add_without_an_id(self, text, metadata):
        (id_,) = self.store.add_texts([text], [metadata])
        self.documents.pop(id_, None)
        self.documents[id_] = (text, metadata)

    @rule(ids=st.lists(_ids, max_size=4))
    def delete(self, ids):
        self.store.delete(ids)
        self.documents = {id_: row for id_, row in self.documents.items() if id_ not in ids}

    @precondition(lambda self: len(self.documents) > 6)
    @rule()
    def delete_all(self):
        self.store.delete()
        self.documents = {}

    @rule()
    def compact(self):
        self.store.compact()

    @rule()
    def reopen(self):
        self.store.close()
        self.store = self._open()

    @rule()
    def crash(self):
        """Go on with what lies on the disk at this moment, as after a kill."""
        after = self.root / f"{int(self.folder.name) + 1}"
        shutil.copytree(self.folder, after)
        self._close()
        self.folder = after
        self.store, self.reader = self._open(), self._open()

    @rule(query=_texts, k=st.integers(1, 15), n=st.none() | st.integers(0, 3))
    def search(self, query, k, n):
        condition = None if n is None else {"n": n}
        allowed = {id_: text for id_, (text, metadata) in self.documents.items() if n is None or metadata.get("n") == n}
        vectors = np.array(_embedding.embed_documents(list(allowed.values()))).reshape(-1, 8)
        right = sorted((vectors @ np.array(_embedding.embed_query(query))).tolist(), reverse=True)[:k]
        for store in (self.store, self.reader):
            found = store.similarity_search_with_score(query, k, filter=condition)
            assert {document.id for document, _ in found} <= set(allowed)
            assert [score for _, score in found] == pytest.approx(right, abs=1e-5)
            assert all(document.page_content == allowed[document.id] for document, _ in found)

    @rule(word=st.sampled_from(WORDS))
    def search_words(self, word):
        right = {id_ for id_, (text, _) in self.documents.items() if word in text.split()}
        for store in (self.store, self.reader):
            assert {document.id for document, _ in store.keyword_search(word, k=99)} == right

    @rule(ids=st.lists(_ids, max_size=4))
    def get(self, ids):
        right = [(id_, *self.documents[id_]) for id_ in ids if id_ in self.documents]
        found = [(document.id, document.page_content, document.metadata) for document in self.store.get_by_ids(ids)]
        assert found == right

    @invariant()
    def holds_what_the_dict_holds(self):
        found = [(document.id, document.page_content, document.metadata) for document in self.store.all_documents()]
        assert found == [(id_, *row) for id_, row in self.documents.items()]
        assert len(self.store) == len(self.reader) == len(self.documents)

    def _close(self):
        self.store.close()
        self.reader.close()

    def teardown(self):
        self._close()
        shutil.rmtree(self.root)


def _run(*, num_runs, num_steps):
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=num_runs,
            stateful_step_count=num_steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_store_equals_a_dict():
    _run(num_runs=20, num_steps=25)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_store_equals_a_dict_over_ten_thousand_steps():
    _run(num_runs=250, num_steps=50)
