"""The report on training rows: as an object, as JSON-ready values, and as Markdown."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llms.finetuning.data.duplicates import NearDuplicate
from llms.finetuning.data.tables import RejectedRow

_MAX_SHOWN_CHARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedText:
    """A text that stands in several rows, up to case, spaces and punctuation, and the lines of the first of them."""

    text: str
    num_rows: int
    lines: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConflict:
    """A text that stands under different labels; several labels of one row are one entry, joined by commas."""

    text: str
    labels: list[str]
    lines: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLengths:
    """How long the texts are, in characters; 95 of 100 are no longer than `p95`."""

    median: float
    p95: float
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """How many test rows have a text that stands in the training rows too, and the first of them.

    Attributes:
        num_exact: test rows equal to a training text up to case, spaces and punctuation.
        num_near: test rows whose most similar training text has a cosine of 0.8 or more; most exact ones are
            among them.
        num_either: test rows that are one or the other.
        either_share: of the test rows.
        exact: the first texts of the first kind.
        near: the first of the second kind that are not of the first.
        new_labels: labels that stand in the test rows only.
    """

    num_test_rows: int
    num_exact: int
    num_near: int
    num_either: int
    either_share: float
    exact: list[str]
    near: list[NearDuplicate]
    new_labels: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What training rows hold, and what to do about it before training; examples are the first 20.

    Attributes:
        num_rejected: rows of the file that were set aside.
        rows_per_label: most frequent label first; of rows with several labels each counts.
        num_without_label: rows without any label, where rows may have several.
        num_duplicates: rows that repeat an earlier one's text, up to case, spaces and punctuation.
        num_conflicts: texts that stand under different labels.
        num_near: distinct texts with a near twin among the others (cosine of 0.8 or more).
        num_near_looked_at: distinct texts that were compared; fewer than all of them where there are very many.
        chinese_share: of the rows, those that are mostly Chinese.
        errors: why training would refuse these rows.
        warnings: what training accepts but is better corrected, one sentence each.
    """

    num_rows: int
    num_rejected: int
    rejected: list[RejectedRow]
    rows_per_label: dict[str, int]
    num_without_label: int
    rare_labels: dict[str, int]
    num_duplicates: int
    duplicates: list[RepeatedText]
    num_conflicts: int
    conflicts: list[LabelConflict]
    num_near: int
    num_near_looked_at: int
    near: list[NearDuplicate]
    lengths: TextLengths
    chinese_share: float
    leakage: Leakage | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures and examples as values that JSON can hold."""
        return dataclasses.asdict(self)

    def to_markdown(self) -> str:
        """Return the report for people: what to do first, then figures, then examples."""
        sections = [
            "# Training data",
            _bullets("Errors", self.errors),
            _bullets("Warnings", self.warnings),
            _figures(self),
            _table("Rows per label", ("label", "rows"), self.rows_per_label.items()),
            _table("Rows set aside", ("line", "reason"), [(row.line, row.reason) for row in self.rejected]),
            _table(
                "Conflicting labels",
                ("text", "labels", "lines"),
                [(entry.text, " / ".join(entry.labels), _joined(entry.lines)) for entry in self.conflicts],
            ),
            _table(
                "Repeated texts",
                ("text", "rows", "lines"),
                [(entry.text, entry.num_rows, _joined(entry.lines)) for entry in self.duplicates],
            ),
            _twins("Nearly equal texts", self.near),
        ]
        if self.leakage:
            sections.append(_table("Test texts in training", ("text",), [(text,) for text in self.leakage.exact]))
            sections.append(_twins("Test texts nearly in training", self.leakage.near))
        return "\n\n".join(section for section in sections if section) + "\n"


def _figures(report: DataReport) -> str:
    figures: list[tuple[str, object]] = [
        ("rows", report.num_rows),
        ("rows set aside", report.num_rejected),
        ("labels", len(report.rows_per_label)),
        ("rows without a label", report.num_without_label),
        ("rows that repeat a text", report.num_duplicates),
        ("texts with conflicting labels", report.num_conflicts),
        ("texts with a near twin", report.num_near),
        ("characters per text: median", report.lengths.median),
        ("characters per text: 95 of 100 have at most", report.lengths.p95),
        ("characters per text: most", report.lengths.max),
        ("share of Chinese texts", report.chinese_share),
    ]
    if report.leakage:
        figures += [
            ("test rows", report.leakage.num_test_rows),
            ("test rows equal to a training text", report.leakage.num_exact),
            ("test rows equal or nearly equal to one", report.leakage.num_either),
        ]
    return _table("Figures", ("what", "value"), figures)


def _bullets(title: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    return f"## {title}\n\n" + "\n".join(f"- {_shown(sentence, max_chars=1000)}" for sentence in sentences)


def _twins(title: str, twins: Sequence[NearDuplicate]) -> str:
    rows = [(twin.text, twin.twin, twin.similarity) for twin in twins]
    return _table(title, ("text", "most similar text", "cosine"), rows)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table below its title, or nothing where it would be empty."""
    lines = ["| " + " | ".join(_shown(cell) for cell in row) + " |" for row in rows]
    if not lines:
        return ""
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return f"## {title}\n\n" + "\n".join(head + lines)


def _shown(value: object, *, max_chars: int = _MAX_SHOWN_CHARS) -> str:
    """Return a value as one line of plain text: rows of a file must not become tables, links or markup of a report."""
    text = " ".join(str(value).split())
    if len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in text)


def _joined(lines: Sequence[int]) -> str:
    return ", ".join(str(line) for line in lines)
