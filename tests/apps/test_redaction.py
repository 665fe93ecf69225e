"""Redaction: what is found by form and check digit, what is left alone, and texts made to take long."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.redaction import redact
from tests.waiting import cpu_seconds

KEY = f"tc_0123456789ab_{'a1' * 32}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail anna.b+x@mail.example.com now", "mail [e-mail] now"),
        ("/search?q=anna%40example.com&x=1", "/search?q=[e-mail]&x=1"),
        ("/search?q=tel%20%2B49%2030%2012345678%20%34111%201111%201111%201111", "/search?q=tel [phone] [card]"),
        ("anna＠example.com", "[e-mail]"),
        ("我的邮箱是anna@example.com", "[e-mail]"),  # the words before it go too, they could be its name
        ('{"owner": "anna@example.com"}', '{"owner": "[e-mail]"}'),
        ("card 4111 1111 1111 1111, twice", "card [card], twice"),
        ("card4111111111111111", "card[card]"),
        ("q=4111+1111+1111+1111&n=4111%201111%201111%201111", "q=[card]&n=[card]"),
        ("378282246310005 and 5555-5555-5555-4444", "[card] and [card]"),
        ("row 12 4111 1111 1111 1111 7", "row 12 [card] 7"),
        ("４１１１ １１１１ １１１１ １１１１", "[card]"),
        ("pay to DE89 3704 0044 0532 0130 00 today", "pay to [IBAN] today"),
        ("gb82west12345698765432", "[IBAN]"),
        ("身份证11010519491231002X，谢谢", "身份证[id number]，谢谢"),
        ("call +49 (30) 1234567, 0049-30-1234567", "call [phone], [phone]"),
        ("手机13800138000，座机010-62345678", "手机[phone]，座机[phone]"),
        ("(555) 123-4567 or 555.123.4567", "[phone] or [phone]"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer [key]"),
        (f"the key {KEY} is wrong", "the key [key] is wrong"),
        ("bearer abcdefgh123", "bearer [key]"),
        ("api_key=abcdefgh123&x=1", "api_key=[key]&x=1"),
        ('{"password": "correct-horse"}', '{"password": "[key]"}'),
        ("postgresql://shop:hunter2@db/x", "postgresql://[key]@db/x"),
        ("sk-abcdefghijklmnop1234", "[key]"),
    ],
)
def test_personal_data_and_keys_are_replaced_by_what_they_are(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # the check digit is wrong
        "DE88370400440532013000",
        "110105194912310021",
        "order VT-204918 of 2026-12-01T05:02:56+08:00",
        '{"probability": 0.9731242656707764, "relevance": 0.12345678901234567}',
        "1764565376123 ms since 1970",
        "127.0.0.1:43712 POST /v1/ask 200 12 ms key 0123456789ab",
        "16:9, 720x1280, 3.14159, 1,234,567",
        "the token 5 of 4096",
        "user@host",
        "/a%20b?c=100%25",
        "",
    ],
)
def test_other_numbers_and_names_stay(text):
    assert redact(text) == text


@given(st.uuids())
def test_ids_of_requests_stay(identity: uuid.UUID):
    for text in (identity.hex, str(identity)):
        assert redact(f"{text} POST") == f"{text} POST"


@given(st.text(st.characters(exclude_categories=["N"])), st.text(st.characters(exclude_categories=["N"])))
def test_a_card_is_found_between_any_words(before, after):
    assert "4111 1111 1111 1111" not in redact(f"{before}4111 1111 1111 1111{after}")


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "1",
        "4 ",
        "a@",
        "4111 ",
        "%20",
        "DE89 ",
        "+",
        "a.",
        "0",
        "eyJ",
        "token=",
        "://a:",
        "Bearer ",
        "(0",
        "1.",
        "%2",
    ],
)
def test_no_text_takes_long_to_read_through(text):
    assert cpu_seconds(lambda: redact(text * (100_000 // len(text)))) < 60  # a quadratic one takes many minutes
