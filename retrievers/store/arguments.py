"""Argument checks of a store."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llms.errors import OptionValueError, UnknownOptionError
from llms.texts import check_text
from retrievers.errors import SearchArgumentError, VectorError
from retrievers.store.plain_metadata import plain_metadata

_MAX_TEXT_CHARS = 1_000_000


def check_choice(name: str, value: str | None, choices: Sequence[str | None]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        OptionValueError: naming them.
    """
    if value not in choices:
        msg = f"{name} must be one of {', '.join(str(choice) for choice in choices)}, got {value!r}"
        raise OptionValueError(msg)


def checked_rows(
    texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None, ids: Sequence[str | None] | None
) -> tuple[list[str], list[str], list[str]]:
    """Return texts, metadata as JSON and ids, one of each per document; an id that is missing is made of the content.

    Raises:
        InputTextError: for a text or id that is no text, is too long, or holds NUL or a lone surrogate.
        VectorError: for metadata that is no JSON, and if there is not one of each per text.
    """
    checked = [check_text(text, max_chars=_MAX_TEXT_CHARS) for text in texts]
    given, entries = list(ids or [None] * len(checked)), list(metadatas or [{}] * len(checked))
    if not len(checked) == len(entries) == len(given):
        msg = f"got {len(checked)} texts, {len(entries)} metadata and {len(given)} ids; give one per text"
        raise VectorError(msg)
    metadata = [
        _checked_metadata(entry, number, id_) for number, (entry, id_) in enumerate(zip(entries, given, strict=True), 1)
    ]
    new_ids = [
        check_text(id_) if id_ else _content_id(text, entry)
        for id_, text, entry in zip(given, checked, metadata, strict=True)
    ]
    return checked, metadata, new_ids


def _checked_metadata(metadata: Mapping[str, Any], number: int, id_: str | None) -> str:
    try:
        return metadata_json(metadata)
    except VectorError as error:
        name = f"document {number} (id {id_!r:.80})" if id_ else f"document {number}"
        msg = f"{name} cannot be stored: {error}"
        raise VectorError(msg) from error


def _content_id(text: str, metadata: str) -> str:
    return hashlib.sha256(f"{text}\x1f{metadata}".encode()).hexdigest()[:32]


def check_k(k: int) -> None:
    """Refuse a search for fewer than one document.

    Raises:
        SearchArgumentError: naming the number.
    """
    if k < 1:
        msg = f"k must be at least 1, got {k}"
        raise SearchArgumentError(msg)


def refuse_unknown(options: Mapping[str, Any]) -> None:
    """Refuse options that nobody takes.

    Raises:
        UnknownOptionError: naming them.
    """
    if options:
        msg = f"a store has no option {', '.join(sorted(options))}; check the spelling"
        raise UnknownOptionError(msg)


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as JSON; see `plain_metadata` for what becomes of dates and NumPy numbers.

    Raises:
        VectorError: if they hold something JSON cannot, with the key.
    """
    try:
        text = json.dumps(plain_metadata(metadata), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")  # refuses lone surrogates, which are no JSON either
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"its metadata are no JSON: {error}"
        raise VectorError(msg) from error
    return text
