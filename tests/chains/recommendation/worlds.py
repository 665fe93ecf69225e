"""A small shop with known tastes: users of a group use the items of their group, so the right answer is known."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
from langchain_core.vectorstores import InMemoryVectorStore

from chains.recommendation import (
    FeatureOptions,
    InterestModel,
    InterestOptions,
    RankingOptions,
    RecommendationOptions,
    build_recommendation_chain,
    embed_catalogue,
    train_interest_model,
)
from llms.fakes import HashedEmbeddings
from retrievers.interactions import Event, EventKind, Interactions
from retrievers.items import Item, ItemCatalogue

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=62)  # two days after the last event
GROUPS = ("garden", "music", "kitchen")
ITEMS_PER_GROUP = 10
EMBEDDINGS = HashedEmbeddings(dimension=32)
OPTIONS = InterestOptions(
    cut_shares=(0.5, 0.7), label_share=0.2, num_negatives=10, features=FeatureOptions(ridge=5.0, num_factors=3)
)


def make_event(user: str, item: str, kind: str = "click", day: float = 0.0) -> Event:
    return Event(user=user, item=item, event=kind, time=START + timedelta(days=day))


def make_catalogue() -> ItemCatalogue:
    return ItemCatalogue(
        Item(
            id=f"{group}{number}",
            title=f"{group} thing {number}",
            description=f"{group} {group}",
            tags=(group,),
            price=10.0 * (at + 1) + number,
            created=date(2025, 6, 1) + timedelta(days=20 * number),
        )
        for number in range(ITEMS_PER_GROUP)
        for at, group in enumerate(GROUPS)
    )


def make_events(num_users: int = 30, per_user: int = 6, seed: int = 0) -> list[Event]:
    """Users of group g use items of g, spread over 60 days, with a few slips."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(num_users):
        group = GROUPS[user % len(GROUPS)]
        for number in rng.permutation(ITEMS_PER_GROUP)[:per_user]:
            kind = rng.choice([EventKind.VIEW, EventKind.CLICK, EventKind.BUY], p=[0.2, 0.6, 0.2])
            chosen = group if rng.random() < 0.95 else str(rng.choice(GROUPS))
            events.append(make_event(f"u{user}", f"{chosen}{number}", str(kind), float(rng.uniform(0, 60))))
    return events


def make_interactions() -> Interactions:
    return Interactions(make_events(), items=list(make_catalogue()))


def train_model(interactions: Interactions | None = None, options: InterestOptions = OPTIONS) -> InterestModel:
    catalogue = make_catalogue()
    return train_interest_model(
        catalogue=catalogue,
        vectors=embed_catalogue(catalogue, EMBEDDINGS),
        interactions=interactions or make_interactions(),
        options=options,
    )


def make_store() -> InMemoryVectorStore:
    store = InMemoryVectorStore(EMBEDDINGS)
    store.add_documents(make_catalogue().to_documents())
    return store


def make_chain(model: InterestModel, **changes):
    parts = {
        "catalogue": make_catalogue(),
        "embeddings": EMBEDDINGS,
        "store": make_store(),
        "interactions": make_interactions(),
        "interest": model,
        "clock": lambda: NOW,
        # the known answers are about interest; variety has tests of its own
        "options": RecommendationOptions(ranking=RankingOptions(diversity=0.0)),
    }
    return build_recommendation_chain(**(parts | changes))
