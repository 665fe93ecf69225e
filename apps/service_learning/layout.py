"""Forms of support logs, and what was guessed about a file before anything of it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from chains.customer_service.learning import LoggedRole

LogForm: TypeAlias = Literal[
    "message rows",  # one row a message, in CSV or JSONL
    "pair rows",  # one row a question and its answer
    "request rows",  # one row a request, without answers
    "message lists",  # one record a conversation: OpenAI, LangChain, ShareGPT and alike
    "zendesk",
    "intercom",
    "freshdesk",
    "wecom",
    "chat text",  # as WeChat, QQ and shop programs copy conversations
]
Role: TypeAlias = LoggedRole | None
Roles: TypeAlias = Mapping[str, Role]
"""What a log calls somebody -> who that is; None for what is no message."""

ANY_ROLE = "*"
"""The key of the role of all who are not named."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something of a log that cannot be used.

    Attributes:
        source: the file.
        line: where it stands, counted from 1; 0 for the file as a whole.
        reason: what is wrong with it and, where it helps, what to do.
    """

    source: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a file is taken for.

    Attributes:
        path: the file.
        form: how conversations stand in it.
        encoding: of its bytes.
        columns: meaning -> name of the column or key; empty where the form fixes them.
        roles: what the file calls somebody -> who that is; None for what is no message, such as notes of staff.
        time_format: as of `strptime`, where days and months could be taken for each other; else empty.
        examples: the first messages as they would be read: role and text.
        warnings: what a person should look at before anything runs.
    """

    path: Path
    form: LogForm
    encoding: str = "utf-8"
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Roles = field(default_factory=dict)
    time_format: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
