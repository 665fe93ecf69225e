"""Exploration and replay: propensities that add up, shown places with what came of them, and values that are known."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import ChainInputError
from chains.recommendation import (
    ExplorationOptions,
    PastRecord,
    RankingOptions,
    RecommendationOptions,
    ReplayOptions,
    collect_places,
    estimate_value,
    replay_lists,
)
from chains.recommendation.exploration import FIRST_EXPLORED_RANK, explore_list
from chains.recommendation.replay import ShownPlace
from llms.errors import OptionValueError
from retrievers import Interactions, Item, ItemCatalogue
from retrievers.interactions import Event
from tests.chains.recommendation.worlds import NOW, START, make_catalogue, make_chain, make_event, make_events

NEW = tuple(f"new{number}" for number in range(6))


def explore(share=0.3, k=8, seed=0, ranked=range(10), explored=((20, 1.0), (21, 3.0), (3, 1.0))):
    return explore_list(list(ranked), dict(explored), share=share, k=k, rng=np.random.default_rng(seed))


# --- lists


@given(st.floats(0, 0.99), st.integers(0, 12), st.integers(0, 1000))
def test_a_list_holds_each_row_once_and_a_shorter_one_begins_it(share, k, seed):
    places = explore(share, 12, seed)
    rows = [place.row for place in places]
    assert len(set(rows)) == len(rows) <= 12
    assert rows[:FIRST_EXPLORED_RANK] == [0, 1]
    assert explore(share, k, seed) == places[:k]


def test_without_a_share_or_new_items_the_list_is_what_is_ranked():
    for changes in ({"share": 0.0}, {"explored": ()}):
        assert [(place.row, place.propensity) for place in explore(**changes)] == [(row, 1.0) for row in range(8)]


def test_a_propensity_is_how_often_the_row_comes_to_its_place():
    num_draws = 20_000
    drawn = [explore(0.3, 3, seed)[2] for seed in range(num_draws)]
    told = {place.row: place.propensity for place in drawn}
    assert told == pytest.approx({2: 0.7, 20: 0.3 * 1 / 5, 21: 0.3 * 3 / 5, 3: 0.3 * 1 / 5})
    for row, propensity in told.items():
        share = np.mean([place.row == row for place in drawn])
        assert abs(share - propensity) < 4 * (propensity * (1 - propensity) / num_draws) ** 0.5


def test_a_row_that_is_ranked_next_and_explored_has_both_chances():
    places = explore(0.3, 3, explored=((2, 1.0), (20, 3.0)), seed=1)
    assert places[2].row == 2
    assert places[2].propensity == pytest.approx(0.7 + 0.3 / 4)


@pytest.mark.parametrize("wrong", [{"share": -0.1}, {"share": 1.0}, {"max_users": -1}, {"num_drawn": 0}])
def test_exploration_without_meaning_is_refused(wrong):
    with pytest.raises(OptionValueError):
        ExplorationOptions(**wrong)


# --- the chain


def make_shop(interest, share, **changes):
    items = [*make_catalogue().values(), *(Item(id=item, title=f"Nobody knows {item}") for item in NEW)]
    catalogue = ItemCatalogue(items)
    options = RecommendationOptions(
        ranking=RankingOptions(diversity=0.0), exploration=ExplorationOptions(share=share, max_users=0)
    )
    interactions = Interactions(make_events(), items=list(catalogue))
    return make_chain(interest, catalogue=catalogue, interactions=interactions, options=options, **changes)


def test_every_new_item_comes_to_somebody_and_the_rest_keeps_its_order(interest):
    plain, exploring = make_shop(interest, 0.0), make_shop(interest, 0.5)
    shown = set()
    for number in range(30):
        list_ = exploring.invoke({"user": f"u{number}", "k": 10})
        known = [item.id for item in list_.items if item.id not in NEW]
        assert known == [item.id for item in plain.invoke({"user": f"u{number}", "k": 30}).items if item.id in known]
        assert all(item.propensity < 1 for item in list_.items if item.id in NEW)
        assert [item.propensity for item in list_.items[:FIRST_EXPLORED_RANK]] == [1.0, 1.0]
        shown |= {item.id for item in list_.items}
    assert shown.issuperset(NEW)


def test_exploration_keeps_to_what_may_be_listed(interest):
    chain = make_shop(interest, 0.9)
    list_ = chain.invoke({"user": "u1", "k": 30, "exclude": NEW[:3], "events": [make_event("u1", NEW[3], "hide")]})
    assert {item.id for item in list_.items}.isdisjoint(NEW[:4])
    assert not any(item.id.startswith("new") for item in chain.invoke({"user": "u1", "query": "music"}).items)


def test_a_list_is_drawn_alike_for_the_same_request_at_the_same_moment_also_in_a_batch(interest):
    chain = make_shop(interest, 0.5)
    requests = [{"user": f"u{number}", "k": 10} for number in range(6)]
    lists = [chain.invoke(request) for request in requests]
    assert chain.batch(requests) == lists
    assert len({list_.list_id for list_ in lists}) == len(lists)
    longer = chain.invoke({"user": "u1", "k": 20})
    assert longer.list_id == lists[1].list_id
    assert longer.items[:10] == lists[1].items
    later = make_shop(interest, 0.5, clock=lambda: NOW + timedelta(seconds=1))
    assert later.invoke(requests[1]).list_id != lists[1].list_id


# --- places that were shown


def show(item, place, hour=0.0, user="u", list_id="l1", propensity=0.5):
    return Event(
        user=user,
        item=item,
        event="show",
        time=START + timedelta(hours=hour),
        list_id=list_id,
        place=place,
        propensity=propensity,
    )


def at_hour(item, hour, kind="click", user="u", **fields):
    return Event(user=user, item=item, event=kind, time=START + timedelta(hours=hour), **fields)


def test_interest_counts_for_the_last_time_an_item_was_shown_before_it():
    events = [
        show("a", 1),
        show("b", 2),
        show("a", 1, hour=5, list_id="l2"),
        show("b", 2, hour=5, list_id="l2"),
        at_hour("a", 6),
        at_hour("b", 3),
    ]
    rewards = {(place.list_id, place.item): place.reward for place in collect_places(events)}
    assert rewards == {("l1", "a"): 0.0, ("l1", "b"): 1.0, ("l2", "a"): 1.0, ("l2", "b"): 0.0}


@pytest.mark.parametrize(
    "event",
    [
        at_hour("a", 30),
        at_hour("a", 1, kind="view"),
        at_hour("a", 1, kind="dislike"),
        at_hour("a", 1, user="somebody else"),
        at_hour("c", 1),
        at_hour("a", 1, kind="comment", opinion=-0.8),
    ],
)
def test_what_comes_too_late_or_is_no_sign_of_interest_earns_nothing(event):
    assert [place.reward for place in collect_places([show("a", 1), event])] == [0.0]


def test_what_was_shown_without_a_propensity_cannot_be_replayed():
    plain = Event(user="u", item="a", event="show", time=START)
    assert collect_places([plain]) == []
    with pytest.raises(ChainInputError, match="propensity"):
        replay_lists(lambda user, moment, k: [], [])


# --- values


def make_place(item, place, reward, propensity, list_id="l1", user="u"):
    return ShownPlace(
        user=user, item=item, list_id=list_id, place=place, propensity=propensity, time=START, reward=reward
    )


def test_the_value_of_two_lists_by_hand():
    places = [
        make_place("a", 1, 1.0, 1.0),
        make_place("x", 2, 1.0, 0.1),  # explored
        make_place("b", 3, 0.0, 0.5),
        make_place("c", 1, 0.0, 0.8, list_id="l2", user="v"),
        make_place("a", 2, 1.0, 0.25, list_id="l2", user="v"),
    ]
    lists = {"u": ["a", "b", "c"], "v": ["d", "a", "c"]}
    ours, shown = replay_lists(lambda user, moment, k: lists[user][:k], places)
    # matching: a (weight 1), b after a and x (weight 2), and of v nothing in place 1; in place 2 d would have come
    assert (ours.num_lists, ours.num_places, ours.num_matching, ours.num_clipped) == (2, 5, 2, 0)
    assert ours.value == pytest.approx(1 / 3)
    assert ours.effective_size == pytest.approx(9 / 5)
    assert ours.support == pytest.approx(3 / 5)
    assert (shown.value, shown.effective_size, shown.support) == (pytest.approx(3 / 5), 5.0, 1.0)


def test_one_place_with_a_tiny_propensity_does_not_decide_alone():
    weights, rewards, users = np.array([1e9, 1.0, 1.0]), np.array([1.0, 0.0, 0.0]), ["a", "b", "c"]
    report = estimate_value(weights, rewards, users, options=ReplayOptions(max_weight=2.0))
    assert (report.value, report.num_clipped) == (0.5, 1)


def test_nothing_that_matches_has_no_value():
    report = estimate_value(np.zeros(2), np.ones(2), ["a", "b"])
    assert (report.value, report.low, report.high, report.effective_size, report.support) == (
        None,
        None,
        None,
        0.0,
        0.0,
    )


@pytest.mark.parametrize("wrong", [{"reward_hours": 0.0}, {"max_weight": 0.5}, {"num_resamples": 0}])
def test_a_replay_without_meaning_is_refused(wrong):
    with pytest.raises(OptionValueError):
        ReplayOptions(**wrong)


@pytest.mark.parametrize("seed", range(3))
def test_a_replay_finds_the_known_value_of_another_way_which_what_was_shown_does_not(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.6, size=12)  # of each item, whoever sees it
    worst_first = [int(row) for row in np.argsort(truth)]
    best_first = worst_first[::-1]
    places, known = [], []
    for user in range(1500):
        shown = explore_list(worst_first, dict.fromkeys(worst_first, 1.0), share=0.6, k=6, rng=rng)
        before: set[int] = set()
        for number, place in enumerate(shown[FIRST_EXPLORED_RANK:], start=1):  # before, nothing was left to chance
            reward = float(rng.random() < truth[place.row])
            places.append(make_place(str(place.row), number, reward, place.propensity, f"l{user}", f"u{user}"))
            known.append(truth[next(row for row in best_first if row not in before)])
            before.add(place.row)
    ours, as_shown = replay_lists(lambda user, moment, k: [str(row) for row in best_first], places)
    assert ours.value == pytest.approx(np.mean(known), abs=0.05)
    assert ours.low < np.mean(known) < ours.high
    assert ours.support == pytest.approx(1, abs=0.1)
    assert ours.effective_size < len(places)
    assert as_shown.high < np.mean(known)


def test_a_past_record_knows_nothing_of_its_moment_or_later():
    record = PastRecord(Interactions([at_hour("a", 0), at_hour("b", 2), at_hour("a", 3, user="v")], items=["a", "b"]))
    record.moment = START + timedelta(hours=2)
    assert [event.item for event in record.history("u")] == ["a"]
    assert record.popularity(None, START + timedelta(hours=9)) == {"a": 1, "b": 0}
