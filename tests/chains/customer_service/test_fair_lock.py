"""Locks that are given in the order of asking."""

import asyncio
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.customer_service.fair_lock import TicketLocks
from chains.errors import ConversationBusyError


def test_tickets_of_different_keys_do_not_wait_for_each_other():
    locks = TicketLocks()
    with locks.draw("a"), locks.draw("b"):
        pass


def test_a_ticket_that_leaves_the_queue_does_not_let_the_next_in_too_early():
    locks = TicketLocks()
    first, second, third = (locks.draw("a") for _ in range(3))
    second.release()
    assert not third.called.done()
    first.release()
    assert third.called.done()


def test_too_many_waiting_are_refused_at_once():
    locks = TicketLocks(max_waiting=2)
    first, _ = locks.draw("a"), locks.draw("a")
    with pytest.raises(ConversationBusyError, match="2 messages"):
        locks.draw("a")
    first.release()
    locks.draw("a")


def test_a_lock_is_free_after_an_error_inside():
    locks = TicketLocks()
    with pytest.raises(ValueError, match="inside"), locks.draw("a"):
        raise ValueError("inside")
    assert locks.draw("a").called.done()


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_whoever_is_left_is_called_in_the_order_of_drawing(release_order, leaving):
    locks = TicketLocks()
    tickets = [locks.draw("a") for _ in range(6)]
    for place in release_order:
        if place in leaving and place != 0:
            tickets[place].release()
    served = []
    for place, ticket in enumerate(tickets):
        if place in leaving and place != 0:
            continue
        assert ticket.called.done()
        assert all(not later.called.done() for later in tickets[place + 1 :])
        served.append(place)
        ticket.release()
    assert served == [place for place in range(6) if place == 0 or place not in leaving]
    assert locks.draw("a").called.done()


def test_threads_are_served_one_by_one_in_order():
    locks, served, inside = TicketLocks(), [], []

    def work(number, ticket):
        with ticket:
            inside.append(number)
            time.sleep(0.001)
            served.append((number, len(inside)))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number, locks.draw("a"))) for number in range(20)]
    for thread in reversed(threads):
        thread.start()
    for thread in threads:
        thread.join()
    assert served == [(number, 1) for number in range(20)]


async def test_a_cancelled_waiter_leaves_its_place():
    locks = TicketLocks()
    first, second, third = (locks.draw("a") for _ in range(3))

    async def wait(ticket):
        try:
            await asyncio.shield(asyncio.wrap_future(ticket.called))
        finally:
            ticket.release()

    waiting = asyncio.create_task(wait(second))
    await asyncio.sleep(0)
    waiting.cancel()
    first.release()
    await asyncio.wait_for(wait(third), 60)
