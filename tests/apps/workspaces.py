"""A workspace of few rows for a tiny encoder: all three use cases trained and indexed in seconds."""

import csv
import json
import random
import shutil
from datetime import UTC, datetime, timedelta

from apps.quickstart import run_quickstart
from apps.settings import SETTINGS_NAME, load_settings
from tests.conftest import made_once

__all__ = [
    "LABELS",
    "build_workspace",
    "load_built",
    "posts",
    "surge_posts",
    "write_csv",
    "write_jsonl",
    "write_workspace",
]

START = datetime(2026, 3, 2, tzinfo=UTC)
LABELS = {"track": "where is my parcel {}", "refund": "my money back {}", "card": "i lost the card {}"}
TEMPLATES = """
slots:
  order: {pattern: 'VT-\\d+', ask: "Which order?"}
answers:
  track: "Order {order} is on its way."
  refund: "Refunds take five days."
"""
ARTICLES = {
    "battery.md": "# Battery care\n\nKeep the battery between 20 and 80 percent. Never freeze it.\n",
    "deep/cable.md": "# Cables\n\nUse a short cable. A cable of 15.5 cm is enough.\n",
}
OPINIONS = {"negative": "is lost and late {}", "positive": "is back {}", "neutral": "is here {}"}
TOPICS = {"parcels": "the parcel", "cards": "my card"}
_built = {}


def write_workspace(folder, encoder, *, settings=""):
    """Write records and settings for all three use cases into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    # torch: an export would lie beside the encoder, which other tests share
    head = f"[models]\nencoder = {json.dumps(str(encoder))}\nencoder_engine = 'torch'\n[finetuning]\nmethod = 'head'\n"
    (folder / SETTINGS_NAME).write_text(head + settings, encoding="utf-8")
    _write_customer_service(folder / "customer_service")
    _write_monitoring(folder / "monitoring")
    _write_recommendation(folder / "recommendation")
    return folder


def build_workspace(tmp_path_factory, encoder):
    """The folder of a workspace after its quickstart, made once per test run; do not change it."""
    if "folder" not in _built:

        def build(folder):
            run_quickstart(write_workspace(folder / "workspace", encoder), show_results=False)

        built = made_once(tmp_path_factory, "built", build)
        # a copy for each process, since a command may lock what lies in its workspace
        _built["folder"] = shutil.copytree(built / "workspace", tmp_path_factory.mktemp("built") / "workspace")
    return _built["folder"]


def load_built(tmp_path_factory, encoder):
    """The settings of the built workspace."""
    return load_settings(build_workspace(tmp_path_factory, encoder))


def posts(count, *, first=0):
    """`count` posts, one every three hours, as plain values."""
    rng = random.Random(first)
    return [
        {
            "id": f"p{number}",
            "time": (START + timedelta(hours=3 * number)).isoformat(),
            "source": "forum",
            "text": f"{rng.choice(list(TOPICS.values()))} {rng.choice(list(OPINIONS.values())).format(number)}",
        }
        for number in range(first, first + count)
    ]


def surge_posts(size=6):
    """Fifteen quiet days and one on which all that is said of parcels is bad, as plain values.

    Args:
        size: posts every two hours of the last day.
    """
    return [
        {
            "id": f"s{slot}-{place}",
            "time": (START + timedelta(hours=2 * slot, minutes=place)).isoformat(),
            "source": "forum",
            "text": f"the parcel is {'lost and late' if slot >= 180 or slot % 8 == 0 else 'here'} {slot} {place}",
        }
        for slot in range(192)
        for place in range(size if slot >= 180 else 1)
    ]


def write_csv(path, header, rows):
    """Write one CSV file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_jsonl(path, rows):
    """Write one JSON object per line; a text stands as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _write_customer_service(folder):
    for name, numbers in (("intents.csv", range(10)), ("intents_test.csv", range(20, 23))):
        rows = [(text.format(number), label) for label, text in LABELS.items() for number in numbers]
        write_csv(folder / name, ("text", "intent"), rows)
    (folder / "templates.yaml").write_text(TEMPLATES, encoding="utf-8")
    for name, text in ARTICLES.items():
        path = folder / "knowledge" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    questions = [("How full should the battery be?", "battery.md"), ("Who won the match?", "")]
    write_csv(folder / "questions.csv", ("question", "article"), questions)


def _write_monitoring(folder):
    for name, numbers in (("labelled.csv", range(8)), ("labelled_test.csv", range(20, 22))):
        rows = [
            (f"{subject} {opinion.format(number)}", topic, sentiment)
            for topic, subject in TOPICS.items()
            for sentiment, opinion in OPINIONS.items()
            for number in numbers
        ]
        write_csv(folder / name, ("text", "topic", "sentiment"), rows)
    write_jsonl(folder / "stream.jsonl", posts(80))


def _write_recommendation(folder):
    rng = random.Random(0)
    items = [
        (f"i{n}", f"{'red card' if n % 2 else 'blue order'} {n}", "", "a|b" if n % 3 else "c", 5 + n, "2025-01-02")
        for n in range(16)
    ]
    write_csv(folder / "items.csv", ("id", "title", "description", "tags", "price", "created"), items)
    events = []
    for number in range(600):
        user = rng.randrange(20)
        item = rng.choice([n for n in range(16) if n % 2 == user % 2 or rng.random() < 0.1])
        time = START + timedelta(hours=2 * number)
        events.append((f"u{user}", f"i{item}", rng.choice(["view", "click", "buy"]), time.isoformat()))
    write_csv(folder / "events.csv", ("user", "item", "event", "time"), events)
