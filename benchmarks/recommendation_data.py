"""Data of the recommendation benchmarks: the sample shop, MovieLens-100k, splits of them, and vectors kept."""

import csv
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings
from typing_extensions import override

from retrievers.interactions import INTEREST_KINDS, Event, EventWeights
from retrievers.items import Item, ItemCatalogue

SAMPLES = Path(__file__).parents[1] / "apps/samples/en/recommendation"
RATING_KINDS = dict(enumerate(INTEREST_KINDS, start=1))
RATING_WEIGHTS = EventWeights(view=0.6, click=0.7, comment=0.8, share=0.9, buy=1.0, half_life_days=math.inf)


class CachedEmbeddings(Embeddings):
    """Another object's vectors, each text embedded once: the same catalogue serves several splits."""

    def __init__(self, inner: Embeddings) -> None:
        self.inner = inner
        self.known: dict[str, list[float]] = {}

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        missing = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known |= zip(missing, self.inner.embed_documents(missing) if missing else [], strict=True)
        return [self.known[text] for text in texts]

    @override
    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def read_samples() -> tuple[ItemCatalogue, list[Event]]:
    with (SAMPLES / "items.csv").open(encoding="utf-8") as file:
        items = [
            Item(
                id=row["id"],
                title=row["title"],
                description=row["description"],
                tags=tuple(row["tags"].split("|")),
                price=float(row["price"]) if row["price"] else None,
                created=date.fromisoformat(row["created"]) if row["created"] else None,
            )
            for row in csv.DictReader(file)
        ]
    with (SAMPLES / "events.csv").open(encoding="utf-8") as file:
        return ItemCatalogue(items), [Event.model_validate(row) for row in csv.DictReader(file)]


def read_movielens(folder: Path) -> tuple[ItemCatalogue, list[Event]]:
    genres = [line.split("|")[0] for line in (folder / "u.genre").read_text("latin-1").splitlines() if line.strip()]
    items = []
    for line in (folder / "u.item").read_text("latin-1").splitlines():
        number, title, *_, flags = line.split("|", 5)
        tags = tuple(genre for genre, flag in zip(genres, flags.split("|"), strict=True) if flag == "1")
        items.append(Item(id=number, title=title, tags=tags))
    events = []
    for line in (folder / "u.data").read_text("latin-1").splitlines():
        user, item, rating, seconds = line.split("\t")
        moment = datetime.fromtimestamp(int(seconds), tz=UTC)
        events.append(Event(user=user, item=item, event=RATING_KINDS[int(rating)], time=moment))
    return ItemCatalogue(items), events


def split_by_user(events: Sequence[Event], share: float, seed: int) -> tuple[list[Event], list[Event]]:
    """Return a random `share` of every user's events, and the rest."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {}
    for at, event in enumerate(events):
        rows.setdefault(event.user, []).append(at)
    later: set[int] = set()
    for found in rows.values():
        later |= set(rng.permutation(found)[: round(len(found) * (1 - share))].tolist())
    return [e for at, e in enumerate(events) if at not in later], [e for at, e in enumerate(events) if at in later]


def tell_target(least: float, found: float) -> str:
    """Return whether a figure is as large as wanted, and else by how much it is not.

    Example:
        >>> tell_target(0.5, 0.48)
        'wanted: at least 0.5, missed by 0.020'
    """
    return f"wanted: at least {least}, " + ("reached" if found >= least else f"missed by {least - found:.3f}")
