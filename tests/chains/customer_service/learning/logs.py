"""Logged conversations made for tests."""

from datetime import UTC, datetime, timedelta

from chains.customer_service.learning import LoggedConversation, LoggedMessage, LoggedRequest

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def talk(*said, name="1", start=None, **more):
    """A conversation of (role, text) pairs, a minute apart if it has a start."""
    messages = tuple(
        LoggedMessage(role=role, text=text, time=start and start + timedelta(minutes=place))
        for place, (role, text) in enumerate(said)
    )
    return LoggedConversation(id=name, source=f"log.csv, line {name}", messages=messages, **more)


def ask(text, answer=None, *, number=0, **more):
    """A request as it is found in a conversation."""
    return LoggedRequest(conversation=f"k{number}", text=text, answer=answer, **more)
