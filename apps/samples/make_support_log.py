"""Writer of the sample support logs; run `python -m apps.samples.make_support_log`.

The conversations come from the sentence patterns in `log_phrases.yaml`. Everything is drawn from one seed per
language, so that a second run writes the same bytes. Names, numbers and addresses belong to nobody.
"""

import csv
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

SAMPLES_DIR: Final = Path(__file__).parent
LOGS_DIR: Final = SAMPLES_DIR / "logs"
NUM_CONVERSATIONS: Final = 240
START: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)
RARE_SHARE: Final = 0.05
NUM_CUSTOMERS: Final = 90
HEADER: Final = ("conversation", "time", "customer", "role", "message", "rating", "resolved")
_SEEDS: Final = {"en": 11, "zh": 12}
_CHOICE: Final = re.compile(r"\{([^{}]*\|[^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a log, as a row of the file."""

    conversation: str
    time: datetime
    customer: str
    role: str
    message: str
    rating: str = ""
    resolved: str = ""


def write_logs() -> list[Path]:
    """Write the log of each language and return the files."""
    phrases = yaml.safe_load((SAMPLES_DIR / "log_phrases.yaml").read_text("utf-8"))
    return [
        _write(LOGS_DIR / f"support.{language}.csv", make_log(phrases[language], seed))
        for language, seed in _SEEDS.items()
    ]


def make_log(phrases: dict[str, Any], seed: int) -> Iterator[Line]:
    """Yield the messages of all conversations, in the order of their times."""
    rng = random.Random(seed)
    topics = phrases["topics"]
    shares = [topics[name]["share"] for name in topics]
    customers = [f"c{number:03d}" for number in range(NUM_CUSTOMERS)]
    time = START
    for number in range(NUM_CONVERSATIONS):
        time += timedelta(minutes=rng.randint(60, 540))
        topic = None if rng.random() < RARE_SHARE else topics[rng.choices(list(topics), shares)[0]]
        yield from _conversation(f"{number + 1:04d}", time, rng.choice(customers), topic, phrases, rng)


def _conversation(
    name: str, time: datetime, customer: str, topic: dict[str, Any] | None, phrases: dict[str, Any], rng: random.Random
) -> Iterator[Line]:
    asks, answer, is_bad = (phrases["rare"], None, False) if topic is None else (topic["asks"], *_answer(topic, rng))
    facts = _facts(phrases, rng)
    said = [
        (0, rng.choice(phrases["greetings"])),
        (1, rng.choice(phrases["hellos"])),
        (0, f"{_drawn(rng.choice(asks), rng)} {rng.choice(phrases['thanks'])}"),
        (1, rng.choice(phrases["waits"])),
        (1, answer or ""),
        (1, rng.choice(phrases["goodbyes"])),
        (0, "" if is_bad else rng.choice(phrases["endings"])),
    ]
    if rng.random() < 0.5:  # many write everything at once
        said[0:3] = [(0, f"{said[0][1]} {said[2][1]}")]
    rating = "" if rng.random() < 0.5 else ("1" if is_bad or answer is None else str(rng.choice((4, 5, 5))))
    resolved = "no" if is_bad or answer is None else "yes"
    for role, pattern in said:
        text = _filled(pattern, facts).strip()
        if text:
            time += timedelta(seconds=rng.randint(5, 90))
            yield Line(name, time, customer, phrases["roles"][role], text, rating, resolved)


def _answer(topic: dict[str, Any], rng: random.Random) -> tuple[str, bool]:
    answers = topic["answers"]
    text, _, *marks = rng.choices(answers, [weight for _, weight, *_ in answers])[0]
    return text, "bad" in marks


def _drawn(pattern: str, rng: random.Random) -> str:
    """Return a pattern with one piece of each choice, the innermost choices first."""
    while found := _CHOICE.search(pattern):
        pattern = pattern[: found.start()] + rng.choice(found[1].split("|")) + pattern[found.end() :]
    return re.sub(" +", " ", pattern).strip()


def _facts(phrases: dict[str, Any], rng: random.Random) -> dict[str, str]:
    is_chinese = phrases["roles"][0] == "顾客"
    number = "".join(str(rng.randint(0, 9)) for _ in range(8))
    return {
        "order": f"VT-{rng.randint(100_000, 999_999)}",
        "mail": f"{rng.choice(('anna', 'omar', 'lucy', 'peter', 'wang', 'li'))}{rng.randint(10, 99)}@mail.example",
        "phone": f"138{number}" if is_chinese else f"+44 20 7946 {number[:4]}",
        "name": rng.choice(phrases["names"]),
        "agent": rng.choice(phrases["agents"]),
        "street": rng.choice(phrases["streets"]),
    }


def _filled(pattern: str, facts: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: facts[found[1]], pattern)


def _write(path: Path, lines: Iterator[Line]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for line in lines:
            time = line.time.isoformat().replace("+00:00", "Z")
            writer.writerow(
                (line.conversation, time, line.customer, line.role, line.message, line.rating, line.resolved)
            )
    return path


if __name__ == "__main__":
    for written in write_logs():
        print(written)  # noqa: T201
