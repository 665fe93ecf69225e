"""Questions about paragraphs, from files in the format of SQuAD."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KnowledgeQuestion", "read_questions"]


@dataclass(frozen=True, slots=True)
class KnowledgeQuestion:
    """A question, the paragraph that answers it and the words in it that do.

    Attributes:
        document: number of the paragraph, the same for equal ones.
    """

    text: str
    document: str
    context: str
    answers: tuple[str, ...]


def read_questions(path: Path) -> list[KnowledgeQuestion]:
    """Return the questions of a file, compressed or not."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    numbers: dict[str, str] = {}
    return [
        KnowledgeQuestion(
            text=entry["question"],
            document=numbers.setdefault(paragraph["context"], str(len(numbers))),
            context=paragraph["context"],
            answers=tuple(answer["text"] for answer in entry["answers"]),
        )
        for article in json.loads(content)["data"]
        for paragraph in article["paragraphs"]
        for entry in paragraph["qas"]
    ]
