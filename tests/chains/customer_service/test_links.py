"""Links of strangers and invisible characters never reach a customer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.customer_service.links import find_unlisted_link
from llms.texts import visible_text

HOSTS = ("shop.example",)


@pytest.mark.parametrize(
    "text",
    [
        "http://evil.test",
        "HTTPS://EVIL.test/x",
        "see //evil.test/x",
        "ftp://evil.test",
        "[click](https://evil.test)",
        "<a href=https://evil.test>",
        "evil.test/login",
        "go to evil.com now",
        "www.evil.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:thief@evil.test",
        "ht\u200btps://evil.test",
        "ｈｔｔｐｓ：／／ｅｖｉｌ．ｔｅｓｔ",
        "https://shop.example@evil.test/",
        "https://shop.example.evil.test/",
        "https://evilshop.example/",
        "访问evil.com/中文",
        "https://evil.com\\.shop.example",
        "https:\\\\evil.test",
        "https://shop.example:pw@evil.com/",
        "https://evil.com#.shop.example",
        "https://evil.com。shop.example.evil.com",
        "write to refund@evil.com",
        "see www.evil.ai now",
        "see evil.ai",
        "see evil.support",
        "bit.ly",
        "t.me/x",
        "whatsapp:+1900",
        "intent:x",
        "ms-settings:x",
        "see 93.184.216.34",
        "evil。com",
        "EVIL.COM",
        "еvil.соm",
    ],
)
def test_a_link_of_a_stranger_is_found(text):
    assert find_unlisted_link(text, HOSTS) is not None


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/track?order=1",
        "See help.shop.example/track.",
        "HTTPS://SHOP.EXAMPLE",
        "Take 3.5 litres, e.g. of water. Then stop.",
        "at 9:30 a.m. on 1/2",
        "Use file.txt or a 4K TV",
        "and/or",
        "write to help@shop.example",
        "Note: it is 5.5.2026, version 1.2.3 of Node.js",
        "订单:123 已发货。请稍候。",
        "Data: see the table. File: none.",
        "The fee is 3.5.It stays.",
        "",
    ],
)
def test_listed_links_and_plain_words_are_none(text):
    assert find_unlisted_link(text, HOSTS) is None


@given(st.text(max_size=80))
def test_what_is_shown_holds_no_invisible_character_and_stays_so(text):
    shown = visible_text(text)
    assert visible_text(shown) == shown
    assert all(character.isprintable() or character.isspace() for character in shown)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_link_is_found_wherever_it_stands(before, after):
    assert find_unlisted_link(f"{before} https://evil.test/ {after}", HOSTS) is not None
