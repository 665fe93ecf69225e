"""Writes the Chinese sample shop from `shop_zh.yaml`: items.csv and events.csv below `zh/recommendation`.

Run: `python -m apps.samples.make_shop_zh`. The items were written for this project; the events are
simulated as those of the English shop are, so the same run writes the same bytes.
"""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from apps.samples.make_events import FIRST_DAY, SimulationOptions, simulate_events, write_events

SAMPLES_DIR = Path(__file__).parent
SHOP_DIR = SAMPLES_DIR / "zh" / "recommendation"
OPTIONS = SimulationOptions(num_events=5_000, num_users=180, num_new_users=10, num_cold_items=8)
_SHARE_OLD = 0.8  # of the items, which were there before the first event


def read_items(content: dict[str, Any], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Return the rows of items.csv: most were there at the start, others come in the course of the three months."""
    rows: list[tuple[str, ...]] = []
    for group, lines in content["items"].items():
        for line in lines:
            title, description, price, tags = line.split("|")
            age = rng.integers(1, 500) if rng.random() < _SHARE_OLD else -rng.integers(0, 80)
            created = FIRST_DAY - timedelta(days=int(age))
            number = len(rows) + 1
            rows.append(
                (f"z{number:03d}", title, description, "|".join([group, *tags.split()]), price, created.isoformat())
            )
    return rows


def make_shop(source: Path, folder: Path) -> None:
    """Write both files of the shop into `folder`."""
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "title", "description", "tags", "price", "created"])
        writer.writerows(read_items(content, np.random.default_rng(OPTIONS.seed)))
    events = simulate_events(folder / "items.csv", content["tastes"], OPTIONS)
    write_events(events, folder / "events.csv")


if __name__ == "__main__":
    make_shop(SAMPLES_DIR / "shop_zh.yaml", SHOP_DIR)
