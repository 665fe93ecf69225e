"""What an accepted review writes into the records of a workspace: rows, answers, known questions and articles."""

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.errors import ReviewError, WorkspaceError
from apps.readers import read_known_questions, read_templates
from apps.service_learning.decisions import Use
from apps.yaml_entries import add_to_list, add_to_mapping
from chains.customer_service import Slot
from chains.customer_service.learning import placeholders_of, unused_name
from llms.errors import DataFileError, TextEncodingError
from llms.texts import CsvTable, decode_text, guarded_row, text_key

_TEST_SHARE = 5  # one wording of so many is for measuring
_MIN_FOR_TEST = 5  # wordings of a group of which one can be spared
_MAX_ROWS = 300  # of a group: more of the same teach nothing
_NUM_KNOWN_WORDINGS = 8
_NOT_IN_FILE_NAME = re.compile(r"[^\w-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedGroup:
    """A group that a person accepted.

    Attributes:
        name: of the intent, the known question or the article.
        template: what is answered; not read where only rows are added.
        wordings: all different requests, the most typical first.
    """

    id: str
    use: Use
    name: str
    template: str
    wordings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What a file holds before and after; None where it does not exist."""

    before: str | None
    after: str | None


def plan_records(
    folder: Path, groups: Sequence[AcceptedGroup], *, new_slots: Mapping[str, Slot] | None = None
) -> dict[str, FileChange]:
    """Return what is to change in the records of customer service: path below the folder -> change.

    Comments and rows that are there stay. Of the wordings of an intent every fifth goes to `intents_test.csv`, by its
    text, so that a wording is never on both sides.

    Args:
        folder: of the records.
        groups: what was accepted.
        new_slots: slots that templates may use and that the workspace does not have yet.

    Raises:
        ReviewError: if a name is taken.
        WorkspaceError: if a file cannot be added to.
    """
    texts = _Texts(folder)
    _add_rows(texts, [group for group in groups if group.use in ("intent", "rows")])
    _add_templates(texts, folder, [group for group in groups if group.use == "intent"], new_slots or {})
    _add_known_questions(texts, folder, [group for group in groups if group.use == "known_question"])
    _add_articles(texts, [group for group in groups if group.use == "article"])
    return texts.changes()


class _Texts:
    """The texts of files as they are to be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: dict[str, str | None] = {}
        self._after: dict[str, str] = {}

    def read(self, name: str) -> str:
        """Return the text of a file; empty if it does not exist."""
        if name in self._after:
            return self._after[name]
        if name not in self._before:
            path = self._folder / name
            try:
                self._before[name] = decode_text(path.read_bytes()) if path.exists() else None
            except (TextEncodingError, OSError) as error:
                msg = f"{path} cannot be read: {error}; correct it first"
                raise WorkspaceError(msg) from error
        return self._before[name] or ""

    def write(self, name: str, text: str) -> None:
        self.read(name)
        self._after[name] = text

    def is_there(self, name: str) -> bool:
        return name in self._after or (self._folder / name).exists()

    def stems_in(self, folder: str) -> list[str]:
        written = [Path(name).stem for name in self._after if name.startswith(f"{folder}/")]
        return [*written, *(path.stem for path in (self._folder / folder).glob("*.md"))]

    def changes(self) -> dict[str, FileChange]:
        return {
            name: FileChange(before=self._before[name], after=text)
            for name, text in self._after.items()
            if text != self._before[name]
        }


def _add_rows(texts: _Texts, groups: Sequence[AcceptedGroup]) -> None:
    rows: dict[str, list[tuple[str, str]]] = {"intents.csv": [], "intents_test.csv": []}
    known = {name: {text_key(text) for text in _texts_of(texts.read(name))} for name in rows}
    taken = known["intents.csv"] | known["intents_test.csv"]
    for group in groups:
        fresh = [text for text in group.wordings[:_MAX_ROWS] if text_key(text) not in taken]
        taken |= {text_key(text) for text in fresh}
        held_out = _held_out(fresh)
        rows["intents_test.csv"] += [(text, group.name) for text in fresh if text in held_out]
        rows["intents.csv"] += [(text, group.name) for text in fresh if text not in held_out]
    for name, added in rows.items():
        if added:
            texts.write(name, _with_rows(name, texts.read(name), added))


def _held_out(wordings: Sequence[str]) -> frozenset[str]:
    """Return the wordings for measuring: as many as can be spared, and the same ones each time."""
    if len(wordings) < _MIN_FOR_TEST:
        return frozenset()
    by_hash = sorted(wordings, key=lambda text: hashlib.sha256(text_key(text).encode()).digest())
    return frozenset(by_hash[: len(wordings) // _TEST_SHARE])


def _texts_of(text: str) -> list[str]:
    return [row.values.get("text", "") for row in CsvTable(text).rows()] if text.strip() else []


def _with_rows(name: str, text: str, rows: Sequence[tuple[str, str]]) -> str:
    """Return a CSV file with rows behind those that are there, in its own columns and with its own delimiter."""
    if not text.strip():
        text = "text,intent\n"
    try:
        table = CsvTable(text)
    except DataFileError as error:
        msg = f"{name} {error}"
        raise WorkspaceError(msg) from error
    if missing := {"text", "intent"} - set(table.header):
        msg = f"{name} has the columns {table.header}, but {sorted(missing)[0]!r} is needed; rename the column"
        raise WorkspaceError(msg)
    end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    lines = io.StringIO()
    writer = csv.writer(lines, delimiter=table.delimiter, lineterminator=end)
    for row, intent in rows:
        cells = {"text": row, "intent": intent}
        writer.writerow(guarded_row([cells.get(column, "") for column in table.cell_names]))
    return f"{text if text.endswith(chr(10)) else text + end}{lines.getvalue()}"


def _add_templates(texts: _Texts, folder: Path, groups: Sequence[AcceptedGroup], new_slots: Mapping[str, Slot]) -> None:
    if not groups:
        return
    name = "templates.yaml"
    known = read_templates(folder / name).answers if (folder / name).exists() else {}
    _refuse_taken([group.name for group in groups], known, "intent")
    text = texts.read(name)
    used = {slot for group in groups for slot in placeholders_of(group.template)}
    slots = {slot: new_slots[slot].model_dump() for slot in sorted(used & set(new_slots))}
    text = add_to_mapping(text, "slots", slots)
    texts.write(name, add_to_mapping(text, "answers", {group.name: group.template for group in groups}))


def _add_known_questions(texts: _Texts, folder: Path, groups: Sequence[AcceptedGroup]) -> None:
    if not groups:
        return
    name = "known_questions.yaml"
    known = [question.id for question in read_known_questions(folder / name)]
    _refuse_taken([group.name for group in groups], known, "known question")
    entries: list[dict[str, str | Sequence[str]]] = []
    for group in groups:
        # what one person wrote of themselves finds nothing
        general = [text for text in group.wordings if not placeholders_of(text)] or list(group.wordings)
        entry: dict[str, str | Sequence[str]] = {"id": group.name, "question": general[0], "answer": group.template}
        if others := general[1 : 1 + _NUM_KNOWN_WORDINGS]:
            entry["wordings"] = others
        entries.append(entry)
    texts.write(name, add_to_list(texts.read(name), entries))


def _add_articles(texts: _Texts, groups: Sequence[AcceptedGroup]) -> None:
    for group in groups:
        stem = _NOT_IN_FILE_NAME.sub("-", group.name).strip("-_").lower() or "article"
        name = f"knowledge/{stem}.md"
        if texts.is_there(name):
            name = f"knowledge/{unused_name(stem, texts.stems_in('knowledge'))}.md"
        title = group.name.replace("_", " ").strip()
        texts.write(name, f"# {title[:1].upper()}{title[1:]}\n\n{group.template.strip()}\n")


def _refuse_taken(names: Sequence[str], known: Sequence[str] | Mapping[str, str], what: str) -> None:
    seen = set(known)
    for name in names:
        if name in seen:
            msg = f"there is a {what} {name!r} already; give the group another name, or accept it as rows of that one"
            raise ReviewError(msg)
        seen.add(name)
