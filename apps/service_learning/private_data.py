"""Private data in logs: replaced by placeholders, but for what a company tells everybody."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from apps.readers import read_known_questions, read_templates
from apps.service_learning.learning import ReplacePrivate
from apps.settings import Settings
from llms.texts.private_data import find_private, put_placeholders

_TEXT_FILES = ("*.md", "*.txt", "*.html", "*.htm")
_MAX_ARTICLE_CHARS = 200_000
_COMPANY_DATA = frozenset(["email", "phone", "address"])  # a first name in an article is that of customers, too


def open_replacement(settings: Settings) -> ReplacePrivate:
    """Return what replaces private data in texts of logs.

    Numbers that a slot of the templates finds get the slot's name. What stands in the answers and articles of the
    workspace, such as the address of the company, is nobody's secret and stays.
    """
    folder = settings.records_folder(settings.customer_service)
    templates = folder / "templates.yaml"
    slots = read_templates(templates).slots if templates.exists() else {}
    patterns = {name: slot.pattern for name, slot in slots.items()}
    public = frozenset(
        span.text for text in _published_texts(folder) for span in find_private(text) if span.kind in _COMPANY_DATA
    )
    return _Replacement(patterns, public)


class _Replacement:
    """Replaces private data; see `open_replacement`."""

    def __init__(self, patterns: Mapping[str, str], public: Collection[str]) -> None:
        self._patterns = dict(patterns)
        self._public = public

    def __call__(self, text: str) -> tuple[str, Sequence[tuple[str, str]]]:
        spans = find_private(text, patterns=self._patterns, public=self._public)
        return put_placeholders(text, spans), [(span.kind, span.text) for span in spans]


def _published_texts(folder: Path) -> Iterator[str]:
    templates = folder / "templates.yaml"
    if templates.exists():
        yield from read_templates(templates).answers.values()
    yield from (question.answer for question in read_known_questions(folder / "known_questions.yaml"))
    for form in _TEXT_FILES:
        for path in sorted((folder / "knowledge").rglob(form)):
            yield path.read_text("utf-8", errors="replace")[:_MAX_ARTICLE_CHARS]
