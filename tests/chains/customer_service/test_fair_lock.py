"""Locks that are given in the order of asking."""

import threading
import time

import pytest

from chains.customer_service.fair_lock import FairLocks
from chains.errors import ConversationBusyError


def _wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _start(work, *args):
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def test_different_keys_do_not_wait_for_each_other():
    locks = FairLocks()
    with locks.hold("a"), locks.hold("b"):
        pass


def test_too_many_waiting_are_refused_at_once():
    locks = FairLocks(max_waiting=1)
    with locks.hold("a"), pytest.raises(ConversationBusyError, match="1 messages"), locks.hold("a"):
        pass
    with locks.hold("a"):
        pass


def test_a_lock_is_free_after_an_error_inside():
    locks = FairLocks(max_waiting=1)
    with pytest.raises(ValueError, match="inside"), locks.hold("a"):
        raise ValueError("inside")
    with locks.hold("a"):
        pass


def test_an_interrupt_while_waiting_leaves_no_place_in_the_queue(monkeypatch):
    locks = FairLocks(max_waiting=2)

    def interrupt(event, timeout=None):
        raise KeyboardInterrupt

    with locks.hold("a"):
        monkeypatch.setattr(threading.Event, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt), locks.hold("a"):
            pass
        monkeypatch.undo()
        third = _start(lambda: locks.hold("a").__enter__())
    third.join(10)
    assert not third.is_alive()


def test_threads_are_served_one_by_one_in_the_order_of_asking():
    locks, asked, served, inside = FairLocks(), [], [], []

    def work(number):
        asked.append(number)
        with locks.hold("a"):
            inside.append(number)
            served.append((number, len(inside)))
            inside.remove(number)

    threads = []
    with locks.hold("a"):
        for number in range(20):
            threads.append(_start(work, number))
            _wait_until(lambda number=number: len(locks._queues["a"]) == number + 2)
    for thread in threads:
        thread.join(10)
    assert asked == list(range(20))
    assert served == [(number, 1) for number in range(20)]
