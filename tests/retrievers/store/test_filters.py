"""Metadata filters: equal to a scan over all documents, and errors instead of guesses."""

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import InputTextError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import FilterError
from retrievers.store.filters import parse_filter

FIELDS = ["a", "b", "a b", "a.b", "价格", "it's", "back\\slash", "x[0]", ""]
_plain = (
    st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([-1.5, 0.25, 2.0, 1e18, 2**53, 2**53 + 1, 2**70, -(2**70)])
    | st.sampled_from(["", "a", "B", "退货", "1", "it's", 'say "hi"', "[1]", "%"])
)
_values = _plain | st.none() | st.lists(_plain | st.none() | st.just([1]), max_size=3) | st.just({"deep": 1})
_fields = st.sampled_from(FIELDS)
_comparisons = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), _plain),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(_plain, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
)
_leaves = st.dictionaries(
    _fields, _plain | st.lists(_comparisons, min_size=1, max_size=2).map(dict), min_size=1, max_size=2
)
_filters = st.recursive(
    _leaves,
    lambda inner: (
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: dict([pair])
        )
        | inner.map(lambda condition: {"$not": condition})
    ),
    max_leaves=4,
)
ORDERS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def matches(condition, metadata):
    """Say whether a document matches, by the words of the documentation."""
    return all(_matches_one(name, value, metadata) for name, value in condition.items())


def _matches_one(name, value, metadata):
    if name == "$and":
        return all(matches(part, metadata) for part in value)
    if name == "$or":
        return any(matches(part, metadata) for part in value)
    if name == "$not":
        return not matches(value, metadata)
    operators = value if isinstance(value, dict) else {"$eq": value}
    return all(_compares(metadata, name, word, wanted) for word, wanted in operators.items())


def _compares(metadata, field, word, wanted):
    if word == "$exists":
        return (field in metadata) == wanted
    have = metadata.get(field)
    entries = have if isinstance(have, list) else [have]
    entries = [entry for entry in entries if isinstance(entry, str | int | float)]
    if word in ("$ne", "$nin"):
        unwanted = wanted if word == "$nin" else [wanted]
        return isinstance(have, str | int | float | list) and not any(entry in unwanted for entry in entries)
    if word in ("$eq", "$in"):
        return any(entry in (wanted if word == "$in" else [wanted]) for entry in entries)
    return any(isinstance(entry, str) == isinstance(wanted, str) and ORDERS[word](entry, wanted) for entry in entries)


@given(st.lists(st.dictionaries(_fields, _values, max_size=4), min_size=1, max_size=8), st.lists(_filters, max_size=4))
def test_a_filtered_search_finds_what_a_scan_finds(metadatas, conditions):
    store = FaissStore(embedding=HashedEmbeddings(dimension=4))
    store.add_texts(["text"] * len(metadatas), metadatas, ids=[str(i) for i in range(len(metadatas))])
    for condition in conditions:
        found = {document.id for document in store.similarity_search("text", k=100, filter=condition)}
        assert found == {str(i) for i, metadata in enumerate(metadatas) if matches(condition, metadata)}
    store.close()


def test_k_documents_are_found_though_few_of_many_match():
    store = FaissStore(embedding=HashedEmbeddings(dimension=8))
    store.add_texts([f"text {i}" for i in range(500)], [{"rare": i % 100 == 7} for i in range(500)])
    for search in (store.similarity_search, store.max_marginal_relevance_search):
        found = search("text 3", k=5, filter={"rare": True})
        assert len(found) == 5
        assert all(document.metadata["rare"] for document in found)
    store.close()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"price": {"$gt": 1}}, set()),
        ({"price": {"$ne": 1}}, set()),
        ({"price": {"$nin": []}}, set()),
        ({"price": {"$exists": False}}, {"x"}),
        ({"$not": {"price": 1}}, {"x"}),
    ],
)
def test_a_missing_field_matches_only_its_absence(embedding, condition, expected):
    store = FaissStore(embedding=embedding)
    store.add_texts(["text"], [{"other": 1}], ids=["x"])
    assert {document.id for document in store.similarity_search("text", filter=condition)} == expected


def test_text_and_numbers_have_no_order(embedding):
    store = FaissStore(embedding=embedding)
    store.add_texts(["n", "t"], [{"year": 1999}, {"year": "1999"}], ids=["number", "text"])
    for condition, expected in (({"$lt": "2"}, "text"), ({"$lt": 2000}, "number")):
        found = store.similarity_search("n", filter={"year": condition})
        assert [document.id for document in found] == [expected]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({}, "non-empty mapping"),
        ([], "non-empty mapping"),
        ("a = 1", "non-empty mapping"),
        ({"a": {"$regex": "x"}}, r"unknown filter operator '\$regex'; known are \$and, \$eq"),
        ({"a": {"eq": 1}}, "unknown filter operator 'eq'"),
        ({"$nor": [{"a": 1}]}, r"unknown filter operator '\$nor'"),
        ({"a": {}}, "empty mapping"),
        ({"a": None}, "None"),
        ({"a": [1]}, "cannot compare"),
        ({"a": {"$gt": None}}, "cannot compare"),
        ({"a": math.nan}, "nan"),
        ({"a": {"$in": "abc"}}, "takes a list of values, got 'abc'"),
        ({"a": {"$in": 5}}, "takes a list of values"),
        ({"a": {"$in": [None]}}, "cannot compare"),
        ({"$and": {"a": 1}}, "takes a non-empty list of filters"),
        ({"$or": []}, "takes a non-empty list of filters"),
        ({"$not": []}, "non-empty mapping"),
    ],
)
def test_a_filter_without_a_meaning_is_refused_with_the_reason(condition, reason):
    with pytest.raises(FilterError, match=reason):
        parse_filter(condition)


@pytest.mark.parametrize("condition", [{"a": "\ud800"}, {"\ud800": 1}, {"a": {"$in": ["\x00"]}}])
def test_a_text_no_document_can_hold_is_refused(condition):
    with pytest.raises(InputTextError):
        parse_filter(condition)


def test_deep_nesting_is_refused():
    condition = {"a": 1}
    for _ in range(11):
        condition = {"$not": condition}
    with pytest.raises(FilterError, match="10 levels"):
        parse_filter(condition)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"tags": "red"}, {"both"}),
        ({"tags": {"$in": ["red", "blue"]}}, {"both", "one"}),
        ({"tags": {"$ne": "red"}}, {"one", "none", "text"}),
        ({"tags": {"$nin": ["red", "blue"]}}, {"none", "text"}),
        ({"tags": {"$exists": True}}, {"both", "one", "none", "text"}),
        ({"tags": {"$gt": 5}}, {"both"}),
    ],
)
def test_a_list_matches_by_its_entries(embedding, condition, expected):
    store = FaissStore(embedding=embedding)
    lists = {"both": ["red", "blue", 7], "one": ["blue", 5], "none": [], "text": "green"}
    store.add_texts(["text"] * 5, [*({"tags": tags} for tags in lists.values()), {}], ids=[*lists, "missing"])
    assert {document.id for document in store.similarity_search("text", k=9, filter=condition)} == expected


def test_a_filter_sees_documents_added_replaced_and_removed_since_the_last(embedding):
    store = FaissStore(embedding=embedding)
    for round_ in range(4):
        ids = [f"{round_}-{place}" for place in range(5)]
        store.add_texts([f"text {id_}" for id_ in ids], [{"round": round_, "n": n} for n in range(5)], ids=ids)
        store.add_texts(["again"], [{"round": round_, "n": 9}], ids=[ids[0]])
        store.delete([ids[1]])
        assert len(store.similarity_search("text", k=99, filter={"round": round_})) == 4
        assert len(store.similarity_search("text", k=99, filter={"n": 9})) == round_ + 1
    assert store.similarity_search("text", k=99, filter={"other": 1}) == []
    assert len(store.similarity_search("text", k=99, filter={"other": {"$exists": False}})) == 16
