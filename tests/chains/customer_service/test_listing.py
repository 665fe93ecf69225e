"""Lists of conversations in memory, and what a page may be asked for."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from chains.customer_service import ListedKey, PageRequest, Transcripts
from chains.errors import ChainInputError
from tests.chains.customer_service.lists import START, ConversationListsContract

# owners and conversations are checked for what cannot be stored before they are listed
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


class TestSortedLists(ConversationListsContract):
    @pytest.fixture
    def store(self):
        return InMemoryStore()

    @pytest.fixture
    def transcripts(self, store):
        return Transcripts(store)


@given(owner=names, conversation=names)
def test_a_key_comes_back_from_its_cursor(owner, conversation):
    key = ListedKey(ListedKey.at(START).time, owner, conversation)
    assert ListedKey.of_cursor(key.cursor) == key
    assert key.cursor.isascii()


@given(st.text())
def test_a_cursor_is_read_or_refused(text):
    with contextlib.suppress(ChainInputError):
        assert isinstance(ListedKey.of_cursor(text), ListedKey)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"skip": -1}])
def test_a_page_of_impossible_numbers_is_refused(wrong):
    with pytest.raises(ChainInputError, match="limit must be at least 1 and skip at least 0"):
        PageRequest(**wrong)
