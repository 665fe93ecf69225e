"""Private data of a text: where it stands, and the text with typed placeholders."""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

from llms.texts.private_data.addresses import find_addresses
from llms.texts.private_data.chinese_addresses import find_chinese_addresses
from llms.texts.private_data.chinese_names import find_chinese_names
from llms.texts.private_data.emails import find_bare_emails, find_emails, find_spelt_emails
from llms.texts.private_data.keys import find_keys, find_program_ids, find_spoken_secrets
from llms.texts.private_data.names import find_names
from llms.texts.private_data.numbers import find_cards, find_ibans, find_resident_ids
from llms.texts.private_data.orders import (
    find_glued_orders,
    find_identities,
    find_long_numbers,
    find_said_orders,
    find_shaped_orders,
)
from llms.texts.private_data.phones import find_international_phones, find_phones, find_said_phones, find_spaced_phones
from llms.texts.private_data.segmented_names import find_segmented_names
from llms.texts.private_data.spans import Place, PlainText, PrivateSpan, Search, has_digits

Finder: TypeAlias = Callable[[str], Iterable[PrivateSpan]]
"""A further way to find private data, such as a tagger trained on the workspace's own texts."""

_FEWEST_DIGITS = 3
_HAN = re.compile("[\u3400-\u9fff]")
_CAPITAL = re.compile(r"[A-Z\u00c0-\u017f]|(?i:name|called|\bi'?\s?a?m\b|this is)")
_COMPACT = re.compile(r"[^\w@]")


def find_by_form(text: str) -> list[PrivateSpan]:
    """Return what form and check digits alone prove to be private: keys, e-mail addresses, cards, IBANs, ids, phones.

    Ids of requests and sums in hexadecimal digits are none. Nothing is read from the words around.

    Example:
        >>> [span.kind for span in find_by_form("anna@example.com, 4111 1111 1111 1111, order VT-204918")]
        ['email', 'card']
    """
    search = Search(text)
    search.take("key", find_keys)
    search.take("email", find_emails)
    search.hide(list(find_program_ids(search.rest)))
    search.take("iban", find_ibans)
    search.take("id_number", find_resident_ids)
    search.take("card", find_cards)
    search.take("phone", find_phones)
    return sorted(PrivateSpan(start, end, kind, text[start:end]) for start, end, kind in search.found)


def find_private(
    text: str,
    *,
    patterns: Mapping[str, str] | None = None,
    finders: Iterable[Finder] = (),
    public: Collection[str] = (),
) -> list[PrivateSpan]:
    """Return the private data of a text, in order and without overlaps.

    Found are e-mail addresses, telephone numbers, payment cards, IBANs, numbers of papers, customers and accounts,
    names, postal addresses, numbers of orders and parcels, passwords and keys, in English and Chinese and the everyday
    forms of other languages; in full-width characters too. Form and check digits decide where they can, else the words
    around. The time taken grows with the length of the text, whatever stands in it.

    Args:
        text: what somebody wrote, in plain text.
        patterns: name of a slot -> regular expression of the operator; what it finds has the slot's name as its kind.
        finders: further finders; they find only what nothing here has found.
        public: what is private of nobody and stays, such as the company's own address; signs and spaces in it do not
            count.

    Example:
        >>> [(span.kind, span.text) for span in find_private("I'm Anna Schmidt, order VT-204918, anna@example.com")]
        [('name', 'Anna Schmidt'), ('order_number', 'VT-204918'), ('email', 'anna@example.com')]
        >>> [(span.kind, span.text) for span in find_private("我叫王小明，手机１３８００１３８０００")]
        [('name', '王小明'), ('phone', '１３８００１３８０００')]
    """
    plain = PlainText(text)
    search = Search(plain.plain)
    for slot, pattern in (patterns or {}).items():
        search.take(slot, functools.partial(_filled_spans, re.compile(pattern)))
    _search_signs(search)
    if _HAN.search(search.rest):
        search.take("address", find_chinese_addresses)
        search.take("name", find_chinese_names)
        search.take("name", find_segmented_names)
    search.take("address", find_addresses)
    if _CAPITAL.search(search.rest):
        search.take("name", find_names)
    spans = [plain.span(start, end, kind) for start, end, kind in search.found]
    for finder in finders:
        spans += [span for span in finder(text) if not any(_overlap(span, known) for known in spans)]
    published = _compacted(frozenset(public))
    return sorted(span for span in spans if not published or _compact(span.text) not in published)


def replace_private(
    text: str,
    *,
    patterns: Mapping[str, str] | None = None,
    finders: Iterable[Finder] = (),
    public: Collection[str] = (),
) -> str:
    """Return a text with placeholders such as `{email}` for its private data, as templates write slots.

    Args:
        text: what somebody wrote, in plain text.
        patterns: as for `find_private`.
        finders: as for `find_private`.
        public: as for `find_private`.

    Example:
        >>> replace_private("Dear Anna, we sent VT-204918 to anna@example.com.")
        'Dear {name}, we sent {order_number} to {email}.'
    """
    return put_placeholders(text, find_private(text, patterns=patterns, finders=finders, public=public))


def put_placeholders(text: str, spans: Iterable[PrivateSpan]) -> str:
    """Return a text with a placeholder in the place of each span.

    Args:
        text: the text that the spans were found in.
        spans: in order and without overlaps.
    """
    kept, done = [], 0
    for span in spans:
        kept += [text[done : span.start], f"{{{span.kind}}}"]
        done = span.end
    return "".join([*kept, text[done:]])


def _search_signs(search: Search) -> None:
    """Search what has digits or signs of its own; the surest first."""
    search.take("key", find_keys)
    search.take("email", find_bare_emails)
    search.take("email", find_spelt_emails)
    if not has_digits(search.rest, _FEWEST_DIGITS):
        return
    search.take("key", find_spoken_secrets)
    search.take("order_number", find_said_orders)
    search.hide(list(find_program_ids(search.rest)))
    search.take("iban", find_ibans)
    search.take("id_number", find_resident_ids)
    search.take("phone", find_international_phones)
    search.take("order_number", find_glued_orders)
    search.take("card", find_cards)
    search.take("id_number", find_identities)
    search.take("order_number", find_shaped_orders)
    search.take("phone", find_said_phones)
    search.take("phone", find_phones)
    search.take("phone", find_spaced_phones)
    search.take("order_number", find_long_numbers)


def _filled_spans(expression: re.Pattern[str], text: str) -> Iterable[Place]:
    return (found.span() for found in expression.finditer(text) if found.group())


def _overlap(span: PrivateSpan, other: PrivateSpan) -> bool:
    return span.start < other.end and other.start < span.end


@functools.lru_cache(maxsize=16)  # the same for each text of a workspace
def _compacted(public: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_compact, public))


def _compact(text: str) -> str:
    return _COMPACT.sub("", PlainText(text).plain).lower()
