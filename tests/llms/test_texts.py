"""The check every text passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import InputTextError
from llms.texts.checks import MAX_TEXT_CHARS, check_text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_text_of_whole_characters_passes_unchanged(text):
    assert check_text(text) is text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\x00b", "NUL character at position 1"),
        ("退\ud800", "lone surrogate at position 1"),
        ("a" * (MAX_TEXT_CHARS + 1), "100,001 characters"),
        (None, "got NoneType"),
        (b"bytes", "got bytes"),
        (["a"], "got list"),
    ],
)
def test_a_text_no_tokenizer_can_take_is_refused_with_the_reason(text, reason):
    with pytest.raises(InputTextError, match=reason):
        check_text(text)


def test_the_limit_itself_is_allowed():
    assert check_text("a" * 5, max_chars=5) == "aaaaa"
    with pytest.raises(InputTextError, match="6 characters, at most 5"):
        check_text("a" * 6, max_chars=5)
