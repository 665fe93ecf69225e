"""Simulator of the sample shop's visitors, which writes `events.csv`; run `python -m apps.samples.make_events`.

The events follow from the tastes stated in `tastes.yaml` and the items in `items.csv`, so whoever trains a
recommender on them knows what there was to find. The seed is fixed: every run writes the same bytes.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

SAMPLES_DIR = Path(__file__).parent
SHOP_DIR = SAMPLES_DIR / "en" / "recommendation"
FIRST_DAY = date(2026, 1, 1)
NUM_DAYS = 90  # January to March 2026

# How many visits start in each hour, UTC. Nobody starts after 23:00 and no visit lasts an hour, so that
# every visit ends on the day on which it began.
HOUR_WEIGHTS = (2, 1, 0.5, 0.3, 0.3, 0.6, 2, 4, 5, 5, 5, 5, 6, 6, 5, 5, 5, 6, 8, 10, 11, 10, 6, 0)
WEEKDAY_WEIGHTS = (1.0, 0.95, 0.95, 1.0, 1.05, 1.25, 1.35)  # Monday first
VISIT_LIMIT_S = 55 * 60

Floats = npt.NDArray[np.float64]
Event = tuple[str, str, str, datetime]  # user, item, event, time


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """How many visitors and events there are, and how strongly taste, price and fashion steer them."""

    seed: int = 20260331
    num_events: int = 20_000
    num_users: int = 600
    num_new_users: int = 25  # first seen in the last `new_user_days`, nobody else is
    new_user_days: int = 10
    min_events: int = 8  # per user
    max_events: int = 120
    num_cold_items: int = 15  # never shown to anybody
    events_per_visit: float = 6.0
    drifting_share: float = 0.2  # users one of whose tastes is replaced halfway through
    random_view_share: float = 0.10  # of all views: a banner, a slip of the finger
    taste_strength: float = 1.5  # 0 = tastes do not matter
    related_strength: float = 1.8  # how much the next item of a visit resembles the one before
    popularity_exponent: float = 0.85  # of Zipf's law; 0 = all items equally attractive
    personal_spread: float = 0.4  # how far a user's weights stray from the group's, log scale
    click_rate: float = 0.76  # of views, for an item that fits perfectly; likewise the next two
    talk_rate: float = 0.34  # comment or share, of clicks
    buy_rate: float = 0.28  # of clicks


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """One group of `tastes.yaml`; `tag_weights` follows the order of `Shop.tags`."""

    share: float
    activity: float
    price_band: tuple[float, float]
    tag_weights: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The items as arrays; rows follow `items.csv`."""

    ids: tuple[str, ...]
    tags: tuple[str, ...]
    item_tags: Floats  # (items, tags), rows of length 1
    prices: Floats  # dollars
    created_day: npt.NDArray[np.int64]  # days after FIRST_DAY, negative for items that were already there
    attraction: Floats  # 0 for items nobody is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One visitor; `fits` says how much each of the user's tastes likes each item, in standard deviations."""

    name: str
    num_events: int
    first_day: int
    taste_mix: Floats  # (tastes,), sums to 1
    fits: Floats  # (tastes, items)
    late_fits: Floats  # the same after the user's taste has drifted; equal to `fits` for most users


def read_shop(path: Path, options: SimulationOptions, rng: np.random.Generator) -> Shop:
    """Return the shop described by `path`, with a random order of attractiveness."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    tags = tuple(sorted({tag for row in rows for tag in row["tags"].split("|")}))
    item_tags = np.array([[float(tag in row["tags"].split("|")) for tag in tags] for row in rows])
    created_day = np.array([(date.fromisoformat(row["created"]) - FIRST_DAY).days for row in rows])
    return Shop(
        ids=tuple(row["id"] for row in rows),
        tags=tags,
        item_tags=item_tags / np.linalg.norm(item_tags, axis=1, keepdims=True),
        prices=np.array([float(row["price"]) for row in rows]),
        created_day=created_day,
        attraction=draw_attraction(created_day, options, rng),
    )


def draw_attraction(created_day: npt.NDArray[np.int64], options: SimulationOptions, rng: np.random.Generator) -> Floats:
    """Return Zipf-like weights, zero for the cold items: half of them the newest, the rest anywhere."""
    num_items = len(created_day)
    attraction = 1.0 / (rng.permutation(num_items) + 1.0) ** options.popularity_exponent
    num_newest = options.num_cold_items // 2
    oldest_first = np.argsort(created_day, kind="stable")
    others = rng.choice(oldest_first[: num_items - num_newest], options.num_cold_items - num_newest, replace=False)
    attraction[oldest_first[num_items - num_newest :]] = 0.0
    attraction[others] = 0.0
    return np.asarray(attraction, dtype=np.float64)


def read_tastes(source: Path | dict[str, dict[str, Any]], tags: Sequence[str]) -> list[Taste]:
    """Return the taste groups of a file, or of what stands in one.

    Raises:
        ValueError: if a group weighs a tag that no item has.
    """
    groups = yaml.safe_load(source.read_text(encoding="utf-8")) if isinstance(source, Path) else source
    for name, group in groups.items():
        if unknown := sorted(set(group["tags"]) - set(tags)):
            msg = f"{name} weighs {', '.join(unknown)}, which no item has; correct the spelling"
            raise ValueError(msg)
    return [
        Taste(
            share=group["share"],
            activity=group["activity"],
            price_band=(group["price_band"][0], group["price_band"][1]),
            tag_weights=np.array([float(group["tags"].get(tag, 0.0)) for tag in tags]),
        )
        for group in groups.values()
    ]


def draw_fit(taste: Taste, shop: Shop, options: SimulationOptions, rng: np.random.Generator) -> Floats:
    """Return how much one user with this taste likes each item: mean 0, standard deviation 1."""
    weights = taste.tag_weights * rng.lognormal(0.0, options.personal_spread, len(shop.tags))
    weights = weights + rng.normal(0.0, options.personal_spread / 2, len(shop.tags))
    low, high = np.log(taste.price_band)
    log_prices = np.log(shop.prices)
    outside = np.maximum(0.0, np.maximum(low - log_prices, log_prices - high))
    fit = shop.item_tags @ weights - 0.8 * outside  # a factor of e outside the band costs 0.8
    return np.asarray((fit - fit.mean()) / fit.std(), dtype=np.float64)


def draw_event_counts(activities: Floats, options: SimulationOptions, rng: np.random.Generator) -> list[int]:
    """Return how many events each user has: a long tail between the limits, with the exact total."""
    drawn = activities * rng.lognormal(0.0, 0.75, len(activities))
    drawn[-options.num_new_users :] *= 0.4  # they had ten days instead of ninety
    scale = options.num_events / drawn.sum()
    for _ in range(50):  # clipping moves the sum, so approach the total step by step
        counts = np.clip(np.rint(drawn * scale), options.min_events, options.max_events)
        scale *= options.num_events / counts.sum()
    while missing := int(options.num_events - counts.sum()):
        step = 1 if missing > 0 else -1
        user = rng.integers(len(counts))
        counts[user] = np.clip(counts[user] + step, options.min_events, options.max_events)
    return [int(count) for count in counts]


def draw_users(tastes: Sequence[Taste], shop: Shop, options: SimulationOptions, rng: np.random.Generator) -> list[User]:
    """Return the visitors; the last `num_new_users` of them come only at the very end."""
    shares = np.array([taste.share for taste in tastes])
    chosen = [
        rng.choice(len(tastes), rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]), replace=False, p=shares / shares.sum())
        for _ in range(options.num_users)
    ]
    mixes = [rng.dirichlet(np.full(len(groups), 2.0)) for groups in chosen]
    activities = [
        float(mix @ [tastes[group].activity for group in groups]) for groups, mix in zip(chosen, mixes, strict=True)
    ]
    counts = draw_event_counts(np.array(activities), options, rng)
    users = []
    for number, (groups, mix) in enumerate(zip(chosen, mixes, strict=True)):
        fits = np.array([draw_fit(tastes[group], shop, options, rng) for group in groups])
        late_fits = fits.copy()
        if rng.random() < options.drifting_share:
            new_taste = tastes[int(rng.integers(len(tastes)))]
            late_fits[rng.integers(len(groups))] = draw_fit(new_taste, shop, options, rng)
        is_new = number >= options.num_users - options.num_new_users
        users.append(
            User(
                name=f"u{number + 1:03d}",
                num_events=counts[number],
                first_day=NUM_DAYS - options.new_user_days if is_new else 0,
                taste_mix=mix,
                fits=fits,
                late_fits=late_fits,
            )
        )
    return users


def draw_visit_days(user: User, options: SimulationOptions, rng: np.random.Generator) -> list[int]:
    """Return the days of the user's visits in order, at most one visit a day."""
    days = np.arange(user.first_day, NUM_DAYS)
    weights = np.array([WEEKDAY_WEIGHTS[(FIRST_DAY + timedelta(days=int(day))).weekday()] for day in days])
    num_visits = min(len(days), max(1, round(user.num_events / options.events_per_visit)))
    while True:
        drawn = rng.choice(days, num_visits, replace=False, p=weights / weights.sum())
        # Only a new user may be seen first at the very end; anybody else draws again.
        if user.first_day > 0 or drawn.min() < NUM_DAYS - options.new_user_days:
            return sorted(int(day) for day in drawn)


def draw_times(day: int, num_events: int, rng: np.random.Generator) -> list[datetime]:
    """Return the times of one visit's events in order, all within an hour."""
    hours = np.array(HOUR_WEIGHTS)
    hour = int(rng.choice(24, p=hours / hours.sum()))
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, hour, tzinfo=UTC)
    start += timedelta(days=day, seconds=int(rng.integers(3600)))
    pauses_s = 5.0 + rng.exponential(110.0, num_events)
    offsets_s = np.cumsum(pauses_s) * min(1.0, VISIT_LIMIT_S / pauses_s.sum())
    return [start + timedelta(seconds=int(offset)) for offset in offsets_s]


class Visitor:
    """Walks one user through the shop and remembers what the user has already seen."""

    def __init__(self, user: User, shop: Shop, options: SimulationOptions, rng: np.random.Generator) -> None:
        self._user = user
        self._shop = shop
        self._options = options
        self._rng = rng
        self._interest = np.ones(len(shop.ids))  # falls once an item was looked at or bought

    def visit(self, day: int, num_events: int) -> list[tuple[int, str]]:
        """Return the (item row, event) pairs of one visit, which follows a single taste."""
        fits = self._user.fits if day < NUM_DAYS // 2 else self._user.late_fits
        fit = fits[self._rng.choice(len(fits), p=self._user.taste_mix)]
        steps: list[tuple[int, str]] = []
        previous: int | None = None
        while len(steps) < num_events:
            if self._rng.random() < self._options.random_view_share:
                steps.append((self._draw_random_item(day), "view"))
                continue
            previous = self._draw_item(day, fit, previous)
            steps.extend((previous, event) for event in self._draw_funnel(previous, fit[previous]))
        return steps[:num_events]

    def _draw_random_item(self, day: int) -> int:
        """Return any item the shop shows on `day`."""
        shown = (self._shop.attraction > 0) & (self._shop.created_day <= day)
        return int(self._rng.choice(np.flatnonzero(shown)))

    def _draw_item(self, day: int, fit: Floats, previous: int | None) -> int:
        """Return an item that is on sale, suits the taste and resembles the previous one."""
        appeal = self._options.taste_strength * fit
        if previous is not None:
            similarity = self._shop.item_tags @ self._shop.item_tags[previous]
            appeal = appeal + self._options.related_strength * similarity
        weights = self._shop.attraction * self._interest * np.exp(appeal)
        weights[self._shop.created_day > day] = 0.0
        return int(self._rng.choice(len(weights), p=weights / weights.sum()))

    def _draw_funnel(self, item: int, fit: float) -> Iterator[str]:
        """Yield what the user does with the item: view, then perhaps click, talk and buy."""
        liking = 1.0 / (1.0 + np.exp(1.0 - fit))  # 1/2 for an item one standard deviation above the mean
        yield "view"
        self._interest[item] *= 0.5
        if self._rng.random() >= self._options.click_rate * liking:
            return
        yield "click"
        if self._rng.random() < self._options.talk_rate * liking:
            yield str(self._rng.choice(["comment", "share"]))
        if self._rng.random() < self._options.buy_rate * liking:
            self._interest[item] *= 0.02  # hardly anybody needs a second one
            yield "buy"


def simulate_user(user: User, shop: Shop, options: SimulationOptions, rng: np.random.Generator) -> list[Event]:
    """Return everything one user does, in order."""
    days = draw_visit_days(user, options, rng)
    # Every visit has at least one event; the others fall on the visits at random.
    sizes = 1 + rng.multinomial(user.num_events - len(days), np.full(len(days), 1.0 / len(days)))
    visitor = Visitor(user, shop, options, rng)
    events: list[Event] = []
    for day, size in zip(days, sizes, strict=True):
        steps = visitor.visit(day, int(size))
        times = draw_times(day, int(size), rng)
        events += [(user.name, shop.ids[item], event, time) for (item, event), time in zip(steps, times, strict=True)]
    return events


def simulate_events(
    items_path: Path, tastes: Path | dict[str, dict[str, Any]], options: SimulationOptions
) -> list[Event]:
    """Return all events of all users, oldest first; ties keep the order of the users."""
    rng = np.random.default_rng(options.seed)
    shop = read_shop(items_path, options, rng)
    users = draw_users(read_tastes(tastes, shop.tags), shop, options, rng)
    events = [event for user in users for event in simulate_user(user, shop, options, rng)]
    return sorted(events, key=lambda event: event[3])


def write_events(events: Sequence[Event], path: Path) -> None:
    """Write `events` as CSV with LF line ends and times such as 2026-01-05T18:22:07+00:00."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["user", "item", "event", "time"])
        writer.writerows([user, item, event, time.isoformat()] for user, item, event, time in events)


def main() -> None:
    """Rewrite the events of the sample shop."""
    events = simulate_events(SHOP_DIR / "items.csv", SAMPLES_DIR / "tastes.yaml", SimulationOptions())
    write_events(events, SHOP_DIR / "events.csv")


if __name__ == "__main__":
    main()
