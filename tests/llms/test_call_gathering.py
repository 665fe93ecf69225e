"""Calls that wait are answered together, and each caller gets its own answers or its own error."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms import call_gathering
from llms.call_gathering import CallGatherer


class SlowModel:
    """Doubles numbers, refuses negative ones, and holds the first pass until it is let go."""

    def __init__(self, max_items=None):
        self.passes = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.gatherer = CallGatherer(self.answer, max_items=max_items)

    def answer(self, items):
        self.passes.append(list(items))
        if len(self.passes) == 1:
            self.begun.set()
            self.go_on.wait(60)
        if "interrupt" in items:
            raise KeyboardInterrupt
        if any(item < 0 for item in items):
            msg = f"cannot double {items}"
            raise ValueError(msg)
        return [2 * item for item in items]

    def call_together(self, *calls):
        """Start the first call, then the others while it runs, and return their futures."""
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(self.gatherer.call, calls[0])]
            self.begun.wait(60)
            for number, call in enumerate(calls[1:], start=1):
                futures.append(pool.submit(self.gatherer.call, call))
                while len(self.gatherer._waiting) < number:  # in the order given
                    pass
            self.go_on.set()
        return futures


def test_all_that_wait_share_one_pass():
    model = SlowModel()
    futures = model.call_together([1], [2, 3], [], [4])
    assert [future.result() for future in futures] == [[2], [4, 6], [], [8]]
    assert model.passes == [[1], [2, 3, 4]]


def test_a_pass_takes_whole_calls_in_their_order_until_it_is_full():
    model = SlowModel(max_items=3)
    calls = [[1], [2, 3], [4], [5, 6, 7, 8], [], [9]]
    futures = model.call_together(*calls)
    assert [future.result() for future in futures] == [[2 * item for item in call] for call in calls]
    assert model.passes == [[1], [2, 3, 4], [5, 6, 7, 8], [9]]


def test_an_error_reaches_only_the_caller_whose_items_cause_it():
    futures = SlowModel().call_together([1], [2], [-3], [4])
    assert [future.exception() is None for future in futures] == [True, True, False, True]
    with pytest.raises(ValueError, match=r"cannot double \[-3\]"):
        futures[2].result()
    assert futures[3].result() == [8]


def test_an_interrupted_caller_takes_no_other_call_with_it():
    futures = SlowModel().call_together(["interrupt"], [2], [3])
    assert isinstance(futures[0].exception(), KeyboardInterrupt)
    assert [future.result() for future in futures[1:]] == [[4], [6]]


def test_after_an_error_the_next_call_is_answered():
    gatherer = CallGatherer(lambda items: [1 // item for item in items])
    with pytest.raises(ZeroDivisionError):
        gatherer.call([0])
    assert gatherer.call([1]) == [1]


def test_a_caller_interrupted_while_it_waits_leaves_the_queue_moving():
    model = SlowModel()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(model.gatherer.call, [1])
        model.begun.wait(60)
        interrupted = pool.submit(_interrupted_call, model.gatherer)
        assert isinstance(interrupted.exception(60), KeyboardInterrupt)
        last = pool.submit(model.gatherer.call, [3])
        model.go_on.set()
        assert (first.result(60), last.result(60)) == ([2], [6])
    assert [2] not in model.passes


def _interrupted_call(gatherer):
    """Call as a thread whose waiting is broken off, as Ctrl+C does in the main thread."""

    class Interrupting(threading.Event):
        def wait(self, timeout=None):
            raise KeyboardInterrupt

    before = call_gathering._Call
    call_gathering._Call = lambda items: before(items, wake=Interrupting())
    try:
        gatherer.call([2])
    finally:
        call_gathering._Call = before


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=12))
def test_many_threads_each_get_their_own_answers(calls):
    gatherer = CallGatherer(lambda items: [2 * item for item in items])
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(gatherer.call, calls)) == [[2 * item for item in call] for call in calls]
    assert not gatherer._is_led
