"""What somebody looks for in their own words: prices and tags read by rules, and how well items fit the rest."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llms.arrays import DoubleArray, FloatArray
from retrievers import keyword_terms

WORD_WEIGHT = 0.5  # of shared words beside meaning, which counts 1
TAG_WEIGHT = 0.2  # of the tags that a query names
TASTE_WEIGHT = 0.1  # of interest: between items that fit alike, taste decides
LEAST_SHARE = 0.5  # of the best fit; what fits less is not shown

_DIGITS = "零一二三四五六七八九"
_ZH_NUMBER = rf"[\d,.]+|[{_DIGITS}两十百千万]+"
# "within 2 days" and "under 30 cm" are no prices
_NO_MEASURE = (
    r"(?![\d.,]*\s*(?:%|[cmk]?m\b|k?g\b|ml\b|l\b|litres?|inch|days?|hours?|min|weeks?|months?|years?|people|pieces))"
)
_NUMBER = (
    rf"(?:[$€£¥]\s*)?(\d[\d,]*(?:\.\d+)?){_NO_MEASURE}"
    r"(?:\s*(?:[$€£¥]|dollars?|euros?|pounds?|yuan|usd|eur|cny)(?!\w))?"
)
_YUAN = r"\s*(?:元|块钱|块)"
# the most first: "between 10 and 20" must not be read as "20"
_RANGES = (
    re.compile(rf"\b(?:between|from)\s+{_NUMBER}\s+(?:and|to|-)\s+{_NUMBER}", re.IGNORECASE),
    re.compile(r"[$€£¥]\s*(\d[\d,]*(?:\.\d+)?)\s*-\s*[$€£¥]?\s*(\d[\d,]*(?:\.\d+)?)"),
    re.compile(rf"({_ZH_NUMBER})(?:{_YUAN})?\s*(?:到|至|-|~)\s*({_ZH_NUMBER}){_YUAN}(?:之间)?"),
)
_MOST = (
    re.compile(
        r"\b(?:under|below|less than|cheaper than|no more than|not more than|at most|up to|within|max(?:imum)?)\s+"
        + _NUMBER,
        re.IGNORECASE,
    ),
    re.compile(rf"(?:不超过|不高于|低于|少于|不到|最多|最高)\s*({_ZH_NUMBER})(?:{_YUAN})?"),
    re.compile(rf"({_ZH_NUMBER}){_YUAN}\s*(?:以下|以内|之内|内)"),
    re.compile(rf"({_ZH_NUMBER})\s*(?:以下|以内)"),  # with a measure, as in "3天以内", another word stands between
)
_LEAST = (
    re.compile(r"\b(?:over|above|more than|at least|min(?:imum)?)\s+" + _NUMBER, re.IGNORECASE),
    re.compile(rf"(?:高于|超过|多于|至少|最低)\s*({_ZH_NUMBER})(?:{_YUAN})?"),
    re.compile(rf"({_ZH_NUMBER}){_YUAN}\s*(?:以上|起)"),
    re.compile(rf"({_ZH_NUMBER})\s*以上"),
)
_LEFT_MARKS = " ,;:、。，；："  # what stood between a price and the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadQuery:
    """What the rules made of a query."""

    text: str  # without what was read as a price
    min_price: float | None = None
    max_price: float | None = None
    tags: tuple[str, ...] = ()


def read_query(query: str, tags: Iterable[str] = ()) -> ReadQuery:
    """Return a query with its prices, in English or Chinese, and the tags it names.

    Args:
        query: what somebody wrote.
        tags: of the catalogue.

    Example:
        >>> read_query("something quiet for a small kitchen under $50", ["kitchen", "garden"])
        ReadQuery(text='something quiet for a small kitchen', min_price=None, max_price=50.0, tags=('kitchen',))
        >>> read_query("五十元以内的茶具")
        ReadQuery(text='的茶具', min_price=None, max_price=50.0, tags=())
    """
    text = unicodedata.normalize("NFKC", query)
    low, high = None, None
    for pattern in _RANGES:
        if found := pattern.search(text):
            bounds = [_number(part) for part in found.groups()]
            if None not in bounds:
                low, high = sorted(bound for bound in bounds if bound is not None)
                text = text.replace(found.group(), " ", 1)
                break
    for patterns, is_most in ((_MOST, True), (_LEAST, False)):
        for pattern in patterns:
            if (found := pattern.search(text)) and (price := _number(found.group(1))) is not None:
                low, high = (low, price) if is_most else (price, high)
                text = text.replace(found.group(), " ", 1)
                break
    terms = set(keyword_terms(text))
    named = tuple(tag for tag in sorted(set(tags)) if (of_tag := set(keyword_terms(tag))) and of_tag <= terms)
    rest = " ".join(text.split()).strip(_LEFT_MARKS)
    return ReadQuery(text=rest, min_price=low, max_price=high, tags=named)


def _number(text: str) -> float | None:
    """Return the number that digits or Chinese numerals mean, if they mean one."""
    plain = text.replace(",", "").strip(".")
    try:
        return float(plain)
    except ValueError:
        return _chinese_number(text)


def _chinese_number(text: str) -> float | None:
    total, section, digit = 0, 0, 0
    for sign in text:
        if sign in _DIGITS or sign == "两":
            digit = 2 if sign == "两" else _DIGITS.index(sign)
        elif sign in "十百千":
            section += max(digit, 1) * 10 ** ("十百千".index(sign) + 1)
            digit = 0
        elif sign == "万":
            total, section, digit = total + (section + digit) * 10_000, 0, 0
        else:
            return None
    return float(total + section + digit)


class ItemWords:
    """Which words stand in which items, for how much of a query's words an item has.

    Args:
        texts: of the items, in their order.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from scipy.sparse import csc_matrix

        self._columns: dict[str, int] = {}
        cells = [
            (row, self._columns.setdefault(term, len(self._columns)))
            for row, text in enumerate(texts)
            for term in set(keyword_terms(text))
        ]
        rows, columns = zip(*cells, strict=True) if cells else ((), ())
        shape = (len(texts), max(len(self._columns), 1))
        self._has: Any = csc_matrix((np.ones(len(cells), dtype=np.float32), (rows, columns)), shape=shape)
        counts = np.diff(self._has.indptr)
        self._rarity: DoubleArray = np.log1p(len(texts) / np.maximum(counts, 1))

    def share(self, text: str) -> DoubleArray:
        """Return `(num_items,)`: from 0, none of the words of a text, to 1, all; rare ones count more.

        Words that stand in no item count for nothing.
        """
        columns = [self._columns[term] for term in dict.fromkeys(keyword_terms(text)) if term in self._columns]
        if not columns:
            return np.zeros(self._has.shape[0])
        rarity = self._rarity[columns]
        shares: DoubleArray = self._has[:, columns] @ (rarity / rarity.sum())
        return shares


def measure_fit(
    query: ReadQuery, *, cosines: FloatArray, words: ItemWords, tags_of: Mapping[str, NDArray[np.intp]]
) -> DoubleArray:
    """Return `(num_items,)`: how well items fit a query, at most about 1, by meaning, words and named tags.

    Args:
        query: as it was read.
        cosines: of the query and every item.
        words: of the items.
        tags_of: tag -> rows of the items that have it.
    """
    fit: DoubleArray = (cosines.clip(0, 1) + WORD_WEIGHT * words.share(query.text)) / (1 + WORD_WEIGHT)
    for tag in query.tags:
        fit[tags_of[tag]] += TAG_WEIGHT / len(query.tags)
    return fit
