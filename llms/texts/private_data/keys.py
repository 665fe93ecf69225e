"""Keys, passwords and tokens, which open what is somebody's; and ids of programs, whose digits prove nothing."""

import re
from collections.abc import Iterator

from llms.texts.private_data.spans import Place

_KEY = re.compile(
    r"""
      (?:
        \b(?:api[-_]?key|access[-_]?token|token|secret|password|passwd|pwd|authorization)["']?\s*[=:]\s*["']?
        (?:(?:bearer|basic)\s+)?
      | \bbearer[\s+]+
      )
      (?P<said>[^\s"',;&]{8,}+)
    | (?<=://)[^\s/@:]++:[^\s/@]++(?=@)
    | \btc_[0-9a-f]{12}_[0-9a-f]{64}
    | \b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|hf_\w{20,}|AKIA[0-9A-Z]{16})
    | \beyJ[\w-]++[.]eyJ[\w-]++[.][\w-]++
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPOKEN = re.compile(  # as people write them in a conversation
    r"(?:\b(?:password|passcode|pin(?: code)?|cvv2?|cvc)(?: is| was|:)|(?:密码|验证码|安全码)(?:是|为|:)?)\s*"
    r"(?P<said>(?=[^\s,;，。；]*\d)[^\s,;，。；\x00\u4e00-\u9fff]{3,40})",
    re.IGNORECASE,
)
_PROGRAM_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{32,}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?![0-9A-Za-z])"
)


def find_keys(text: str) -> Iterator[Place]:
    """Yield API keys, bearer tokens, passwords named as such, and those within addresses."""
    for found in _KEY.finditer(text):
        yield found.span("said") if found["said"] else found.span()


def find_spoken_secrets(text: str) -> Iterator[Place]:
    """Yield passwords, codes and PINs that a sentence names."""
    return (found.span("said") for found in _SPOKEN.finditer(text))


def find_program_ids(text: str) -> Iterator[Place]:
    """Yield UUIDs and hexadecimal sums: ids of requests, conversations and files."""
    return (found.span() for found in _PROGRAM_ID.finditer(text))
