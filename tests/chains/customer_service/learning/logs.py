"""Logged conversations made for tests."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
from langchain_core.embeddings import Embeddings

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


class TopicEmbeddings(Embeddings):
    """Vectors of which the first of these words that a text holds decides most, and the rest of the text a little."""

    TOPICS = ("parcel", "refund", "engraving", "快递", "退款", "刻字")

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        topics = [float(topic in text.lower()) for topic in self.TOPICS]
        only = [value * (sum(topics[:at]) == 0) for at, value in enumerate(topics)]
        vector = np.concatenate([only, 0.1 * np.random.default_rng(seed).standard_normal(32)])
        return (vector / np.linalg.norm(vector)).tolist()
