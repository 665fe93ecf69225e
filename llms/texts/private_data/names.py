"""Names of people in Western letters: behind words that bring a name, in greetings and signatures, or by a table."""

import re
from collections.abc import Iterator

from llms.texts.private_data.name_tables import (
    FAMILY_NAMES,
    FAMILY_WORDS,
    GIVEN_NAMES,
    NO_NAMES,
    SENTENCE_WORDS,
    THINGS,
)
from llms.texts.private_data.spans import Place, longest_places

_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0100\u010c\u0110\u0141\u015a\u0160\u017b\u017d"
_LOWER = "a-z\u00df-\u00f6\u00f8-\u00ff\u0101-\u017f"
_LEFT = "(?<![A-Za-z\u00c0-\u017f])"  # not \b: Chinese words stand beside it without a space
_WORD = rf"[{_UPPER}][{_LOWER}]{{1,24}}+"
_CAPITAL = rf"(?:(?:[DO]'|Mc|Mac|Al-|El-)?{_WORD}(?:[-'][{_UPPER}{_LOWER}][{_LOWER}]{{1,24}}+)?|[{_UPPER}][.](?=[ ]))"
_CAPITALS = rf"[{_UPPER}]{{2,20}}+(?:[-'][{_UPPER}]{{2,20}}+)?"
_PARTICLE = r"(?:(?:van|von|der|den|de|da|dos|del|della|di|la|le|bin|ibn|al|el|ter|ten|zu|st[.]?)[ ])"
_TITLE = r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam|Herr|Frau|Señora?|Monsieur|Madame|Mme)[.]?[ ])"
_NAME = rf"{_CAPITAL}(?:[ ]{_PARTICLE}{{0,3}}{_CAPITAL}){{0,3}}"
_ANY_CASE = rf"(?:[{_UPPER}{_LOWER}][\w'-]{{0,24}}+[.]?)"
_TITLED = re.compile(rf"{_LEFT}{_TITLE}(?P<said>{_PARTICLE}{{0,3}}{_NAME}|{_CAPITALS}(?:[ ]{_CAPITALS})?)")
_STRONG = re.compile(  # what stands behind these is a name in small letters too
    rf"""
    (?i:
        {_LEFT}(?:
            (?:my|his|her|their|the|full|first|last|customer|legal)\s(?:full\s|first\s|last\s|legal\s)?
            names?(?:\sis|'s|:|\swas|\sto|\sas|\sshould\sbe)
          | name[ ]?[:=] | name's | my\snames | surname(?:\sis|:)
          | (?:recipient|cardholder|card\sholder|account\sholder|addressee|sender|passenger|patient|guest|attention|attn
              |consignee|buyer|contact\sperson|contact|customer|agent|ordered\sby|placed\sby|bill\sto|ship\sto
              |delivered\sto|signed\sby|signature)
            (?:\sname)?(?:\sis)?[ ]?[:=]
          | (?:in|under)\s(?:the\s)?name(?:\sof)? | (?:i'm|i\sam|am)\scalled | goes\sby | named | signed\sby
          | addressed\sto | on\sbehalf\sof
          | mein\sname\sist | ich\shei(?:ß|ss)e | je\sm'appelle | me\sllamo | mi\snombre\ses | mi\schiamo
        )
    )
    \s{{0,2}}["'(]?(?:{_TITLE})?
    (?P<said>{_ANY_CASE}(?:[ ]{_ANY_CASE}){{0,3}})
    """,
    re.VERBOSE,
)
_WEAK = re.compile(  # what stands behind these may be a name, if its letters and the table say so
    rf"""
    (?i:{_LEFT}(?:
        this\sis|i\sam|i'm|im|it's|it\sis|(?:speak|speaking|spoke|talk|talking|talked|chat|chatted)\s(?:with|to)
        |agent|colleague|representative|rep|technician|driver|courier|neighbou?r|husband|wife|son|daughter|brother
        |sister|mother|father|friend|boss|manager|partner|assistant|thanks|thank\syou|thx|cheers|bye|regards|sincerely
        |best|greetings|welcome|sorry|by|ask\sfor|call\sme|with|customer|client
        |(?:closed|handled|answered|served|written|promised|assisted|helped|signed|told)\sby
        |(?:agreed|arranged|discussed)\swith|you\shave\sreached
    ))
    [ ,]{{1,2}}(?:{_TITLE})?
    (?P<said>{_NAME})
    (?P<after>
        [ ]?(?:[,.!?;:)\n(-]|\Z|(?:here|from|at|and|with|in|on|speaking|for|who|said|told|promised|calling|again)\b)
    )?
    """,
    re.VERBOSE,
)
_GREETING = re.compile(
    rf"""
    (?:\A|(?<=[\n.!?>]))\s{{0,3}}
    (?i:dear|hi|hello|hey|hiya|good\s(?:morning|afternoon|evening|day)|hallo|bonjour|hola|liebe[rs]?
        |sehr\sgeehrte[rs]?)(?i:\sthere)?
    [ ,]{{1,2}}(?:{_TITLE})?(?P<said>{_NAME})(?=[ ]?(?:[,.!?:;\n-]|\Z))
    """,
    re.VERBOSE,
)
_SMALL = re.compile(  # said in small letters
    rf"(?i:{_LEFT}(?:i\s?am|i'?m|this\sis)\s)(?P<said>[{_LOWER}]{{2,20}}+(?:\s[{_LOWER}-]{{2,24}}+)?)"
)
_SIGNED = re.compile(
    rf"(?i:regards|sincerely|faithfully|yours\s?truly|wishes|cheers)[ ]?[,.!][ ]?(?P<said>{_NAME})"
    r"[ ]?[.!]?[ ]?(?=\n|\Z)"
)
_AT_HAND = re.compile(  # a name by its place: "Anna Schmidt here", "Anna Schmidt <anna@...>", "..., Anna Schmidt."
    rf"{_LEFT}(?P<said>{_WORD}(?:[ ]{_PARTICLE}{{0,3}}{_CAPITAL}){{1,2}})"
    r"(?=[ ](?:here|speaking)[,.!]|,[ ]?\d|[ ]?[<(,:\n-]{0,2}[ \n]?\x00)"
)
_SPEAKS = re.compile(rf"(?:\A|(?<=[,.!?\n]))[ ]?(?P<said>{_WORD})(?=[ ](?:here|speaking)[,.!])")
_ADDRESSED = re.compile(
    rf"(?i:{_LEFT}(?:thank|sorry|welcome|hello|bye|please|apolog|understand))[^.!?,\n]{{0,60}}+,[ ]"
    rf"(?P<said>{_NAME})(?=[.!?\n]|\Z)"
)
_VOCATIVE = re.compile(rf"(?P<before>[^\s,]{{1,30}}+),[ ](?P<said>{_WORD}[ ]{_CAPITAL})(?=[,.!?](?:\s|\Z)|\Z)")
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9_@.'/-])(?P<said>{_CAPITAL}(?:[ ]{_WORD})?[ ]{_PARTICLE}{{0,3}}(?P<family>{_WORD}))"
    r"(?![A-Za-z0-9_@])"
)
_SIGNATURE = re.compile(
    rf"""
    (?i:\b(?:regards|sincerely|faithfully|truly|best|cheers|thanks|thank\syou|many\sthanks|wishes|greetings|cordially
        |yours|grüße|grüßen))
    [ ]?[,.!]?[ ]?(?:\n[ ]?){{1,3}}(?:{_TITLE})?
    (?P<said>{_NAME}|{_CAPITALS}(?:[ ]{_CAPITALS}){{1,2}})(?=[ ]?(?:[,.\n]|\Z))
    """,
    re.VERBOSE,
)
_BARE = re.compile(rf"(?<![A-Za-z0-9_\u00c0-\u017f@.'/-]){_WORD}(?:-[{_UPPER}{_LOWER}][{_LOWER}]+)?(?![A-Za-z0-9_@])")
_MORE = re.compile(rf"[ ]{_PARTICLE}{{0,3}}{_CAPITAL}(?![A-Za-z0-9_@])")
_ACTING = re.compile(  # an unknown capital word that does what people do
    rf"(?<=[a-z,])[ ](?P<said>{_WORD}(?:-[{_UPPER}{_LOWER}][{_LOWER}]+)?)"
    r"(?=[ ](?:said|says|told|helped|promised|called|asked|wrote|signed|collected|confirmed|answered|explained"
    r"|mentioned|agreed|offered|assured|advised|suggested|closed)\b)"
)
_SMALL_HERE = re.compile(
    rf"(?:\A|(?<=[,.!?\n]))[ ]?(?P<said>[{_LOWER}-]{{2,20}}+[ ](?P<family>[{_LOWER}]{{2,24}}+))(?=[ ]here\b)"
)
_UNKNOWN = re.compile(  # two capital words within a sentence in small letters
    rf"(?<=[a-z\d,:\x00])[ ](?:(?:to|for|with|by|from|of|and)[ ])?(?P<said>{_CAPITAL}[ ]{_PARTICLE}{{0,3}}{_CAPITAL})"
    r"(?=[ ][a-z(<\x00]|[,.!?;:)](?:\s|\Z)|\Z)"
)
_INTRODUCED = frozenset(["from", "here", "speaking", "calling"])
_PERSON = re.compile(
    r"(?:speak|spoke|talk|chat|closed|handled|answered|served|written|promised|assisted|helped|signed|told|you\shave"
    r"|agreed|arranged|discussed|agent|colleague|representative|technician|driver|courier|neighbo|husband|wife|son"
    r"|daughter|brother|sister|mother|father|friend|ask|thank|thx|cheers|call)",
    re.IGNORECASE,
)
_NO_PERSON = NO_NAMES | THINGS
_NO_FAMILY = NO_NAMES - FAMILY_WORDS
_MOST_FAMILY_NAMES = 2
_TOKENS = re.compile(r"[^\s]+")


def find_names(text: str) -> Iterator[Place]:
    """Yield given and family names, without titles such as "Mr."."""
    places: list[Place] = []
    for found in _STRONG.finditer(text):
        places += _leading_name(found, SENTENCE_WORDS, any_case=True)
    for expression in (_TITLED, _SIGNATURE, _SIGNED, _GREETING, _AT_HAND, _SPEAKS, _ADDRESSED):
        for found in expression.finditer(text):
            places += _leading_name(found, NO_NAMES)
    places += _judged_names(text)
    places += _small_names(text)
    places += _bare_names(text)
    places += _pairs(text)
    return longest_places(places)


def _judged_names(text: str) -> Iterator[Place]:
    """Yield names where the words before them decide only together with the name."""
    for found in _VOCATIVE.finditer(text):
        if found["before"].islower() or not found["before"].isalpha():
            yield from _leading_name(found, NO_NAMES)
    for found in _UNKNOWN.finditer(text):
        words = [word.lower() for word in found["said"].split()]
        if _NO_PERSON.isdisjoint(words):
            yield found.span("said")
    for found in _ACTING.finditer(text):
        if found["said"].lower() not in _NO_PERSON:
            yield found.span("said")
    for found in _WEAK.finditer(text):
        words = found["said"].split()
        if len(words) > 1 or _is_given(words[0]) or _is_introduced(found):
            yield from _leading_name(found, NO_NAMES)


def _small_names(text: str) -> Iterator[Place]:
    for found in _SMALL.finditer(text):
        given, _, family = found["said"].partition(" ")
        if _is_given(given):
            start, has_family = found.start("said"), family and family not in SENTENCE_WORDS
            yield start, found.end("said") if has_family else start + len(given)
    for found in _SMALL_HERE.finditer(text):
        if _is_given(found["said"].split()[0]) or found["family"] in FAMILY_NAMES:
            yield found.span("said")


def _pairs(text: str) -> Iterator[Place]:
    """Yield capital words before a family name of the table."""
    for found in _PAIR.finditer(text):
        is_known = found["family"].lower() in FAMILY_NAMES
        if is_known and found["said"].split()[0].lower() not in NO_NAMES:
            yield found.span("said")


def _is_introduced(found: re.Match[str]) -> bool:
    """Return whether a single word that no table knows stands where a name does: "I'm Wei from support"."""
    after = (found["after"] or "").strip()
    is_person = _PERSON.match(found[0]) is not None
    return after in _INTRODUCED or (is_person and found["said"].lower() not in NO_NAMES)


def _leading_name(found: re.Match[str], ends: frozenset[str], *, any_case: bool = False) -> list[Place]:
    """Return the place of the words before the first that is no part of a name, or none."""
    start = found.start("said")
    end, has_capital = start, False
    for word in _TOKENS.finditer(found["said"]):
        plain = word[0].strip(".,'-").lower()
        is_capital = word[0][:1].isupper()
        # a small word behind a capital one goes on with the sentence, but for particles
        is_family = has_capital and is_capital and plain in FAMILY_WORDS
        if (plain in ends and not is_family) or (has_capital and not is_capital and len(plain) > 3):
            break
        has_capital = has_capital or is_capital
        end = start + word.end()
        if any_case and not has_capital and word.start() > 0:
            break  # two words at most where all are small
    while end > start and (small := re.search(r"[ ][a-z]{1,3}\Z", found.string[start:end])) and has_capital:
        end -= len(small[0])
    return [(start, start + len(found.string[start:end].rstrip(".,'- ")))] if end > start else []


def _bare_names(text: str) -> Iterator[Place]:
    done = 0
    for found in _BARE.finditer(text):
        if found.start() < done or not _is_given(found[0]):
            continue
        done = found.end()
        for _ in range(_MOST_FAMILY_NAMES):
            more = _MORE.match(text, done)
            if more is None or more[0].split()[-1].strip(".,'").lower() in _NO_FAMILY:
                break
            done = more.end()
        yield found.start(), done


def _is_given(word: str) -> bool:
    return word.split("-")[0].lower() in GIVEN_NAMES
