"""Metadata as LangChain's retrievers and loaders make them: dates and NumPy numbers are stored, the rest is named."""

import datetime as dt
import math
import uuid
from decimal import Decimal
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

from retrievers import FaissStore
from retrievers.errors import VectorError
from retrievers.store.plain_metadata import plain_metadata

BERLIN = dt.timezone(dt.timedelta(hours=1))


class _Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=BERLIN), "2026-01-02T03:04:00+01:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.int64(4), 4),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([1, 2]), [1, 2]),
        (Decimal("19.90"), "19.90"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b.md"), "a/b.md"),
        ({"b", "a"}, ["a", "b"]),
        ((1, dt.date(2026, 1, 2)), [1, "2026-01-02"]),
        ({"deep": [np.int64(1)]}, {"deep": [1]}),
        (_Colour.RED, "red"),
    ],
)
def test_values_of_other_libraries_are_stored_as_what_can_be_filtered_by(embedding, value, stored):
    store = FaissStore(embedding=embedding)
    store.add_documents([Document("text", metadata={"key": value}, id="x")])
    assert store.get_by_ids(["x"])[0].metadata == {"key": stored}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "'key' is nan, which JSON has not; leave it out"),
        (np.float64("inf"), "'key' is inf"),
        (object(), "'key' is a object, which is neither"),
        (1 + 2j, "'key' is a complex"),
        (dt.timedelta(1), "'key' is a timedelta"),
        (b"x", "'key' is a bytes"),
        ({"deep": [object()]}, r"'key\.deep' is a object"),
        ({(1, 2): 3}, r"key has the key \(1, 2\), which is no text"),
    ],
)
def test_a_refusal_names_document_and_key(embedding, value, reason):
    store = FaissStore(embedding=embedding)
    documents = [Document(f"text {n}", metadata={"key": value} if n == 7 else {}, id=f"d{n}") for n in range(10)]
    with pytest.raises(VectorError, match=rf"^document 8 \(id 'd7'\) cannot be stored: .*{reason}"):
        store.add_documents(documents)
    with pytest.raises(VectorError, match=rf"^document 1 cannot be stored: .*{reason}"):
        store.add_texts(["text"], [{"key": value}])
    assert store.get_by_ids(["d0"]) == []


def test_numbers_as_keys_become_the_texts_that_json_makes_of_them():
    assert plain_metadata({1: "a", None: "c", 1.5: "d"}) == {"1": "a", "null": "c", "1.5": "d"}
    assert plain_metadata({True: "b"}) == {"true": "b"}


def test_nesting_without_end_is_refused(embedding):
    endless = {}
    endless["a"] = endless
    with pytest.raises(VectorError, match="nested"):
        FaissStore(embedding=embedding).add_texts(["text"], [endless])


@pytest.fixture
def store(embedding):
    store = FaissStore(embedding=embedding)
    store.add_texts(
        ["one", "two"], [{"n": 1, "day": dt.date(2026, 1, 1)}, {"n": 2, "day": "2026-02-01"}], ids=["1", "2"]
    )
    return store


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (None, {"1", "2"}),
        ({}, {"1", "2"}),
        ({"n": np.int64(2)}, {"2"}),
        ({"n": {"$in": [np.float32(1), np.int8(7)]}}, {"1"}),
        ({"day": dt.date(2026, 1, 1)}, {"1"}),
        ({"day": {"$gte": dt.date(2026, 1, 15)}}, {"2"}),
    ],
)
def test_filters_take_the_values_that_metadata_take(store, condition, ids):
    assert {found.id for found in store.similarity_search("one", filter=condition)} == ids
    assert {found.id for found, _ in store.similarity_search_with_score("one", filter=condition)} == ids
    assert {found.id for found in store.max_marginal_relevance_search("one", filter=condition)} == ids


def test_what_looks_like_an_object_of_langchain_stays_data(tmp_path, embedding):
    metadata = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_core", "messages", "AIMessage"],
        "kwargs": {"content": "x", "secret": {"lc": 1, "type": "secret", "id": ["PATH"]}},
    }
    with FaissStore(tmp_path, embedding=embedding) as store:
        store.add_documents([Document("text", metadata=metadata)], ids=["1"])
    with FaissStore(tmp_path, embedding=embedding) as store:
        assert store.get_by_ids(["1"])[0].metadata == metadata
        assert store.similarity_search("text", k=1)[0].metadata == metadata
