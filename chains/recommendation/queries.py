"""What somebody looks for in their own words: prices and tags read by rules, and how well items fit the rest."""

import math
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

_DIGITS = {sign: value for value, signs in enumerate(("零〇", "一", "二两", "三", *"四五六七八九")) for sign in signs}
_FACTORS = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}
_ZH_SIGNS = f"{''.join(_DIGITS)}{''.join(_FACTORS)}"
# from its first sign to its last: "3万元" must not be read as "万元"
_ZH_NUMBER = rf"(?<![\d{_ZH_SIGNS}])(?<!\d[.,])(?:\d[\d,]*(?:\.\d+)?(?![\d,])|[{_ZH_SIGNS}])+"
_ZH_PART = re.compile(r"\d[\d,]*(?:\.\d+)?|.", re.DOTALL)
# "within 2 days" and "under 30 cm" are no prices
_NO_MEASURE = (
    r"(?![\d.,]*\s*(?:%|[cmk]?m\b|k?g\b|ml\b|l\b|litres?|inch|days?|hours?|min|weeks?|months?|years?|people|pieces|"
    r"persons?|players?|stars?|pages?|watts?|w\b|[mgt]b\b))"
)
_ZH_NO_MEASURE = (
    rf"(?![\d.,{_ZH_SIGNS}]|\s*(?:%|个|种|件|人|位|名|天|日|周|月|年|岁|小时|分钟|秒|[厘毫]?米|公斤|克|斤|毫?升|英?寸|款|色|"
    r"片|条|只|张|本|次|层|瓦|星|[cm]m\b|k?g\b|m?l\b))"
)
_NUMBER = (
    rf"(?:[$€£¥]\s*)?(\d[\d,]*(?:\.\d+)?(?:k\b)?){_NO_MEASURE}"
    r"(?:\s*(?:[$€£¥]|dollars?|euros?|pounds?|yuan|usd|eur|cny)(?!\w)|(?![a-z\d_]))"
)
_YUAN = r"\s*(?:元|块钱|块)"
_DASH = "[-\u2013\u2014~]"
# the most first: "between 10 and 20" must not be read as "20"
_RANGES = (
    re.compile(rf"\b(?:between|from)\s+{_NUMBER}\s+(?:and|to|{_DASH})\s+{_NUMBER}", re.IGNORECASE),
    re.compile(rf"[$€£¥]\s*(\d[\d,]*(?:\.\d+)?)\s*{_DASH}\s*[$€£¥]?\s*(\d[\d,]*(?:\.\d+)?)"),
    re.compile(rf"({_ZH_NUMBER})(?:{_YUAN})?\s*(?:到|至|{_DASH})\s*({_ZH_NUMBER}){_YUAN}(?:之间)?"),
)
_MOST = (
    re.compile(
        r"\b(?:under|below|less than|cheaper than|no more than|not more than|at most|up to|within|max(?:imum)?)\s+"
        + _NUMBER,
        re.IGNORECASE,
    ),
    re.compile(rf"(?:不超过|不高于|低于|少于|不到|最多|最高)\s*({_ZH_NUMBER})(?:{_YUAN}|{_ZH_NO_MEASURE})"),
    re.compile(rf"({_ZH_NUMBER}){_YUAN}\s*(?:以下|以内|之内|内)"),
    re.compile(rf"({_ZH_NUMBER})\s*(?:以下|以内)"),  # with a measure, as in "3天以内", another word stands between
)
_LEAST = (
    re.compile(r"\b(?:over|above|more than|at least|min(?:imum)?)\s+" + _NUMBER, re.IGNORECASE),
    re.compile(rf"(?:高于|超过|多于|至少|最低)\s*({_ZH_NUMBER})(?:{_YUAN}|{_ZH_NO_MEASURE})"),
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
    plain = text.replace(",", "").lower()
    number: float | None
    try:
        number = float(plain.removesuffix("k")) * (1_000 if plain.endswith("k") else 1)
    except ValueError:
        number = _chinese_number(text)
    return number if number is not None and math.isfinite(number) else None


def _chinese_number(text: str) -> float | None:
    """Return what Chinese numerals mean, digits among them too: "三百五" is 350, "1.5万" 15,000."""
    if all(sign in _DIGITS for sign in text):
        return float("".join(str(_DIGITS[sign]) for sign in text))
    total, section = 0.0, 0.0  # what is counted in 万 and 亿, and what follows it
    pending: float | None = None  # a digit before its factor
    next_factor = 1.0  # of a last digit: in "三百五" tens, after a 零 ones
    for part in _ZH_PART.findall(text):
        factor = _FACTORS.get(part)
        if factor is None:
            if pending:  # "两三百" is no number
                return None
            pending = float(_DIGITS[part]) if part in _DIGITS else float(part.replace(",", ""))
            next_factor = next_factor if pending else 1.0
            continue
        if factor < 10_000:
            section += (1.0 if pending is None else pending) * factor
        elif factor == 10_000:
            total, section = total + (section + (pending or 0.0) or 1.0) * factor, 0.0
        else:
            total, section = (total + section + (pending or 0.0) or 1.0) * factor, 0.0
        pending, next_factor = None, factor / 10
    return total + section + (pending or 0.0) * next_factor


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
