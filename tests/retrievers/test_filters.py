"""Metadata filters: equal to a scan over all documents, and errors instead of guesses."""

import math
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llms.errors import InputTextError
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.errors import FilterError
from retrievers.filters import compile_filter

FIELDS = ["a", "b", "a b", "a.b", "价格", "it's", "back\\slash", "x[0]", ""]
_plain = (
    st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([-1.5, 0.25, 2.0, 1e18])
    | st.sampled_from(["", "a", "B", "退货", "1", "it's", 'say "hi"', "[1]", "%"])
)
_values = _plain | st.none() | st.lists(st.integers(0, 2), max_size=2) | st.just({"deep": 1})
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
    if not isinstance(have, str | int | float):
        return False
    if word in ("$eq", "$ne"):
        return (have == wanted) == (word == "$eq")
    if word in ("$in", "$nin"):
        return (have in wanted) == (word == "$in")
    return isinstance(have, str) == isinstance(wanted, str) and ORDERS[word](have, wanted)


@settings(max_examples=200)
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
        ({"a": 2**63}, "cannot compare"),
        ({"a": {"$in": "abc"}}, "takes a list of values, got 'abc'"),
        ({"a": {"$in": 5}}, "takes a list of values"),
        ({"a": {"$in": [None]}}, "cannot compare"),
        ({"$and": {"a": 1}}, "takes a non-empty list of filters"),
        ({"$or": []}, "takes a non-empty list of filters"),
        ({"$not": []}, "non-empty mapping"),
        ({'a"b': 1}, "double quote"),
    ],
)
def test_a_filter_without_a_meaning_is_refused_with_the_reason(condition, reason):
    with pytest.raises(FilterError, match=reason):
        compile_filter(condition)


@pytest.mark.parametrize("condition", [{"a": "\ud800"}, {"\ud800": 1}, {"a": {"$in": ["\x00"]}}])
def test_a_text_no_document_can_hold_is_refused(condition):
    with pytest.raises(InputTextError):
        compile_filter(condition)


def test_deep_nesting_is_refused():
    condition = {"a": 1}
    for _ in range(11):
        condition = {"$not": condition}
    with pytest.raises(FilterError, match="10 levels"):
        compile_filter(condition)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters='\x00"')), st.text(max_size=5))
def test_no_name_or_value_becomes_part_of_the_query(name, value):
    if name.startswith("$") or "\x00" in value or not value.isascii():
        return
    sql, parameters = compile_filter({name: value})
    assert sql == compile_filter({"a": "b"})[0]
    assert parameters[-1] == value
