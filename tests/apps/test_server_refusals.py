"""No input whatever brings a 500: each is answered or refused, and a refusal never repeats the input."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.server.problems import ProblemError
from apps.server.request_validation import MAX_BODY_BYTES, check_body
from apps.server.schemas import Problem

JSON = {"Content-Type": "application/json"}
SECRET = "canary4711"

UNUSABLE = {
    "lone surrogate": rb'{"text": "\ud800 canary4711"}',
    "surrogate in a key": rb'{"\udfff": "canary4711"}',
    "surrogates in the wrong order": rb'{"text": "\udc00\ud800"}',
    "surrogate as bytes": b'{"text": "\xed\xa0\x80"}',
    "NaN": b'{"text": NaN}',
    "Infinity": b'{"text": -Infinity}',
    "too large a number": b'{"text": "a", "k": 1e999}',
    "5,000 digits": b'{"text": ' + b"9" * 5000 + b"}",
    "NUL": rb'{"text": "canary4711 \u0000"}',
    "NUL behind a backslash": rb'{"text": "\\\u0000"}',
    "NUL as a byte": b'{"text": "a\x00"}',
    "NUL in a key": rb'{"a\u0000": 1}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep and open": b"[" * 100_000,
    "BOM": b'\xef\xbb\xbf{"text": "hello"}',
    "UTF-16": '{"text": "hello"}'.encode("utf-16"),
    "UTF-32": '{"text": "hello"}'.encode("utf-32-le"),
    "no UTF-8": b'{"text": "\xff"}',
    "cut character": b'{"text": "\xe4\xb8"}',
    "empty": b"",
    "spaces": b"  \n ",
    "half": b'{"text": "canary4711',
    "two values": b'{"text": "a"} {"text": "b"}',
    "a key twice": b'{"text": "a", "text": "canary4711"}',
    "a key twice inside": b'{"text": {"a": 1, "a": 2}}',
    "single quotes": b"{'text': 'a'}",
    "a comment": b'{"text": "a"} // canary4711',
    "a form": b"text=canary4711",
}

UNFIT = {
    "a list": [],
    "a text": "canary4711",
    "a number": 1,
    "null": None,
    "no field": {},
    "another type": {"text": 1},
    "a nested value": {"text": {"canary4711": 1}},
    "a field too many": {"text": "a", "canary4711": 1},
    "an empty text": {"text": ""},
    "spaces only": {"text": "  \n"},
    "too long": {"text": "a" * 4001},
}


def assert_refused(reply, status):
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert Problem.model_validate_json(reply.content).status == status
    assert SECRET not in reply.text


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("address", ["/v1/ask", "/recommend"])
def test_an_unusable_body_is_a_400(client, address, body):
    assert_refused(client.post(address, content=body, headers=JSON), 400)


@pytest.mark.parametrize("body", UNFIT.values(), ids=UNFIT)
def test_a_body_that_does_not_fit_is_a_422(client, body):
    assert_refused(client.post("/v1/ask", content=json.dumps(body), headers=JSON), 422)


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("classify", {"model": "other", "texts": ["a"]}),
        ("classify", {"model": "topic", "texts": []}),
        ("classify", {"model": "topic", "texts": ["a"] * 65}),
        ("classify", {"model": "topic", "texts": ["a" * 10_001]}),
        ("recommend", {"user": "", "k": 3}),
        ("recommend", {"user": "a" * 201}),
        ("recommend", {"user": "u1", "k": 0}),
        ("recommend", {"user": "u1", "k": 10**400}),
        ("recommend", {"user": "u1", "max_price": -1}),
        ("recommend", {"user": "u1", "exclude": ["music1"] * 1001}),
        ("recommend", {"user": "u1", "events": [{"user": "u1", "item": "music1", "event": "eat", "time": 0}]}),
        ("posts", {"posts": []}),
        ("posts", {"posts": [{"id": "1", "source": "s", "text": "t", "time": "2026-03-02T09:30:00"}]}),
        ("posts", {"posts": [{"id": "1", "source": "s", "text": "t", "time": "9999-12-31T23:59:59-12:00"}]}),
        ("posts", {"posts": [{"id": "1", "source": "s", "text": "t", "time": "0001-01-01T00:00:00+12:00"}]}),
    ],
)
def test_values_outside_the_limits_are_refused(client, address, body):
    assert_refused(client.post(f"/v1/{address}", json=body), 422)


@pytest.mark.parametrize("value", [1e308, 0.0, 5e-324])
def test_extreme_numbers_are_answered(client, value):
    assert client.post("/v1/recommend", json={"user": "u1", "max_price": value}).status_code == 200


@pytest.mark.parametrize("text", ["退货要多久？", "👩‍👩‍👧", "\u202eabc", "a\u0301", "\\u0000", "\ufeffhello", "\x7f"])
def test_unusual_but_valid_texts_are_answered(client, text):
    assert client.post("/v1/ask", json={"text": text}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "a" * 999]
)
def test_only_json_is_read(client, kind):
    assert_refused(client.post("/v1/ask", content=b'{"text": "hello"}', headers={"Content-Type": kind}), 415)


def test_a_large_body_is_refused_by_its_stated_length(client):
    assert_refused(client.post("/v1/ask", content=b"a" * 2_000_000, headers=JSON), 413)


def test_a_large_chunked_body_is_refused_by_its_bytes(client):
    chunks = (b"a" * 10_000 for _ in range(200))
    reply = client.post("/v1/ask", content=chunks, headers=JSON)
    assert "content-length" not in reply.request.headers
    assert_refused(reply, 413)


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 5000, "1_0"])
def test_a_false_length_is_refused(client, length):
    reply = client.post("/v1/ask", content=iter([b"{}"]), headers=JSON | {"Content-Length": length})
    assert_refused(reply, 413)


def test_a_body_of_just_the_limit_is_read():
    start, end = b'{"text": "', b'"}'
    check_body(start + b"a" * (MAX_BODY_BYTES - len(start) - len(end)) + end)


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/ask", 405),
        ("DELETE", "/v1/alerts", 405),
        ("POST", "/nothing", 404),
        ("GET", "/v1/%00", 404),
        ("GET", "/%ff%fe", 404),
    ],
)
def test_other_addresses_and_methods_are_problems_too(client, method, address, status):
    assert_refused(client.request(method, address, **({"json": {}} if method == "POST" else {})), status)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(ProblemError):  # any other error would be a 500
        check_body(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_every_usable_value_is_let_through_and_no_other(value):
    # hypothesis makes NUL, but no surrogates in texts unless asked
    text = json.dumps(value)
    holds_nul = "\x00" in _all_texts(value)
    try:
        check_body(text.encode())
    except ProblemError:
        assert holds_nul
    else:
        assert not holds_nul


def _all_texts(value):
    if isinstance(value, dict):
        return "".join(map(_all_texts, [*value.keys(), *value.values()]))
    return "".join(map(_all_texts, value)) if isinstance(value, list) else value if isinstance(value, str) else ""
