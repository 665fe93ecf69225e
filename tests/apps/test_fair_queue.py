"""Seats of a queue: never more than there are, given in turn to groups and members, and none lost."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from apps.server.fair_queue import FairQueue


async def serve_in_turn(callers):
    """Return callers in the order in which one seat is given to them, after all of them asked."""
    queue, served = FairQueue(1), []

    async def ask(group, member):
        async with queue.turn(group, member):
            served.append((group, member))
            await asyncio.sleep(0)

    async with queue.turn("", "first"):
        tasks = [asyncio.create_task(ask(*caller)) for caller in callers]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return served


async def test_members_are_called_in_turn_whoever_asked_first():
    assert await serve_in_turn([("", "anna")] * 3 + [("", "bob")] * 2 + [("", "carl")]) == [
        ("", name) for name in ("anna", "bob", "carl", "anna", "bob", "anna")
    ]


async def test_groups_are_called_in_turn_however_many_members_they_have():
    callers = [("acme", "a1"), ("acme", "a2"), ("acme", "a3"), ("beta", "b1"), ("beta", "b1")]
    assert await serve_in_turn(callers) == [
        ("acme", "a1"), ("beta", "b1"), ("acme", "a2"), ("beta", "b1"), ("acme", "a3"),
    ]  # fmt: skip


async def test_one_member_is_served_in_the_order_of_asking():
    queue, served = FairQueue(1), []

    async def ask(number):
        async with queue.turn("", "anna"):
            served.append(number)

    async with queue.turn("", "anna"):
        tasks = [asyncio.create_task(ask(number)) for number in range(9)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert served == list(range(9))


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "leave", "end", "wait"]), st.integers(0, 7)), max_size=40)


@given(num_seats=st.integers(1, 3), steps=STEPS)
def test_no_seat_is_lost_or_given_twice(num_seats, steps):
    async def run():
        queue = FairQueue(num_seats)
        seated, ends, tasks = set(), [], []

        async def ask(number, end):
            async with queue.turn(f"group {number % 2}", f"member {number % 4}"):
                seated.add(id(end))
                assert len(seated) <= num_seats
                try:
                    await end.wait()
                finally:
                    seated.discard(id(end))

        for step, number in steps:
            if step == "ask":
                ends.append(asyncio.Event())
                tasks.append(asyncio.create_task(ask(number, ends[-1])))
            elif step == "wait":
                await asyncio.sleep(0)
            elif tasks:
                chosen = number % len(tasks)
                tasks[chosen].cancel() if step == "leave" else ends[chosen].set()
        for end in ends:
            end.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        for _ in range(num_seats):  # all seats are free again
            await asyncio.wait_for(queue.turn("", "").__aenter__(), 1)

    asyncio.run(run())
