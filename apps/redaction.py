"""Redaction of personal data in texts that are kept for operators, by expressions and checksums."""

import re
from collections.abc import Iterator

_ESCAPED = re.compile("%(?!25)([2-7][0-9A-Fa-f])")  # as visible characters stand in an address
_SEPARATOR = r"[\s+\u2010-\u2015-]"
_BEFORE_NUMBER = r"(?<!\d)(?<!\d[.])"  # a long fraction of a decimal number is none
_ALONE = r"(?![0-9A-Za-z])"
_KEY = re.compile(
    r"""
      (?P<says>
        \b(?:api[-_]?key|access[-_]?token|token|secret|password|passwd|pwd|authorization)["']?\s*[=:]\s*["']?
        (?:(?:bearer|basic)\s+)?
      | \bbearer[\s+]+
      )
      [^\s"',;&]{8,}+
    | (?<=://)[^\s/@:]++:[^\s/@]++(?=@)
    | \btc_[0-9a-f]{12}_[0-9a-f]{64}
    | \b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|hf_\w{20,}|AKIA[0-9A-Z]{16})
    | \beyJ[\w-]++[.]eyJ[\w-]++[.][\w-]++
    """,
    re.VERBOSE | re.IGNORECASE,
)
_EMAIL_HOST = re.compile(r"(?:@|\uff20|\\u0040)[\w-]++(?:[.][\w-]++)++", re.IGNORECASE)
_EMAIL_NAME = re.compile(r"[\w.+'%-]+\Z")
_EMAIL_NAME_CHARS = 64
_NO_PERSON = re.compile(  # ids of requests, conversations and files, whose digits prove nothing
    r"((?<![0-9A-Za-z])(?:[0-9a-f]{32,}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})" + _ALONE + ")"
)
_RESIDENT_ID = re.compile(r"(?<!\d)\d{17}[\dXx]" + _ALONE)
_DIGITS = re.compile(rf"{_BEFORE_NUMBER}\d(?:{_SEPARATOR}?\d)*+")
_PHONE = re.compile(
    rf"""
      (?:[+]|(?<!\d)00)[1-9](?:[\s.()/-]{{0,2}}\d){{6,14}}(?!\d)
    | {_BEFORE_NUMBER}1[3-9]\d[\s-]?\d{{4}}[\s-]?\d{{4}}(?!\d)
    | {_BEFORE_NUMBER}(?<!\d[:/-])[(]?0\d{{1,4}}[)]?[\s/-]\d{{3,8}}(?:[\s/-]\d{{2,8}})?(?!\d)
    | {_BEFORE_NUMBER}(?<![A-Za-z])0\d{{8,11}}{_ALONE}
    | {_BEFORE_NUMBER}(?<!\d[:/-])[(]?[2-9]\d\d[)]?[\s.-]\d{{3}}[\s.-]\d{{4}}(?!\d)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_IBAN_LENGTHS = (  # of the registry's countries, by length
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
)
_IBAN = re.compile(
    r"(?=[A-Z]{2}\d\d)(?:"  # looked at first: most places in a text end here
    + "|".join(
        rf"(?:{'|'.join(countries.split())})\d\d(?:{_SEPARATOR}?[0-9A-Z]){{{length - 4}}}"
        for length, countries in _IBAN_LENGTHS
    )
    + ")",
    re.IGNORECASE,
)
_CARD_DIGITS = range(13, 20)
_CARD_BEGINS = "2345689"  # no bank issues others, and a time in milliseconds begins with 1
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def redact(text: str) -> str:
    """Return a text without what tells who somebody is, or opens what is theirs.

    Replaced are e-mail addresses, telephone numbers, payment cards (Luhn), IBANs (mod 97), Chinese resident ids
    (GB 11643), API keys, passwords and bearer tokens; also as they stand in an address (`%40`). Names, postal
    addresses and what people write about themselves are not found by any expression: such texts must not be logged.

    Example:
        >>> redact("anna@example.com, 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00, order VT-204918")
        '[e-mail], [card], [IBAN], order VT-204918'
    """
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    parts = _NO_PERSON.split(_without_emails(_KEY.sub(_without_key, plain)))  # every other one is an id
    parts[::2] = (_redact_numbers(part) for part in parts[::2])
    redacted = "".join(parts)
    return text if redacted == plain else redacted


def _without_key(found: re.Match[str]) -> str:
    return f"{found['says'] or ''}[key]"


def _without_emails(text: str) -> str:
    # from the host backwards: an expression from the name on would read a long text without an @ again and again
    kept, done = [], 0
    for host in _EMAIL_HOST.finditer(text):
        before = text[max(done, host.start() - _EMAIL_NAME_CHARS) : host.start()]
        if name := _EMAIL_NAME.search(before):
            kept += [text[done : host.start() - len(name[0])], "[e-mail]"]
            done = host.end()
    return "".join([*kept, text[done:]])


def _redact_numbers(text: str) -> str:
    text = _IBAN.sub(lambda found: "[IBAN]" if _is_iban(found[0]) else found[0], text)
    text = _RESIDENT_ID.sub(lambda found: "[id number]" if _is_resident_id(found[0]) else found[0], text)
    text = _DIGITS.sub(_without_cards, text)
    return _PHONE.sub("[phone]", text)


def _is_iban(text: str) -> bool:
    """Return whether the check digits are right (ISO 13616)."""
    compact = re.sub("[^0-9A-Z]", "", text.upper())
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _is_resident_id(text: str) -> bool:
    """Return whether the day of birth can be one and the check character is right (GB 11643)."""
    digits = [int(digit) for digit in text[:17]]
    year, month, day = digits[6] * 10 + digits[7], digits[10] * 10 + digits[11], digits[12] * 10 + digits[13]
    check = "10X98765432"[sum(weight * digit for weight, digit in zip(_RESIDENT_WEIGHTS, digits, strict=True)) % 11]
    last = text[17].upper()
    return year in (19, 20) and month in range(1, 13) and day in range(1, 32) and check == _plain_digits(last)


def _without_cards(found: re.Match[str]) -> str:
    """Return a run of digits without the payment cards in it, which begin and end where a group of digits does."""
    run = found[0]
    ends = [group.span() for group in re.finditer(r"\d+", run)]
    kept, done = [], 0
    for start, end in _cards(run, ends):
        if start >= done:
            kept += [run[done:start], "[card]"]
            done = end
    return "".join([*kept, run[done:]])


def _cards(run: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for first, (start, _) in enumerate(groups):
        digits = ""
        for group_start, end in groups[first : first + _CARD_DIGITS.stop]:
            digits += _plain_digits(run[group_start:end])
            if len(digits) in _CARD_DIGITS and digits[0] in _CARD_BEGINS and _has_luhn_digit(digits):
                yield start, end
                break
            if len(digits) >= _CARD_DIGITS.stop:
                break


def _has_luhn_digit(digits: str) -> bool:
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _plain_digits(text: str) -> str:
    """Return digits of any script as ASCII."""
    return "".join(str(int(character)) if character.isdecimal() else character for character in text)
