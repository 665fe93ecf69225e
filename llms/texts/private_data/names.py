"""Names of people in Western letters: behind words that bring a name, in greetings and signatures, or by a table."""

import re
from collections.abc import Iterator

from llms.texts.private_data.name_tables import GIVEN_NAMES
from llms.texts.private_data.spans import Place, longest_places

_UPPER, _LOWER = (
    "A-Z\u00c0-\u00d6\u00d8-\u00de\u0100\u010c\u0110\u0141\u015a\u0160\u017b\u017d",
    "a-z\u00df-\u00f6\u00f8-\u00ff\u0101-\u017f",
)
_CAPITAL = rf"(?:(?:[DO]'|Mc|Mac|Al-|El-)?[{_UPPER}][{_LOWER}]{{1,24}}+(?:[-'][{_UPPER}][{_LOWER}]{{1,24}}+)?|[{_UPPER}][.](?=[ ]))"
_CAPITALS = rf"[{_UPPER}]{{2,20}}+(?:[-'][{_UPPER}]{{2,20}}+)?"
_PARTICLE = r"(?:(?:van|von|der|den|de|da|dos|del|della|di|la|le|bin|ibn|al|el|ter|ten|zu|st[.]?)[ ])"
_TITLE = r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam|Herr|Frau|Señora?|Monsieur|Madame|Mme)[.]?[ ])"
_NAME = rf"{_CAPITAL}(?:[ ]{_PARTICLE}{{0,3}}{_CAPITAL}){{0,3}}"
_ANY_CASE = rf"(?:[{_UPPER}{_LOWER}][\w'-]{{0,24}}+[.]?)"
_TITLED = re.compile(rf"\b{_TITLE}(?P<said>{_PARTICLE}{{0,3}}{_NAME}|{_CAPITALS}(?:[ ]{_CAPITALS})?)")
_STRONG = re.compile(
    rf"""
    (?i:
        \b(?:(?:my|his|her|their|the|full|first|last|customer|legal)\s(?:full\s|first\s|last\s|legal\s)?name(?:\sis|'s|:|\swas|\sto|\sas|\sshould\sbe)
        | name[ ]?[:=] | surname(?:\sis|:) | (?:recipient|cardholder|card\sholder|account\sholder|addressee|sender|passenger|patient|guest
        |attention|attn|consignee|buyer|contact\sperson|contact|customer|agent|ordered\sby|placed\sby|bill\sto|ship\sto|delivered\sto|signed\sby)
            (?:\sname)?(?:\sis)?[ ]?[:=]
        | (?:in|under)\s(?:the\s)?name(?:\sof)? | (?:i'm|i\sam|am)\scalled | goes\sby | named | signed\sby | addressed\sto | on\sbehalf\sof
        | mein\sname\sist | ich\shei(?:ß|ss)e | je\sm'appelle | me\sllamo | mi\snombre\ses | mi\schiamo )
    )
    \s{{0,2}}["'(]?(?:{_TITLE})?
    (?P<said>{_ANY_CASE}(?:[ ]{_ANY_CASE}){{0,3}})
    """,
    re.VERBOSE,
)
_WEAK = re.compile(
    rf"""
    (?i:\b(?:this\sis|i\sam|i'm|im|it's|it\sis|speaking\s(?:with|to)|spoke\s(?:with|to)|talked\s(?:with|to)|chatted\swith|agent|colleague
        |representative|rep|technician|driver|courier|neighbou?r|husband|wife|son|daughter|brother|sister|mother|father|boss|manager|partner
        |assistant|thanks|thank\syou|thx|cheers|bye|regards|sincerely|best|greetings|welcome|sorry|by|ask\sfor|call\sme|with|mother|friend))
    [ ,]{{1,2}}(?:{_TITLE})?
    (?P<said>{_NAME})
    (?P<after>[ ]?(?:[,.!?;:)\n(-]|\Z|here\b|from\b|at\b|and\b|with\b|in\b|on\b|speaking\b|for\b|who\b|said\b|told\b|promised\b|calling\b|again\b|,))?
    """,
    re.VERBOSE,
)
_GREETING = re.compile(
    rf"(?:\A|(?<=[\n.!?>]))\s{{0,3}}(?i:dear|hi|hello|hey|hiya|good\s(?:morning|afternoon|evening|day)|hallo|bonjour|hola|liebe[rs]?|sehr\sgeehrte[rs]?)"
    rf"(?i:\sthere)?[ ,]{{1,2}}(?:{_TITLE})?(?P<said>{_NAME})(?=[ ]?(?:[,.!?:;\n-]|\Z))"
)
_SIGNATURE = re.compile(
    rf"(?i:\b(?:regards|sincerely|faithfully|truly|best|cheers|thanks|thank\syou|many\sthanks|wishes|greetings|cordially|yours|grüße|grüßen))"
    rf"[ ]?[,.!]?[ ]?(?:\n[ ]?){{1,3}}(?:{_TITLE})?(?P<said>{_NAME}|{_CAPITALS}(?:[ ]{_CAPITALS}){{1,2}})(?=[ ]?(?:[,.\n]|\Z))"
)
_BARE = re.compile(
    rf"(?<![\w@.'/-])(?P<given>[{_UPPER}][{_LOWER}]{{1,24}}+)(?P<more>(?:[ ](?:{_PARTICLE}{{0,3}}){_CAPITAL}){{0,2}})(?![\w@])"
)
# words that stand with a capital letter where a name could
_NO_NAMES = frozenset(
    """
    a about account after all alexa also amazon am an and android any anyone apple april are as at august australia back bank black blue
    bot but buyer by can canada care cash charge chat china christmas client cortana could credit customer customers danke day dear december
    delivery department desk did do does easter english euro europe everybody everyone express february fedex folks for france french friday
    friend friends from german germany gift global gmail go good google great green guys have hello help here hermes hi holiday hope how i if in
    india instagram is it italy january japan july june just ladies let lets live london madam mail march master mastercard may me member
    microsoft monday my need new no not november now october of ok okay on online or order our paris partner paypal payment please prime
    product red refund return returns royal samsung saturday seller september service shop silver sir sirs so sony sorry spain standard still store
    sunday support sure team thank thanks that the their them then there these they this those thursday to today tomorrow tuesday twitter
    uk unfortunately united unable up ups urgent us usa user user valued visa was we wednesday well were what whatsapp when where which white who why
    will windows wish with would yes yesterday you your yours zoom mr mrs ms miss mx dr prof herr frau again already always another because been before being best better black both can't
    completely confused different disappointed done don't either every first free frustrated gold happy having he her his impossible interested into
    it's i'm i've i'd i'll last late like locked looking lost maybe misspelled missing more most much never next none nothing only open other out over
    own premium quite really same she should some someone something soon stuck such than too trying two very waiting wanting wrong worried spelled spelt
    spanish italian chinese japanese british american european indian mobile iphone ipad macbook galaxy pixel mac pc tv usb wifi box black basic pro
    """.split()
)
_STRONG_ENDS = _NO_NAMES | frozenset(
    "and on but or the is was i my not as from at for with to in of number phone email e-mail address tel order id please thanks account "
    "card date dob born your that if so it he she we they you's mobile called has have had live lives nothing password never".split()
)
_INTRODUCED = frozenset(["from", "here", "speaking", "calling"])
_PERSON = re.compile(
    r"(?:spe|spo|talk|chatt|agent|colleague|representative|technician|driver|courier|neighbo|husband|wife|son|daughter|brother"
    r"|sister|mother|father|friend|ask|thank|thx|cheers|call)",
    re.IGNORECASE,
)
_TOKENS = re.compile(r"[^\s]+")


def find_names(text: str) -> Iterator[Place]:
    """Yield given and family names, without titles such as "Mr."."""
    places: list[Place] = []
    for found in _STRONG.finditer(text):
        places += _leading_name(found, _STRONG_ENDS, any_case=True)
    for expression in (_TITLED, _SIGNATURE, _GREETING):
        for found in expression.finditer(text):
            places += _leading_name(found, _NO_NAMES)
    for found in _WEAK.finditer(text):
        words = found["said"].split()
        if len(words) > 1 or _is_given(words[0]) or _is_introduced(found):
            places += _leading_name(found, _NO_NAMES)
    places += _bare_names(text)
    return longest_places(places)


def _is_introduced(found: re.Match[str]) -> bool:
    """Return whether a single word that no table knows stands where a name does: "I'm Wei from support"."""
    after = (found["after"] or "").strip()
    is_person = _PERSON.match(found[0]) is not None
    return after in _INTRODUCED or (is_person and after != "" and found["said"].lower() not in _NO_NAMES)


def _leading_name(found: re.Match[str], ends: frozenset[str], *, any_case: bool = False) -> list[Place]:
    """Return the place of the words before the first that is no part of a name, or none."""
    start = found.start("said")
    end, has_capital = start, False
    for word in _TOKENS.finditer(found["said"]):
        plain = word[0].strip(".,'-").lower()
        is_capital = word[0][:1].isupper()
        # a small word behind a capital one goes on with the sentence, but for particles
        if plain in ends or (has_capital and not is_capital and len(plain) > 3):
            break
        has_capital = has_capital or is_capital
        end = start + word.end()
        if any_case and not has_capital and word.start() > 0:
            break  # two words at most where all are small
    while end > start and (small := re.search(r"[ ][a-z]{1,3}\Z", found.string[start:end])) and has_capital:
        end -= len(small[0])
    return [(start, start + len(found.string[start:end].rstrip(".,'- ")))] if end > start else []


def _bare_names(text: str) -> Iterator[Place]:
    for found in _BARE.finditer(text):
        if _is_given(found["given"]):
            end = found.end("given")
            for word in _TOKENS.finditer(found["more"]):
                if word[0].strip(".,'").lower() in _NO_NAMES:
                    break
                end = found.start("more") + word.end()
            yield found.start(), end


def _is_given(word: str) -> bool:
    return word.split("-")[0].lower() in GIVEN_NAMES
