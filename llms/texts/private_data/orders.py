"""Numbers of orders, parcels and tickets, and of identity papers and customers: by words before them, or by shape."""

import re
from collections.abc import Iterator
from itertools import pairwise

from llms.texts.private_data.spans import Place, longest_places

_WRITTEN = r"(?=[A-Za-z/_-]{0,10}\d)[A-Za-z0-9](?:[A-Za-z0-9]|[-_/.](?=[A-Za-z0-9])){2,39}(?![A-Za-z0-9])"
_NUMBER_WORD = r"(?:\s?(?:number|numbers|num|nr|no|code|ref(?:erence)?|id)\b[.]?)"
_LINK = r"(?:\s?(?:is|was|are|being|of|:|=|\#|是|为|,)){0,3}\s?[#(\"'“「【]?"
_SAID = re.compile(
    rf"""
    (?:
        \b(?:order|parcel|package|shipment|tracking|waybill|consignment|invoice|booking|reservation|confirmation
            |transaction|payment|return|rma|ticket|case|claim|purchase|receipt|delivery|refund){_NUMBER_WORD}
      | \b(?:order|parcel|shipment|invoice|booking|ticket|rma|reference|ref|waybill|case|purchase|bill)\b[.]?
        (?=\s?[#:]|\s\S*\d)
      | (?:订单|单据|运单|快递|物流|退款|退货|售后|工单|发票|交易|流水|预约|预订|取件|发货|换货)
        (?:编号|号码|单号|号|单|ID)
      | (?<!保)单号|订单
    )
    {_LINK}
    (?P<said>{_WRITTEN})
    """,
    re.VERBOSE | re.IGNORECASE,
)
_GLUED = re.compile(  # before cards are looked for, whose digits these may have
    r"(?<![A-Za-z0-9_-])(?:\d{3}-\d{7}-\d{7}|1Z[0-9A-Z]{16}|(?!CARD|VISA)[A-Z]{1,4}\d{9,20}(?:[A-Z]{2})?)(?![A-Za-z0-9_-])"
)
_SHAPED = re.compile(
    r"""
    (?<![A-Za-z0-9_-])(?:
        [A-Z]{1,5}[-/]\d{5,14}(?:-[A-Z0-9]{1,8})?
      | (?:[A-Z]{2,5}-)?20\d{2}-?(?:0\d|1[0-2])-?[0-3]\d-?\d{4,12}
      | \#\s?(?=[A-Z-]{0,5}\d)[A-Z0-9-]{4,20}
      | (?:ORD|ORDER|INV|RMA|PO|BK|TKT|SO)[-_]?\d{4,14}
    )(?![A-Za-z0-9_-])
    """,
    re.VERBOSE,
)
# a number of that many digits in a sentence is nobody's price or measure
_LONG = re.compile(
    r"(?<![A-Za-z0-9_/$€£¥-])(?<!\d[.,:])(?!20\d\d[01]\d[0-3]\d(?!\d))\d{8,22}"
    r"(?![A-Za-z0-9_/%-]|[.,:]\d|\s?(?:元|块|usd|eur|dollars|euros?|pcs|pieces|个|件|次|人|km|ml|kg|g|ms|bytes|kb|mb)\b)",
    re.IGNORECASE,
)
_CODED = re.compile(
    r"(?<![A-Za-z0-9_/.-])(?=[A-Z0-9-]*\d)(?=[0-9-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+){0,4}(?![A-Za-z0-9_/-]|[.]\d)"
)
_GROUPED = re.compile(
    r"(?<![A-Za-z0-9_.,/:-])(?:\d{3,6}-\d{3,6}(?:-\d{1,6}){1,2}|\d{4,8}-\d{4,8}|\d{6,10}-\d{1,4})(?![A-Za-z0-9_/:-])"
)
_NO_ORDER_BEFORE = re.compile(r"(?:code|error|fault|colou?r|代码|错误|报错|版本)[ :：]{0,2}\Z", re.IGNORECASE)
_MEASURE = re.compile(
    r"\d+(?:[.]\d+)?(?:st|nd|rd|th|x|s|k|m|g|kg|mg|ml|l|cm|mm|km|mb|gb|tb|am|pm|h|hrs?|min|days?|weeks?|months?|eur|usd|gbp)?\Z",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}(?:st|nd|rd|th)?[-/]\d{1,2}|20\d\d)\Z"
)
_IDENTITY = re.compile(
    r"""
    (?:
        \b(?:passport|driver'?s?\slicen[cs]e|driving\slicen[cs]e|licen[cs]e|identity\scard|id\scard|national\sid
            |social\ssecurity|ssn|tax|nino|national\sinsurance|customer|client|member(?:ship)?|account|policy|patient
            |employee|loyalty|resident)
        (?:\s?(?:number|num|nr|no|id|card)\b[.]?){0,2}
      | 护照|身份证|驾驶证|驾照|通行证|社保|学号|工号|会员|客户|账户|账号|帐号|银行账|保单
    )
    (?:编号|号码|卡号|号|ID)?"""
    + _LINK
    + r"(?P<said>(?=[A-Za-z]{0,3}-?\d|(?-i:[A-Z]{1,3}) \d)[A-Za-z0-9](?:[A-Za-z0-9]|[ -](?=\d)){4,24}(?![A-Za-z0-9]))",
    re.VERBOSE | re.IGNORECASE,
)
_IDENTITY_SHAPED = re.compile(
    r"""
    (?<![A-Za-z0-9-])(?:
        (?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}
      | [A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ ]?\d{2}[ ]?\d{2}[ ]?\d{2}[ ]?[A-D]
      | [A-Z]\d{6}[(][0-9A][)]
    )(?![A-Za-z0-9-])
    """,
    re.VERBOSE,
)
_MIN_DIGITS = 3
_MIN_CODE_CHARS, _MAX_CODE_CHARS = 8, 30
_MIN_CODE_DIGITS = 7
_MIN_CODE_CHANGES = 4


def find_said_orders(text: str) -> Iterator[Place]:
    """Yield numbers that the words before them call the number of an order, a parcel, an invoice or a ticket."""
    for found in _SAID.finditer(text):
        said = found["said"]
        if sum(map(str.isdecimal, said)) >= _MIN_DIGITS and not _DATE.match(said) and not _is_measure(said):
            yield found.span("said")


def find_glued_orders(text: str) -> Iterator[Place]:
    """Yield letters with many digits, and groups as the largest shops write them."""
    return (found.span() for found in _GLUED.finditer(text))


def find_shaped_orders(text: str) -> Iterator[Place]:
    """Yield what has the form of such a number: capital letters before many digits, groups as big shops write them."""
    places = [
        found.span()
        for found in _SHAPED.finditer(text)
        if not _DATE.match(found[0]) and not _NO_ORDER_BEFORE.search(text[max(0, found.start() - 12) : found.start()])
    ]
    places += [found.span() for found in _CODED.finditer(text) if _is_coded(found[0])]
    return longest_places(places)


def find_long_numbers(text: str) -> Iterator[Place]:
    """Yield what only numbers of orders and accounts look like where nothing explains them: many digits, groups."""
    places = [found.span() for expression in (_LONG, _GROUPED) for found in expression.finditer(text)]
    return longest_places(place for place in places if not _DATE.match(text[place[0] : place[1]]))


def find_identities(text: str) -> Iterator[Place]:
    """Yield numbers of papers, customers and accounts that are named as such, or have a form of their own."""
    places = [found.span("said") for found in _IDENTITY.finditer(text) if not _DATE.match(found["said"])]
    places += [found.span() for found in _IDENTITY_SHAPED.finditer(text)]
    return longest_places(places)


def _is_coded(token: str) -> bool:
    """Return whether letters and digits are mixed as in codes, with more digits or changes than a model's name has."""
    digits = sum(map(str.isdecimal, token))
    changes = sum(a.isdecimal() != b.isdecimal() for a, b in pairwise(token.replace("-", "")))
    is_long = _MIN_CODE_CHARS <= len(token) <= _MAX_CODE_CHARS and digits < len(token)
    parts = token.split("-")
    are_mixed = len(parts) > 1 and not any(part.isalpha() or part.isdecimal() for part in parts)
    return is_long and (digits >= _MIN_CODE_DIGITS or changes >= _MIN_CODE_CHANGES or are_mixed)


def _is_measure(said: str) -> bool:
    # "order 500 ml" and "order 3 days ago" count; a number of five digits and more does not
    digits = sum(map(str.isdecimal, said))
    return _MEASURE.match(said) is not None and (digits < _MIN_DIGITS + 1 or said[-1].isalpha())
