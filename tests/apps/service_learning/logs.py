"""A small log in which customers ask for three things, and a state that has read it."""

from datetime import timedelta

from apps.service_learning.learning import find_groups, read_into
from apps.service_learning.state import LearningState
from tests.chains.customer_service.learning.logs import START, TopicEmbeddings, talk

ASKED = {
    "Order {order_number} comes on Monday.": [
        "where is my parcel {}",
        "my parcel {} is late",
        "parcel {} lost",
        "where parcel {}",
    ],
    "Refunds take five days.": [
        "refund of the money {}",
        "I want the money refund {}",
        "money refund when {}",
        "refund money {}",
    ],
    "Engraving is free of charge.": [
        "engraving of the case {}",
        "can I get engraving {}",
        "case engraving price {}",
        "engraving case {}",
    ],
}
EMBEDDINGS = TopicEmbeddings()


def conversations(count=60):
    """`count` conversations, an hour apart, of three kinds in turn."""
    kinds = list(ASKED.items())
    words = ["", "now", "please", "today", "soon"]
    made = []
    for number in range(count):
        answer, patterns = kinds[number % len(kinds)]
        turn = number // len(kinds)
        text = patterns[turn % len(patterns)].format(words[turn // len(patterns) % len(words)]).strip()
        said = [("customer", f"Hi, {text}"), ("agent", answer)]
        made.append(talk(*said, name=f"c{number}", start=START + timedelta(hours=number), customer=f"p{number}"))
    return made


def keep_all(text):
    """Replace nothing: the texts of these logs hold nobody's data."""
    return text, []


def learn(folder, made=None, **changes):
    """The state of a folder after a log was read and grouped."""
    state = LearningState(folder / "learning.sqlite")
    read_into(state, conversations() if made is None else made, replace_private=keep_all)
    find_groups(state, **{"embeddings": EMBEDDINGS, "encoder": "hashed", "slots": ["order_number"]} | changes)
    return state
