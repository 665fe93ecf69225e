import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llms.errors import DataFileError
from retrievers.interactions import Event, EventKind, EventWeights, Interactions, sum_strengths

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_event(user="u", item="a", kind="click", day=0.0):
    return Event(user=user, item=item, event=kind, time=START + timedelta(days=day))


EVENTS = st.lists(
    st.builds(
        make_event,
        user=st.sampled_from("uvw"),
        item=st.sampled_from("abcd"),
        kind=st.sampled_from(list(EventKind)),
        day=st.integers(0, 200),
    ),
    max_size=25,
)


def test_event_needs_a_time_zone_and_a_known_kind():
    with pytest.raises(ValidationError, match="timezone"):
        Event(user="u", item="a", event="click", time=datetime(2026, 1, 1))  # noqa: DTZ001, RUF100
    with pytest.raises(ValidationError, match="view"):
        make_event(kind="stare")


@settings(deadline=None)  # the machine may be busy
@given(st.floats(0, 250), st.floats(0, 250))
def test_strength_never_grows_with_age(one, other):
    weights = EventWeights(half_life_days=10)
    now = START + timedelta(days=250)
    older, newer = sorted((one, other))
    assert weights.strength(make_event(day=older), now) <= weights.strength(make_event(day=newer), now)


def test_strength_halves_after_each_half_life_and_is_0_ahead_of_now():
    weights = EventWeights(click=4, half_life_days=7)
    event = make_event(day=7)
    assert weights.strength(event, START + timedelta(days=7)) == 4
    assert weights.strength(event, START + timedelta(days=21)) == 1
    assert weights.strength(event, START) == 0


def test_an_endless_half_life_keeps_everything():
    assert EventWeights(click=1, half_life_days=math.inf).strength(make_event(), START + timedelta(days=9999)) == 1


@pytest.mark.parametrize(
    "wrong", [{"view": -1}, {"buy": math.inf}, {"half_life_days": 0}, {"half_life_days": math.nan}]
)
def test_weights_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        EventWeights(**wrong)


@settings(deadline=None)  # the machine may be busy
@given(EVENTS)
def test_matrix_equals_adding_up_events_by_hand(events):
    interactions = Interactions(events, EventWeights(half_life_days=20), items=tuple("abcd"))
    matrix = interactions.user_items().toarray()
    assert matrix.shape == (len(interactions.users), 4)
    for row, user in enumerate(interactions.users):
        for column, item in enumerate(interactions.items):
            ages = [
                (EventWeights().weight(e.event), (interactions.now - e.time).days)
                for e in set(events)
                if (e.user, e.item) == (user, item)
            ]
            expected = sum(weight * 0.5 ** (age / 20) for weight, age in ages)
            assert matrix[row, column] == pytest.approx(expected)


@settings(deadline=None)  # the machine may be busy
@given(EVENTS)
def test_matrix_row_equals_the_strengths_of_the_history(events):
    interactions = Interactions(events, items=tuple("abcd"))
    for row, user in enumerate(interactions.users):
        strengths = sum_strengths(interactions.history(user), interactions.weights, interactions.now)
        by_hand = [strengths.get(item, 0.0) for item in interactions.items]
        np.testing.assert_allclose(interactions.user_items().toarray()[row], by_hand)


@settings(deadline=None)  # the machine may be busy
@given(EVENTS, st.integers(0, 200))
def test_what_happens_later_changes_nothing_at_a_given_now(events, day):
    now = START + timedelta(days=day)
    past = [event for event in events if event.time <= now]
    everything = Interactions(events, items=tuple("abcd"))
    only_past = Interactions(past, items=tuple("abcd"))
    assert everything.popularity(30, now) == only_past.popularity(30, now)
    rows = [everything.users.index(user) for user in only_past.users]
    np.testing.assert_allclose(
        everything.user_items(now).toarray()[rows].reshape(-1, 4), only_past.user_items(now).toarray()
    )


@settings(deadline=None)  # the machine may be busy
@given(EVENTS, st.floats(0.05, 0.95))
def test_time_split_puts_everything_early_before_everything_late(events, share):
    try:
        early, late = Interactions(events, items=tuple("abcd")).split_by_time(share)
    except ValueError:
        return
    assert max(event.time for event in early.events) < min(event.time for event in late.events)
    assert len(early) + len(late) == len(set(events))
    assert early.items == late.items == tuple("abcd")


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        Interactions([make_event()]).split_by_time(share)


@pytest.mark.parametrize("events", [[], [make_event(), make_event(item="b")]])
def test_a_split_with_an_empty_part_is_refused(events):
    with pytest.raises(ValueError, match="empty"):
        Interactions(events).split_by_time(0.5)


def test_popularity_counts_users_not_events():
    events = [make_event("u", "a"), make_event("u", "a"), make_event("v", "a"), make_event("v", "b")]
    assert Interactions(events).popularity() == {"a": 2, "b": 1}


def test_popularity_window_ends_at_now_and_forgets_what_is_older():
    interactions = Interactions([make_event("u", "a", day=0), make_event("v", "b", day=40)])
    assert interactions.popularity(days=30) == {"a": 0, "b": 1}
    assert interactions.popularity(days=None) == {"a": 1, "b": 1}
    assert interactions.popularity(days=None, now=START) == {"a": 1, "b": 0}


def test_history_is_in_time_order_and_empty_for_strangers():
    interactions = Interactions([make_event(item="b", day=2), make_event(item="a", day=1)])
    assert [event.item for event in interactions.history("u")] == ["a", "b"]
    assert interactions.history("stranger") == ()


def test_events_off_the_item_axis_are_refused_by_name():
    with pytest.raises(DataFileError, match="'z'"):
        Interactions([make_event(item="z")], items=["a"])


def test_no_events_give_an_empty_matrix_and_no_now():
    empty = Interactions([], items=["a"])
    assert empty.user_items().shape == (0, 1)
    assert empty.popularity() == {"a": 0}
    with pytest.raises(DataFileError, match="no events"):
        _ = empty.now


DAYS = [make_event(user=f"u{day % 7}", item="abcd"[day % 4], day=day / 4) for day in range(240)]


@pytest.mark.parametrize("late_days", [100, 210])
def test_one_wrong_clock_does_not_make_everything_else_old(late_days):
    wrong = make_event(user="u1", item="a", day=late_days)
    record = Interactions([*DAYS, wrong])
    assert record.now == DAYS[-1].time
    assert record.popularity(30) == Interactions(DAYS).popularity(30)


@pytest.mark.parametrize(
    "days",
    [
        [0, 40, 80],  # few, and far apart
        [*range(60), 75],  # a pause of two weeks
        [*range(0, 240, 2), *range(120, 121)],
        [day / 2 for day in range(100)] + [150 + day / 2 for day in range(100)],  # many after a long pause
    ],
)
def test_a_record_ends_with_its_last_event_where_that_can_be(days):
    assert Interactions([make_event(user=f"u{at}", day=day) for at, day in enumerate(days)]).now == START + timedelta(
        days=max(days)
    )


def test_equal_events_count_once():
    twice = Interactions([*DAYS, *DAYS])
    assert (len(twice), twice.num_repeats) == (240, 240)
    np.testing.assert_array_equal(twice.user_items().toarray(), Interactions(DAYS).user_items().toarray())


@pytest.mark.parametrize("time", ["2099-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_event_is_from_the_past_and_from_our_time(time):
    with pytest.raises(ValidationError, match=r"lies (ahead of the present|before 1990)"):
        Event(user="u", item="a", event="click", time=time)
