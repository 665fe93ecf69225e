"""The contract of lists of conversations by page, and conversations to list."""

from datetime import UTC, datetime, timedelta

import pytest
from langgraph.store.base import PutOp

from chains.customer_service import ConversationKey, PageRequest, Turn
from chains.customer_service.messages import ConversationOverview, HandOver, Message, WaitingConversation, label
from chains.customer_service.transcript import Entry
from chains.errors import ChainInputError

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
OWNERS = ("anna", "陈静", "😀", "Zoë%_.", "anna2")


def write_message(transcripts, owner, conversation, *, seconds, number=1, num_turns=1, is_waiting=True):
    """Write an entry whose message came so many seconds after `START`."""
    message = Message(id=f"m{number}", sender="customer", text="?", time=START + timedelta(seconds=seconds))
    turns = tuple(
        Turn(id=f"{message.id}/{turn}", speaker="customer", text=f"{number}.{turn}", time=message.time)
        for turn in range(num_turns)
    )
    hand_over = HandOver(since=message.time, summary="", reason="") if is_waiting else None
    key = ConversationKey(owner=owner, conversation=conversation)
    transcripts.write(key, message, Entry(number=number, turns=turns), hand_over=hand_over)


def write_many(store, num, *, owner="anna"):
    """Write so many waiting conversations without a transcript, one a second."""
    operations = []
    for number in range(num):
        names = {"owner": owner, "conversation": f"c{number:06d}"}
        time = START + timedelta(seconds=number)
        waiting = WaitingConversation(since=time, summary="", reason="", **names)
        overview = ConversationOverview(updated=time, num_messages=1, **names)
        for namespace, value in (("inbox", waiting), ("overviews", overview)):
            place = (namespace, label(owner))
            operations.append(PutOp(place, names["conversation"], value.model_dump(mode="json"), index=False))
    for begin in range(0, len(operations), 1_000):
        store.batch(operations[begin : begin + 1_000])


def key_of(line):
    return line.owner, line.conversation


def read_through(read, owner, **request):
    """Return all lines, each page begun where the one before it ended."""
    lines, after = [], None
    while True:
        page = read(owner, PageRequest(after=after, **request))
        lines += page.lines
        if page.next is None:
            return lines
        after = page.next


class ConversationListsContract:
    """Subclasses provide `transcripts`: a fixture with empty ones over the lists, and their `store`."""

    @pytest.fixture
    def written(self, transcripts):
        """Conversations with equal times, with whole seconds and parts of them; those of one owner apart or mixed."""
        times = [0, 0, 0.5, 0.000001, 1, 59, 3600, 0, 86400.25, 2]
        rows = []
        for number, seconds in enumerate(times * 3):
            owner, conversation = OWNERS[number % len(OWNERS)], f"会话-{number}"
            write_message(transcripts, owner, conversation, seconds=seconds, is_waiting=number % 3 > 0)
            rows.append((seconds, owner, conversation, number % 3 > 0))
        return rows

    @pytest.mark.parametrize("limit", [1, 4, 200])
    def test_pages_hold_every_conversation_once_in_the_order_of_the_list(self, transcripts, written, limit):
        latest = [row[1:3] for row in sorted(written, reverse=True)]
        waiting = [row[1:3] for row in sorted(written) if row[3]]
        assert [key_of(one) for one in read_through(transcripts.page_of_overviews, None, limit=limit)] == latest
        assert [key_of(one) for one in read_through(transcripts.page_of_waiting, None, limit=limit)] == waiting

    def test_pages_hold_what_the_whole_list_does(self, transcripts, written):
        whole = sorted(transcripts.overviews(None), key=key_of)
        assert len(whole) == len(written)
        assert sorted(transcripts.page_of_overviews(None, PageRequest(limit=100)).lines, key=key_of) == whole
        whole = sorted(transcripts.waiting(None), key=key_of)
        assert sorted(transcripts.page_of_waiting(None, PageRequest(limit=100)).lines, key=key_of) == whole

    @pytest.mark.parametrize("owner", OWNERS)
    def test_of_an_owner_no_other_conversations_are_shown(self, transcripts, written, owner):
        latest = [row[1:3] for row in sorted(written, reverse=True) if row[1] == owner]
        assert [key_of(one) for one in read_through(transcripts.page_of_overviews, owner, limit=2)] == latest
        waiting = [row[1:3] for row in sorted(written) if row[1] == owner and row[3]]
        assert [key_of(one) for one in read_through(transcripts.page_of_waiting, owner, limit=2)] == waiting

    @pytest.mark.parametrize(("limit", "skip"), [(3, 0), (3, 5), (10, 25), (1, 29), (5, 30), (5, 10**9)])
    def test_skip_leaves_out_lines_and_counts_all(self, transcripts, written, limit, skip):
        latest = [row[1:3] for row in sorted(written, reverse=True)]
        page = transcripts.page_of_overviews(None, PageRequest(limit=limit, skip=skip))
        assert [key_of(one) for one in page.lines] == latest[skip : skip + limit]
        assert (page.num_lines, page.is_count_exact) == (30, True)
        assert (page.next is None) == (skip + limit >= 30)

    def test_owners_that_are_not_shown_are_not_counted_either(self, transcripts, written):
        latest = [row[1:3] for row in sorted(written, reverse=True) if row[1] == "陈静"]
        lines = read_through(transcripts.page_of_overviews, None, limit=2, is_shown="陈静".__eq__)
        assert [key_of(one) for one in lines] == latest
        page = transcripts.page_of_overviews(None, PageRequest(limit=1, is_shown="陈静".__eq__))
        assert page.num_lines == len(latest)

    def test_an_empty_list_is_one_page(self, transcripts):
        page = transcripts.page_of_waiting(None, PageRequest())
        assert (page.lines, page.num_lines, page.is_count_exact, page.next) == ((), 0, True, None)

    def test_pages_go_on_where_they_ended_whatever_came_and_went_meanwhile(self, transcripts):
        for number in range(6):
            write_message(transcripts, "anna", f"c{number}", seconds=number)
        page = transcripts.page_of_waiting(None, PageRequest(limit=2))
        write_message(transcripts, "anna", "c1", seconds=10, number=2, is_waiting=False)  # where the next one begins
        write_message(transcripts, "anna", "c9", seconds=0.5)
        write_message(transcripts, "anna", "c4", seconds=10, number=2, is_waiting=False)
        page = transcripts.page_of_waiting(None, PageRequest(after=page.next))
        assert [one.conversation for one in page.lines] == ["c2", "c3", "c5"]

    def test_counting_ends_somewhere_but_pages_do_not(self, transcripts, store):
        write_many(store, 1_005)
        page = transcripts.page_of_waiting(None, PageRequest(limit=1))
        assert (page.num_lines, page.is_count_exact) == (1_000, False)
        pages, skip = 0, 0
        while skip < page.num_lines:  # as a client pages that knows no `next`
            page = transcripts.page_of_waiting(None, PageRequest(limit=200, skip=skip))
            pages, skip = pages + len(page.lines), skip + 200
        assert (pages, page.num_lines, page.is_count_exact) == (1_005, 1_005, True)
        assert len(read_through(transcripts.page_of_overviews, "anna", limit=200)) == 1_005

    def test_conversations_before_a_moment_are_found_also_while_they_are_deleted(self, transcripts, store):
        write_many(store, 1_010)
        found = []
        for number, key in enumerate(transcripts.keys_before(START + timedelta(seconds=1_005))):
            found.append(key.conversation)
            if number % 100 == 0:  # a read of keys ends here, too
                transcripts.delete(key)
        assert found == [f"c{number:06d}" for number in reversed(range(1_005))]
        assert len(list(transcripts.keys_of("anna"))) == 1_010 - 11

    @pytest.mark.parametrize(
        ("limit", "skip"), [(1, 0), (2, 1), (5, 3), (100, 0), (3, 18), (3, 20), (3, 21), (3, 500), (4, 17)]
    )
    def test_the_latest_turns_are_the_end_of_all(self, transcripts, limit, skip):
        for number in range(1, 12):
            write_message(
                transcripts, "陈静", "c1", seconds=-number, number=number, num_turns=number % 4 + (number > 9)
            )
        key = ConversationKey(owner="陈静", conversation="c1")
        turns = transcripts.turns(key)
        end = max(0, len(turns) - skip)
        latest = transcripts.latest_turns(key, limit=limit, skip=skip)
        assert list(latest.turns) == turns[max(0, end - limit) : end]
        assert latest.num_turns == len(turns) == 20

    def test_of_a_place_that_no_page_gave_the_list_says_so(self, transcripts):
        for after in ("", "x", "2026-03-02T09:30:00", "2026/6", "2026/zz/zz", "2026/ff/ff", "a/61/61", "2026/61/00"):
            with pytest.raises(ChainInputError, match="must be what `next` of another page says"):
                transcripts.page_of_waiting(None, PageRequest(after=after))
