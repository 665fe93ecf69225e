"""Runnables whose batch is one call."""

import pytest

from llms.batch_runnable import BatchRunnable
from llms.errors import InputTextError, UnknownOptionError


class Lengths(BatchRunnable[int]):
    """The length of each text, and how many came together."""

    _kind = "a counter"

    def __init__(self):
        self.sizes = []

    def _batch(self, texts):
        self.sizes.append(len(texts))
        return [len(text) for text in texts]


def test_a_batch_is_one_call_and_an_empty_one_is_none():
    counter = Lengths()
    assert counter.batch(["a", "bb"]) == [1, 2]
    assert counter.batch([]) == []
    assert counter.sizes == [2]


async def test_async_twins_answer_alike():
    counter = Lengths()
    assert await counter.ainvoke("abc") == 3
    assert await counter.abatch(["a", "bb"]) == [1, 2]


def test_a_refused_text_does_not_take_the_others_with_it():
    replies = Lengths().batch(["a", "\x00", "bb"], return_exceptions=True)
    assert [replies[0], type(replies[1]), replies[2]] == [1, InputTextError, 2]
    with pytest.raises(InputTextError):
        Lengths().batch(["a", "\x00"])


def test_call_options_are_refused_and_named():
    with pytest.raises(UnknownOptionError, match=r"a counter takes no call options, got \['size'\]"):
        Lengths().invoke("a", size=1)
    with pytest.raises(UnknownOptionError, match="size"):
        Lengths().batch(["a"], size=1)


def test_langchain_knows_what_goes_in_and_comes_out():
    assert (Lengths().InputType, Lengths().OutputType) == (str, int)
    assert Lengths().get_output_jsonschema()["type"] == "integer"
