"""Data augmentation: copies of rows with typing errors."""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from llms.errors import OptionValueError
from llms.finetuning.data.duplicates import CHINESE_SHARE
from llms.finetuning.data.examples import ClassifierRow
from llms.finetuning.data.splits import draw
from llms.texts.scripts import is_chinese, is_han

R = TypeVar("R", bound=ClassifierRow)
_Edit = Callable[[str, np.random.Generator], str]

# what means something else when one character is wrong; each pattern is linear in the length of the text
_PLACEHOLDERS_AND_LINKS = re.compile(r"\{[^{}]*\}|(?:https?://|www\.)\S+")
_WORDS = re.compile(r"\S+")  # those with an @ are addresses
_NAMES = re.compile(r"[A-Za-z0-9._/-]+")  # those with a digit are numbers, amounts, versions, codes
_ENGLISH_NEGATIONS = ("no", "not", "never", "none", "neither", "nor", "without", "cannot", "cant", "dont", "wont")
_NEGATIONS = frozenset((*_ENGLISH_NEGATIONS, "ne", "pas", "non", "nie"))
_CHINESE_NEGATIONS = frozenset("不没無无非别別未勿")
_MIN_WORDS_TO_DROP_ONE = 5
_MAX_DROPPED_CHARS = 3  # longer words are often what the label hangs on
_MIN_WORD_CHARS = 4  # shorter words are easily another word after one error
_CHARS_PER_ERROR = 40
_MAX_ERRORS = 20  # enough for any text; each costs a pass over it
_TRIALS = 5


def augment_texts(rows: Sequence[R], *, copies: int = 1, seed: int) -> list[R]:
    """Return noisy copies of the rows, without the rows themselves; label, group, time and line stay.

    Characters are swapped with their neighbour, dropped or doubled, about one in forty but at most 20; from a text of
    five words or more a short one may be dropped; from Chinese texts characters are dropped. Digits, addresses,
    `{placeholders}` and negations stay as they are. Split first and augment what is kept: a copy says nothing new
    about its text.

    Args:
        rows: with one label or several.
        copies: at most so many of each row, all different; fewer of texts that leave no room, such as "42".
        seed: the same seed and text give the same copies, whatever the other rows are.

    Raises:
        OptionValueError: if `copies` is negative.

    Example:
        >>> from llms.finetuning.data.examples import LabelledText
        >>> (copy,) = augment_texts([LabelledText("Where is order 1234?", "order")], seed=0)
        >>> copy.label, "1234" in copy.text, copy.text != "Where is order 1234?"
        ('order', True, True)
    """
    if copies < 0:
        msg = f"copies must be at least 0, got {copies}"
        raise OptionValueError(msg)
    return [dataclasses.replace(row, text=text) for row in rows for text in _noisy_copies(row.text, copies, seed)]


def _noisy_copies(text: str, copies: int, seed: int) -> list[str]:
    random = np.random.default_rng(int.from_bytes(draw(seed, text)[:8], "big"))
    found: list[str] = []
    for _ in range(copies):
        for _ in range(_TRIALS):
            copy = _add_noise(text, random)
            if copy.strip() and copy != text and copy not in found:
                found.append(copy)
                break
    return found


def _add_noise(text: str, random: np.random.Generator) -> str:
    if is_chinese(text, min_share=CHINESE_SHARE):
        edits: tuple[_Edit, ...] = (_drop_chinese,)
    elif len(text.split()) >= _MIN_WORDS_TO_DROP_ONE:
        edits = (_swap, _drop, _double, _drop_word)
    else:
        edits = (_swap, _drop, _double)
    num_errors = min(max(1, round(len(text) / _CHARS_PER_ERROR)), _MAX_ERRORS)
    for number in range(num_errors):
        # one missing word is enough to learn from; a second may take the meaning along
        allowed = edits if number == 0 else edits[:3]
        text = allowed[random.integers(len(allowed))](text, random)
    return text


def _swap(text: str, random: np.random.Generator) -> str:
    indices = _places(text)
    pairs = [index for index in indices if index + 1 in indices and text[index] != text[index + 1]]
    if not pairs:
        return text
    index = random.choice(pairs)
    return text[:index] + text[index + 1] + text[index] + text[index + 2 :]


def _drop(text: str, random: np.random.Generator) -> str:
    indices = sorted(_places(text))
    if not indices:
        return text
    index = random.choice(indices)
    return text[:index] + text[index + 1 :]


def _double(text: str, random: np.random.Generator) -> str:
    indices = sorted(_places(text))
    if not indices:
        return text
    index = random.choice(indices)
    return text[: index + 1] + text[index:]


def _drop_word(text: str, random: np.random.Generator) -> str:
    untouched = _untouched(text)
    words = [
        match.span()
        for match in _WORDS.finditer(text)
        if len(match.group()) <= _MAX_DROPPED_CHARS
        and not untouched & set(range(*match.span()))
        and not _is_negation(match.group())
    ]
    if not words:
        return text
    start, end = words[random.integers(len(words))]
    return (text[:start].rstrip() + " " + text[end:].lstrip()).strip()


def _drop_chinese(text: str, random: np.random.Generator) -> str:
    untouched = _untouched(text)
    indices = [
        index
        for index, character in enumerate(text)
        if index not in untouched and is_han(character) and character not in _CHINESE_NEGATIONS
    ]
    if len(indices) < 2:
        return text
    index = random.choice(indices)
    return text[:index] + text[index + 1 :]


def _places(text: str) -> set[int]:
    """Return where a letter may be changed: in longer words, outside what must stay, not below an accent."""
    untouched = _untouched(text)
    indices: set[int] = set()
    for word in re.finditer(r"[^\W\d_]+", text):
        if len(word.group()) >= _MIN_WORD_CHARS and not _is_negation(word.group()):
            indices.update(range(*word.span()))
    return {
        index for index in indices - untouched if not (_is_mark(text[index + 1 : index + 2]) or is_han(text[index]))
    }


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] == "M"


def _untouched(text: str) -> set[int]:
    spans = [match.span() for match in _PLACEHOLDERS_AND_LINKS.finditer(text)]
    spans += [match.span() for match in _WORDS.finditer(text) if "@" in match.group()]
    spans += [match.span() for match in _NAMES.finditer(text) if any(map(str.isdigit, match.group()))]
    untouched = {index for span in spans for index in range(*span)}
    return untouched | {index for index, character in enumerate(text) if character.isnumeric()}  # 三 and ½ too


def _is_negation(word: str) -> bool:
    letters = "".join(character for character in word.casefold() if character.isalpha())
    if _CHINESE_NEGATIONS & set(word):
        return True
    return letters in _NEGATIONS or (letters.endswith("nt") and letters not in word.casefold())  # don't
