"""E-mail addresses, by their host backwards."""

import re
from collections.abc import Iterator

from llms.texts.private_data.spans import Place
from llms.texts.scripts import HAN

_HOST = re.compile(  # in plain letters if it can be, as Chinese words stand behind it without a space
    r"(?:@|\uff20|\\u0040)(?:[a-z0-9_-]++(?:[.][a-z0-9_-]++)++|[\w-]++(?:[.][\w-]++)++)", re.IGNORECASE
)
_NAME = re.compile(r"[\w.+'%-]+\Z")
_NAME_CHARS = 64
_WORDS_BEFORE = re.compile(f".*[{HAN}](?=[!-~])", re.DOTALL)
_WORDS_BEHIND = re.compile(f"(?<=[!-~])[{HAN}].*", re.DOTALL)
_SPACED = re.compile(
    r"[a-z0-9][a-z0-9._+-]{0,63}+\s?(?:\(at\)|\[at\]|\s(?:at)\s|@)\s?"
    r"[a-z0-9-]{1,63}(?:\s?(?:\(dot\)|\[dot\]|\sdot\s|[.])\s?(?:com|net|org|edu|info|io|co|cn|de|fr|uk|us|eu)\b){1,3}",
    re.IGNORECASE,
)
_HAS_MARK = re.compile(r"@|[(\[]at[)\]]|\sdot\s", re.IGNORECASE)


def find_emails(text: str) -> Iterator[Place]:
    """Yield addresses with all that could be their name, also words written together with it."""
    # from the host backwards: an expression from the name on would read a long text without an @ again and again
    done = 0
    for host in _HOST.finditer(text):
        before = text[max(done, host.start() - _NAME_CHARS) : host.start()]
        if name := _NAME.search(before):
            done = host.end()
            yield host.start() - len(name[0]), done


def find_bare_emails(text: str) -> Iterator[Place]:
    """Yield addresses without Chinese words beside them, as texts for people have it."""
    for start, end in find_emails(text):
        found = text[start:end]
        before, behind = _WORDS_BEFORE.match(found), _WORDS_BEHIND.search(found)
        at = found.find("@")
        yield (
            start + (before.end() if before and before.end() < at else 0),
            start + behind.start() if behind and behind.start() > at else end,
        )


def find_spelt_emails(text: str) -> Iterator[Place]:
    """Yield addresses in which words or spaces stand about the signs: "anna (at) example dot com"."""
    if _HAS_MARK.search(text):
        yield from (found.span() for found in _SPACED.finditer(text))
