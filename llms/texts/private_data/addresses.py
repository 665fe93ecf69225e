"""Postal addresses in Western letters."""

import re
from collections.abc import Iterator

from llms.texts.private_data.spans import Place, joined_places

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|"
    "PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|NSW|VIC|QLD|TAS|ACT|NT|ON|QC|BC|AB|MB|SK|NS|NB"
)
_SUFFIX = (
    "street|st|avenue|ave|road|rd|lane|ln|boulevard|blvd|terrace|crescent|parkway|pkwy|highway|hwy|square|sq|"
    "gardens|grove|mews|embankment|trail|circle|row|quay|alley|hill|rise|walk|green|vale|yard|wharf"
)
_CAPITAL_SUFFIX = "Drive|Dr|Way|Court|Ct|Place|Pl|Close|Park|View|Gate|Heights|Loop|Path|Point|Ridge|Broadway"
_WORD = r"[^\W\d_][\w'.-]{0,24}+"
_UNIT = r"(?:apt|apartment|suite|ste|unit|flat|floor|fl|room|rm|building|bldg|block|house|level)"
_STREET = re.compile(
    rf"""
    (?<![\w.,$€£:/-])
    (?:{_UNIT}[.]?[ ]?[#]?\w{{1,5}}[,]?[ ])?
    \d{{1,5}}[A-Za-z]?(?:[-/]\d{{1,4}})?[,]?[ ]
    (?:
        (?:(?:[NSEW][.]?|\d{{1,3}}(?:st|nd|rd|th)|{_WORD})[ ]){{1,4}}?(?:{_SUFFIX})\b
        (?:[ ](?:\d{{1,4}}(?!\d)|(?:north|south|east|west|[ns][ew]?|[ew])\b))?
      | (?-i:(?:(?:[NSEW][.]?|\d{{1,3}}(?:st|nd|rd|th)|[A-Z][\w'.-]{{0,24}}+)[ ]){{1,4}}?
            (?:{_CAPITAL_SUFFIX})\b)
      | (?:bis[ ]|ter[ ])?(?:rue|avenue|boulevard|bd|chemin|impasse|allée|quai|cours|place|route|passage)[ ]
        (?:(?:de|du|des|la|le|les|l'|d')[ ]?){{0,3}}{_WORD}(?:[ -](?-i:[A-Z])[\w'-]{{1,20}}){{0,2}}
    )[.]?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_GERMAN = re.compile(
    r"(?<![\w-])(?:[A-ZÄÖÜ][a-zäöü]{1,20} )?[A-ZÄÖÜ][\w.-]{0,30} ?"
    r"(?:straße|strasse|Straße|Strasse|str[.]|weg|platz|allee|gasse|ufer|damm"
    r"|Weg|Platz|Allee|Gasse|laan|straat|gracht|plein) \d{1,4}(?: ?[a-z](?![a-z]))?"
)
_SPANISH = re.compile(
    r"(?<![\w-])(?:[Cc]alle|[Aa]venida|[Pp]laza|[Vv]ia|[Cc]orso|[Pp]iazza|[Rr]ua|[Pp]aseo)"
    r"(?: (?:de|del|la|las|los|di|della|do|da|dos)){0,3}(?: [A-ZÀ-Ý][\w'-]{1,20}){1,3},? (?:n[ºo°]?[.]? ?)?"
    r"\d{1,4}(?!\d)"
)
_PLACE = re.compile(  # "Nieuwe Markt 1, 3065 AB Rotterdam"
    r"(?<![\w-])(?:[A-ZÄÖÜ][\w'-]{1,24}+ ){1,3}\d{1,4}[a-z]?, "
    r"(?:[A-Z]{1,2}-)?\d{4,5}(?: [A-Z]{2})? [A-ZÄÖÜ][\w-]{2,24}+"
)
_BOX = re.compile(r"\bP[.]?\s?O[.]?\s?Box\s\d{1,6}\b", re.IGNORECASE)
_ZIP = re.compile(
    rf"\b(?:[A-Z][\w'.-]{{1,20}}+[ ]){{0,2}}[A-Z][\w'.-]{{1,20}}+,?[ ](?:{_STATES})[, ][ ]?\d{{5}}(?:-\d{{4}})?(?!\d)"
)
_POSTCODE = re.compile(r"(?<![\w-])(?:[A-Z]{1,2}\d{1,2}|[A-Z]{1,2}\d[A-Z]) \d[A-Z]{2}(?![\w-])")
_MORE = re.compile(  # what may follow a street: a unit, a town, a state, a code, a country
    rf"""
    (?:[,\n]|[ ]-)?[ \n]{{0,3}}
    (?:
        (?i:{_UNIT})[.]?[ ]?[#]?\w{{1,6}}(?!\w)
      | [#][ ]?\w{{1,5}}
      | (?:{_STATES})\b(?:[, ][ ]?\d{{4,5}}(?:-\d{{4}})?)?
      | (?:[A-Z]{{1,2}}\d{{1,2}}[A-Z]?|[A-Z]\d[A-Z])[ ]\d[A-Z]{{1,2}}\d?(?!\w)
      | (?:[A-Z]{{1,2}}-)?\d{{4,6}}(?:-\d{{4}}|[ ][A-Z]{{2}}(?!\w))?(?!\d)
      | (?:(?<=,[ ])|(?<=[ ][ ])|(?<=,)|(?<=\n)|(?<=\d[ ])|(?<=[A-Z][A-Z][ ]))[A-Z][\w'.-]{{1,24}}+
        (?:[ ](?:am|upon|on|de|la|of|[A-Z][\w'.-]{{1,24}}+)){{0,3}}+(?:[ ]\d{{1,2}}(?!\d))?(?![ ]?:)
    )
    """,
    re.VERBOSE,
)
_SAID = re.compile(
    r"""
    \b(?:
        (?:my|our|her|his|their|the|new|shipping|delivery|billing|home|postal|mailing|following|correct)\s
        (?:new\s)?address(?:\sis|\sto|:)
      | address:
      | (?:ship|deliver|send|post|mail)(?:ed)?\s(?:it|this|them)?\s?to:
      | lives?\sat | living\sat
    )\s
    (?P<said>(?=[^\n;!?\x00]{0,60}\d)[^\n;!?\x00]{6,110}?)
    (?=[.](?:\s|\Z)|[\n;!?\x00]|\Z|\s(?:and|but|please|instead|not|thanks|because|so)\b)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAX_PARTS = 8
_HAS_DIGIT = re.compile(r"\d")
# words before what sounds like a street: "2 days down the road"
_NO_STREET = re.compile(
    r"\b(?:days?|weeks?|hours?|minutes?|months?|years?|times|the|a|an|of|on|in|to|and|or|is|was|people|items?|stars?"
    r"|percent|for|from|at|more|good|big|small|new|miles?|km|units?|pairs?|per|my|your)\s"
)
_TRAILING = re.compile(r"[\s,.]+\Z")


def find_addresses(text: str) -> Iterator[Place]:
    """Yield addresses: number and street with what follows, towns with their code, and what is called an address."""
    if not _HAS_DIGIT.search(text):
        return
    places = []
    for expression in (_STREET, _GERMAN, _SPANISH, _PLACE, _BOX):
        for found in expression.finditer(text):
            is_street = expression is not _STREET or not _NO_STREET.search(found[0])
            if is_street:
                places.append((found.start(), _end_of_address(text, found.end())))
    places += [found.span() for expression in (_ZIP, _POSTCODE) for found in expression.finditer(text)]
    places += [found.span("said") for found in _SAID.finditer(text)]
    for start, end in joined_places(places):
        yield start, start + len(_TRAILING.sub("", text[start:end]))


def _end_of_address(text: str, end: int) -> int:
    for _ in range(_MAX_PARTS):
        more = _MORE.match(text, end)
        if more is None or more.end() == end:
            break
        end = more.end()
    return end
