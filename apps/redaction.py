"""Redaction of personal data in texts that are kept for operators, by expressions and checksums."""

import re

from llms.texts.private_data import find_by_form

_ESCAPED = re.compile("%(?!25)([2-7][0-9A-Fa-f])")  # as visible characters stand in an address
_SHOWN = {"email": "e-mail", "iban": "IBAN", "id_number": "id number"}


def redact(text: str) -> str:
    """Return a text without what tells who somebody is, or opens what is theirs.

    Replaced are e-mail addresses, telephone numbers, payment cards (Luhn), IBANs (mod 97), Chinese resident ids
    (GB 11643), API keys, passwords and bearer tokens; also as they stand in an address (`%40`). Names, postal
    addresses and what people write about themselves are not looked for: such texts must not be logged.

    Example:
        >>> redact("anna@example.com, 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00, order VT-204918")
        '[e-mail], [card], [IBAN], order VT-204918'
    """
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    kept, done = [], 0
    for span in find_by_form(plain):
        kept += [plain[done : span.start], f"[{_SHOWN.get(span.kind, span.kind)}]"]
        done = span.end
    return "".join([*kept, plain[done:]]) if kept else text
