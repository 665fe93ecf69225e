"""The Chinese sample shop with the encoder of the package: tastes, searches and their prices."""

from collections import Counter
from datetime import UTC, datetime
from itertools import combinations

import pytest

from apps.settings import load_settings
from apps.training import train_interest
from apps.wiring import build_recommendation, read_behaviour
from apps.workspace import create_workspace

pytestmark = pytest.mark.slow
NOW = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Settings of the shop, and its chain."""
    folder = tmp_path_factory.mktemp("shop") / "w"
    create_workspace(folder, language="zh")
    settings = load_settings(folder)
    train_interest(settings)
    return settings, build_recommendation(settings, clock=lambda: NOW)


def find_people_of_different_taste(settings, count=5):
    """Return people each of whom spends most of their events on another group of items."""
    catalogue, interactions = read_behaviour(settings)
    chosen = {}
    for user in interactions.users:
        history = interactions.history(user)
        group, number = Counter(catalogue[event.item].tags[0] for event in history).most_common(1)[0]
        share = number / len(history)
        if share > chosen.get(group, (0.0, ""))[0]:
            chosen[group] = share, user
    return [user for _, user in sorted(chosen.values(), reverse=True)[:count]]


def test_five_people_of_different_taste_see_different_lists(shop):
    settings, chain = shop
    people = find_people_of_different_taste(settings)
    assert len(set(people)) == 5
    tops = [{item.id for item in listed.items} for listed in chain.batch([{"user": user} for user in people])]
    overlaps = [len(first & second) for first, second in combinations(tops, 2)]
    assert sum(overlaps) / len(overlaps) <= 3


@pytest.mark.parametrize(
    ("query", "most", "word"),
    [("五十元以内的安静物件", 50, "安静"), ("小厨房 一百元以下", 100, "小厨房"), ("两百元以内的露营装备", 200, "露营")],
)
def test_a_chinese_search_finds_what_fits_within_its_price(shop, query, most, word):
    _, chain = shop
    found = chain.invoke({"user": "新人", "query": query, "k": 4}).items
    assert all(item.price <= most for item in found)
    assert sum(word in item.tags for item in found) >= 3
    assert all(item.reason.endswith("。") for item in found)
