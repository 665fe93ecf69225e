"""Messages put together to conversations: whatever their order, in time that grows with their number alone."""

from datetime import UTC, datetime, timedelta

from apps.service_learning.gathering import MessageGathering
from apps.service_learning.raw import RawMessage
from tests.waiting import cpu_seconds

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def gather(messages, **options):
    with MessageGathering("log.csv", **options) as gathering:
        for conversation, message in messages:
            gathering.add(conversation, message)
        return [(raw.id, [message.text for message in raw.messages]) for raw, _ in gathering.conversations()]


def test_messages_that_lie_apart_come_together_in_the_order_of_first_lines():
    messages = [
        ("b", RawMessage("x", "1", line=1)),
        ("a", RawMessage("x", "2", line=2)),
        ("b", RawMessage("x", "3", line=3)),
    ]
    assert gather(messages) == [("b", ["1", "3"]), ("a", ["2"])]


def test_a_silence_begins_a_new_conversation_only_where_it_may():
    times = [NOON, NOON + timedelta(hours=1), NOON + timedelta(days=1)]
    messages = [("a", RawMessage("x", str(line), time, line)) for line, time in enumerate(times)]
    assert gather(messages, gap=timedelta(hours=6)) == [("a", ["0", "1"]), ("a (2)", ["2"])]
    assert gather(messages) == [("a", ["0", "1", "2"])]


def test_texts_that_no_encoding_holds_come_back_as_they_were():
    assert gather([("a\udcff", RawMessage("x\udcff", "bad \udcff", line=1))])[0][1] == ["bad \udcff"]


def test_four_times_the_conversations_take_about_four_times_as_long():
    def messages(count):
        return [(str(line % count), RawMessage("x", "text", line=line)) for line in range(2 * count)]

    gather(messages(100))
    few, many = (cpu_seconds(lambda count=count: gather(messages(count))) for count in (3_000, 12_000))
    assert many < 9 * max(few, 0.02)  # looking for each conversation in all messages takes sixteen times as long
