"""Numbers that prove what they are by a check digit: payment cards, IBANs, Chinese resident ids."""

import re
from collections.abc import Iterator

from llms.texts.private_data.spans import Place

SEPARATOR = r"[\s+\u2010-\u2015-]"
BEFORE_NUMBER = r"(?<!\d)(?<!\d[.])"  # a long fraction of a decimal number is none
ALONE = r"(?![0-9A-Za-z])"
_RESIDENT_ID = re.compile(rf"(?<!\d)\d{{6}}(?:[ -]?\d{{4}}){{2}}[ -]?\d{{3}}[\dXx]{ALONE}")
_DIGITS = re.compile(rf"{BEFORE_NUMBER}\d(?:{SEPARATOR}?\d)*+")
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
        rf"(?:{'|'.join(countries.split())})\d\d(?:{SEPARATOR}?[0-9A-Z]){{{length - 4}}}"
        for length, countries in _IBAN_LENGTHS
    )
    + ")",
    re.IGNORECASE,
)
_CARD_DIGITS = range(13, 20)
# beginnings of numbers and their lengths, as issuers have them (ISO/IEC 7812); a time in milliseconds begins with 1
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}(?:\d\d)?|35\d{14}"
    r"|6\d{15,18}|5[06-8]\d{11,17}|[89]\d{15,18}"
)
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def find_ibans(text: str) -> Iterator[Place]:
    """Yield IBANs whose check digits are right (ISO 13616)."""
    return (found.span() for found in _IBAN.finditer(text) if _is_iban(found[0]))


def find_resident_ids(text: str) -> Iterator[Place]:
    """Yield resident ids with a day of birth and the right check character (GB 11643)."""
    return (found.span() for found in _RESIDENT_ID.finditer(text) if _is_resident_id(found[0]))


def find_cards(text: str) -> Iterator[Place]:
    """Yield payment cards (Luhn), which begin and end where a group of digits does."""
    for found in _DIGITS.finditer(text):
        done = 0
        for start, end in _cards(found[0], [group.span() for group in re.finditer(r"\d+", found[0])]):
            if start >= done:
                yield found.start() + start, found.start() + end
                done = end


def _is_iban(text: str) -> bool:
    compact = re.sub("[^0-9A-Z]", "", text.upper())
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _is_resident_id(text: str) -> bool:
    compact = re.sub("[ -]", "", text)
    digits = [int(digit) for digit in compact[:17]]
    year, month, day = digits[6] * 10 + digits[7], digits[10] * 10 + digits[11], digits[12] * 10 + digits[13]
    check = "10X98765432"[sum(weight * digit for weight, digit in zip(_RESIDENT_WEIGHTS, digits, strict=True)) % 11]
    last = compact[17].upper()
    return year in (19, 20) and month in range(1, 13) and day in range(1, 32) and check == _plain_digits(last)


def _cards(run: str, groups: list[Place]) -> Iterator[Place]:
    for first, (start, _) in enumerate(groups):
        digits, last = "", 0
        for group_start, end in groups[first : first + _CARD_DIGITS.stop]:
            digits += _plain_digits(run[group_start:end])
            if len(digits) in _CARD_DIGITS and _CARD.fullmatch(digits) and _has_luhn_digit(digits):
                last = end  # the longest one: of a card of 19 digits the first 16 may look like a card, too
            if len(digits) >= _CARD_DIGITS.stop:
                break
        if last:
            yield start, last


def _has_luhn_digit(digits: str) -> bool:
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _plain_digits(text: str) -> str:
    """Return digits of any script as ASCII."""
    return "".join(str(int(character)) if character.isdecimal() else character for character in text)
