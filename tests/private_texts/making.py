"""Texts with private data made for the measure of its detectors, and the places of that data in them.

A development and a test part have templates, names, streets and forms of numbers of their own; the rules were written
with the development part in view, the test part is for the figures alone.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.private_texts.later_templates import LATER
from tests.private_texts.templates import DEVELOPMENT, Pool
from tests.private_texts.unseen_templates import TEST

Part = Literal["development", "test"]
_PARTS: dict[Part, tuple[Pool, ...]] = {
    "development": (DEVELOPMENT, *LATER),
    "test": (TEST,),
}
_CARD_STARTS = {
    "4": 16,
    "51": 16,
    "55": 16,
    "34": 15,
    "37": 15,
    "6011": 16,
    "6222": 19,
    "6217": 19,
    "35": 16,
    "2221": 16,
}
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_FULL_WIDTH = {ord("0") + digit: ord("０") + digit for digit in range(10)}


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text and its private data.

    Attributes:
        text: what the detectors read.
        spans: start, end and kind of each piece.
        language: "en" or "zh".
    """

    text: str
    spans: tuple[tuple[int, int, str], ...]
    language: str


def make_texts(part: Part, count: int, *, seed: int) -> list[MarkedText]:
    """Return texts of one part, half of them Chinese; about every third has no private data but what looks like it."""
    random_ = random.Random(seed)
    texts = []
    for number in range(count):
        language = "zh" if number % 2 else "en"
        pool = random_.choice(_PARTS[part])
        is_plain = number // 2 % 3 == 2
        templates = (pool.plain if is_plain else pool.private)[language]
        texts.append(_fill(random_.choice(templates), language, pool, random_))
    return texts


def _fill(template: str, language: str, pool: Pool, random_: random.Random) -> MarkedText:
    text, spans = "", []
    for place, piece in enumerate(template.replace("}", "{").split("{")):
        if place % 2 == 0:
            text += piece
            continue
        value = _value(piece, language, pool, random_)
        if not piece.startswith("~"):
            spans.append((len(text), len(text) + len(value), piece.split(":")[0]))
        text += value
    return MarkedText(text, tuple(spans), language)


def _value(slot: str, language: str, pool: Pool, random_: random.Random) -> str:
    kind, _, variant = slot.partition(":")
    if kind.startswith("~"):
        return _digits(random_.choice(pool.lookalikes[kind[1:]]), random_)
    makers: dict[str, Callable[[], str]] = {
        "name": lambda: _name(variant, language, pool, random_),
        "address": lambda: _digits(random_.choice(pool.addresses[language]), random_),
        "email": lambda: _email(pool, random_),
        "phone": lambda: _digits(random_.choice(pool.phones[variant or language]), random_),
        "card": lambda: _card(random_),
        "iban": lambda: _iban(pool, random_),
        "id_number": lambda: (
            _resident_id(pool, random_) if language == "zh" else _digits(random_.choice(pool.ids), random_)
        ),
        "order_number": lambda: _digits(random_.choice(pool.orders[variant or language]), random_),
    }
    value = makers[kind]()
    is_full_width = language == "zh" and kind in ("phone", "card", "id_number") and random_.random() < 0.1
    return value.translate(_FULL_WIDTH) if is_full_width else value


def _name(variant: str, language: str, pool: Pool, random_: random.Random) -> str:
    if language == "zh":
        surname = random_.choice(pool.surnames)
        return surname if variant == "surname" else surname + random_.choice(pool.given["zh"])
    given, family = random_.choice(pool.given["en"]), random_.choice(pool.families)
    name = {"given": given, "family": family}.get(variant, f"{given} {family}")
    return name.lower() if variant == "lower" else name


def _email(pool: Pool, random_: random.Random) -> str:
    given, family = random_.choice(pool.given["en"]).lower(), random_.choice(pool.families).lower()
    plain = (
        "".join(filter(str.isalnum, f"{given}.{family}"))
        if random_.random() < 0.3
        else given + random_.choice("._-+") + family
    )
    plain = "".join(
        character for character in plain if character.isascii() and (character.isalnum() or character in "._-+")
    )
    return f"{plain}{random_.choice(['', '', str(random_.randint(1, 999))])}@{random_.choice(pool.hosts)}"


def _digits(pattern: str, random_: random.Random) -> str:
    r"""Return a pattern with random digits for `9` and capital letters for `^`; a backslash keeps what follows."""
    made, is_kept = "", False
    for character in pattern:
        if is_kept or character not in "9^\\":
            made, is_kept = made + character, False
        elif character == "\\":
            is_kept = True
        else:
            made += (
                str(random_.randint(0 if made[-1:].isdigit() else 1, 9))
                if character == "9"
                else random_.choice("ABCDEFGHKLMNPRSTVXYZ")
            )
    return made


def _card(random_: random.Random) -> str:
    start, length = random_.choice(list(_CARD_STARTS.items()))
    digits = start + "".join(str(random_.randint(0, 9)) for _ in range(length - 1 - len(start)))
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))]
    digits += str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)
    separator = random_.choice(["", " ", "-", " "])
    return separator.join(digits[place : place + 4] for place in range(0, len(digits), 4))


def _iban(pool: Pool, random_: random.Random) -> str:
    country, body = random_.choice(pool.ibans)
    account = _digits(body, random_)
    number = int("".join(str(int(character, 36)) for character in account + country + "00"))
    whole = f"{country}{98 - number % 97:02d}{account}"
    return " ".join(whole[place : place + 4] for place in range(0, len(whole), 4)) if random_.random() < 0.5 else whole


def _resident_id(pool: Pool, random_: random.Random) -> str:
    born = f"{random_.randint(1950, 2006)}{random_.randint(1, 12):02d}{random_.randint(1, 28):02d}"
    digits = random_.choice(pool.regions) + born + f"{random_.randint(1, 999):03d}"
    check = "10X98765432"[sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11]
    return digits + (check.lower() if random_.random() < 0.3 else check)
