"""Telephone numbers: by their form, or by the words before them."""

import re
from collections.abc import Iterator

from llms.texts.private_data.numbers import ALONE, BEFORE_NUMBER
from llms.texts.private_data.spans import Place

_PHONE = re.compile(
    rf"""
      (?:[+]|(?<!\d)00)[1-9](?:[\s.()/-]{{0,2}}\d){{6,14}}(?!\d)
    | {BEFORE_NUMBER}1[3-9]\d[\s-]?\d{{4}}[\s-]?\d{{4}}(?!\d)
    | {BEFORE_NUMBER}(?<!\d[:/-])[(]?0\d{{1,4}}[)]?[\s/-]\d{{3,8}}(?:[\s/-]\d{{2,8}})?(?!\d)
    | {BEFORE_NUMBER}(?<![A-Za-z])0\d{{8,11}}{ALONE}
    | {BEFORE_NUMBER}(?<!\d[:/-])[(]?[2-9]\d\d[)]?[\s.-]\d{{3}}[\s.-]\d{{4}}(?!\d)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_INTERNATIONAL = re.compile(r"(?<![\dA-Za-z=])[+]\s?[1-9](?:[\s.()/-]{0,2}\d){6,14}(?!\d)")
_SAID = re.compile(
    r"""
    (?:
        \b(?:phone|telephone|tel|mobile|cell(?:phone)?|whatsapp|landline|fax)
        (?:\s?(?:number|no|nr|num))?\b
      | \b(?:call|text|ring|phone|reach|contact|dial)(?:ing)?\s(?:me|us|her|him|back|you)?(?:\sback)?\s?
        (?:on|at|under)\b
      | \b(?:my|contact|callback|call-back|daytime|work|home)\snumber\b
      | 电话|手机|座机|固话|联系方式|致电|拨打|打|传真|号码|回拨
    )
    [^\d\n+(\x00]{0,12}
    (?P<said>[+(]?\d(?:[\s.()/-]{0,2}\d){6,14}(?![\d]))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPACED = re.compile(rf"{BEFORE_NUMBER}1[\s.-][3-9](?:[\s.-]?\d){{9}}(?![\d])")
_HOTLINE = re.compile(rf"{BEFORE_NUMBER}(?<!\d[:/-])(?:400|800)[\s-]?\d{{3,4}}[\s-]?\d{{3,4}}(?![\d-])")
_NEXT = re.compile(r"[ ]?(?:[、/]|,|，|或|\bor\b|\band\b)[ ]?(?P<said>[+(]?\d(?:[\s.()/-]{0,2}\d){6,14}(?![\d]))")
_EXTENSION = re.compile(r"\s?(?:ext\.?|extension|x|转|分机)\s?\d{1,6}(?!\d)", re.IGNORECASE)


def find_phones(text: str) -> Iterator[Place]:
    """Yield numbers in a form that is only telephones': with their country, Chinese mobiles, with an area's code."""
    return (found.span() for found in _PHONE.finditer(text))


def find_international_phones(text: str) -> Iterator[Place]:
    """Yield numbers behind a plus sign, which no card has."""
    return (found.span() for found in _INTERNATIONAL.finditer(text))


def find_said_phones(text: str) -> Iterator[Place]:
    """Yield numbers that the words before them call telephone numbers."""
    done = 0
    for found in _SAID.finditer(text):
        start, end = found.span("said")
        if start < done:
            continue
        done = _with_extension(text, end)
        yield start, done
        while more := _NEXT.match(text, done):
            done = more.end()
            yield more.span("said")


def find_spaced_phones(text: str) -> Iterator[Place]:
    """Yield Chinese numbers with signs between single digits, and numbers of hotlines."""
    for expression in (_SPACED, _HOTLINE):
        found = [match.span() for match in expression.finditer(text)]
        if found:
            yield from found
            return


def _with_extension(text: str, end: int) -> int:
    extension = _EXTENSION.match(text, end)
    return extension.end() if extension else end
