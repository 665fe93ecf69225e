from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.recommendation import embed_catalogue
from chains.recommendation.explanation import collect_facts
from chains.recommendation.features import FEATURE_NAMES, FeatureOptions, FeatureTable
from chains.recommendation.user_profile import build_profile, embed_user
from retrievers.interactions import EventKind, EventWeights, Interactions
from tests.chains.recommendation.worlds import EMBEDDINGS, START, make_catalogue, make_event, make_events

CATALOGUE = make_catalogue()
VECTORS = embed_catalogue(CATALOGUE, EMBEDDINGS)


def compute(table, profile, rows=None):
    return table.compute(table.score_user(profile), rows)


def make_table(events, now=None):
    interactions = Interactions(events, items=list(CATALOGUE))
    return FeatureTable(
        catalogue=CATALOGUE, vectors=VECTORS, interactions=interactions, options=FeatureOptions(num_factors=3), now=now
    )


def make_profile(events, day, user="u0"):
    return build_profile(user, [e for e in events if e.user == user], EventWeights(), START + timedelta(days=day))


def column(features, name):
    return features[:, FEATURE_NAMES.index(name)]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(CATALOGUE)), st.floats(0.01, 100), max_size=6))
def test_a_taste_has_length_1_or_is_zero(strengths):
    length = np.linalg.norm(embed_user(VECTORS, CATALOGUE.positions, strengths))
    assert length == pytest.approx(1.0 if strengths else 0.0, abs=1e-5)


def test_a_taste_leans_towards_what_is_stronger():
    taste = embed_user(VECTORS, CATALOGUE.positions, {"garden0": 5.0, "music0": 1.0})
    cosines = VECTORS @ taste
    assert cosines[CATALOGUE.positions["garden0"]] > cosines[CATALOGUE.positions["music0"]]


def test_a_profile_knows_only_its_past():
    events = [
        make_event("u", "garden0", "view", 1),
        make_event("u", "garden0", "buy", 2),
        make_event("u", "music1", day=9),
    ]
    profile = build_profile("u", events, EventWeights(), START + timedelta(days=3))
    assert profile.recent == ("garden0",)
    assert profile.bought == {"garden0"}
    assert profile.strongest == {"garden0": EventKind.BUY}
    assert build_profile("u", events, EventWeights(), START).is_cold


def test_features_are_unaffected_by_later_events():
    events = make_events()
    now = START + timedelta(days=30)
    past = [event for event in events if event.time <= now]
    with_future = compute(make_table(events, now), make_profile(events, 30))
    without = compute(make_table(past, now), make_profile(past, 30))
    np.testing.assert_allclose(with_future, without, atol=1e-4)


def test_features_are_finite_and_taste_is_0_for_strangers():
    features = compute(make_table(make_events()), make_profile([], 60))
    assert features.shape == (len(CATALOGUE), len(FEATURE_NAMES))
    assert np.isfinite(features).all()
    for name in ("taste_cosine", "recent_cosine", "collaborative", "factors", "price_match", "tag_affinity"):
        assert not column(features, name).any()


def test_some_rows_equal_those_rows_of_all():
    table, profile = make_table(make_events()), make_profile(make_events(), 60)
    rows = np.array([7, 2, 11])
    np.testing.assert_array_equal(compute(table, profile, rows), compute(table, profile)[rows])


def test_features_point_to_the_users_group():
    events = make_events()
    features = compute(make_table(events), make_profile(events, 60))
    own = np.array([item.startswith("garden") for item in CATALOGUE])
    for name in ("taste_cosine", "recent_cosine", "collaborative", "factors", "price_match", "tag_affinity"):
        values = column(features, name)
        assert values[own].mean() > values[~own].mean()


def test_newness_falls_with_age_and_is_0_before_its_time():
    events = [make_event("u", "garden0", day=-100)]  # 2025-09-23
    values = column(compute(make_table(events), make_profile([], -100)), "newness")
    by_number = {int(item[-1]): values[at] for item, at in CATALOGUE.positions.items() if item.startswith("music")}
    assert 0 < by_number[0] < by_number[5] <= 1  # number 5 was created on 2025-09-09
    assert by_number[9] == 0  # created on 2025-11-28, not yet there


@pytest.mark.parametrize(("num_users", "is_said"), [(4, False), (5, True)])
def test_a_companion_needs_people_who_used_both(num_users, is_said):
    pairs = [make_event(f"p{user}", item, day=1) for user in range(num_users) for item in ("garden0", "music0")]
    table = make_table([*pairs, make_event("u0", "garden0", day=2)])
    profile = make_profile([make_event("u0", "garden0", day=2)], 3)
    row = CATALOGUE.positions["music0"]
    (facts,) = collect_facts(table, profile, np.array([row]), compute(table, profile)[[row]])
    assert (facts.companion_title != "") == is_said
    assert table.find_companions(profile, [row]) == ["garden0"]


def test_what_is_new_is_told_by_the_moment_not_by_the_events():
    events = make_events()
    table = make_table(events)
    later = table.at(START + timedelta(days=2000), Interactions(events, items=list(CATALOGUE)))
    assert column(compute(later, make_profile([], 0)), "newness").max() < 0.001
    assert not column(compute(later, make_profile([], 0)), "trend").any()
    assert column(compute(later, make_profile([], 0)), "popularity").any()
