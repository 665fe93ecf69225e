"""Answers that a published chat model composes from paragraphs, English and Chinese, beside quoting them.

Run: python -m benchmarks.composed_answers --model NAME [--encoder NAME] [--questions 300] [--results FILE]
     [--out docs/benchmarks/composed_answers.md]

Every paragraph of XQuAD is an article of a knowledge base. The least relevance is fitted on questions of the even
paragraphs, so that 85 % of them are refused when their paragraph is taken out; questions of the odd ones are asked
twice, with their paragraph and without it. With --results each answer is appended to that file as JSON, and questions
that stand in it already are not asked again.
"""

import argparse
import os
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel

from benchmarks.machine import processor
from benchmarks.results import append_result, read_results
from benchmarks.service_lies import nobody
from benchmarks.service_questions import KnowledgeQuestion, read_questions
from chains.customer_service import ServiceOptions, TemplateBook, build_customer_service_chain
from chains.languages import Language
from llms import LocalChatModel, LocalEmbeddings
from retrievers import FaissStore, HybridRetriever

DATA = Path(__file__).parents[2] / "shared" / "data"
LANGUAGES: dict[str, Language] = {"English": "en", "Chinese": "zh"}
REFUSED = 0.85  # of the fitting questions, without their paragraph
NUM_FITTING = 300
AT_ONCE = 4
MAX_TOKENS = 160
TARGETS = {"holds": 0.85, "refused": 0.85}
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}")
_MARK = re.compile(r"\s*\[[\d\s,，、]+\]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What one question got.

    Attributes:
        way: "composed", "quoted" or "refused".
        holds: whether the marked words stand in the answer.
        unborne: numbers and names of the answer that stand neither in the cited articles nor in the question.
    """

    language: str
    row: str
    number: int
    has_paragraph: bool
    way: str
    holds: bool
    unborne: int
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Base:
    """A language's paragraphs as a knowledge base, its questions, and the least relevance fitted on others."""

    language: str
    store: FaissStore
    embeddings: Embeddings
    asked: Sequence[KnowledgeQuestion]
    contexts: dict[str, str]
    min_relevance: float

    @classmethod
    def open(cls, language: str, encoder: str | None, num_questions: int) -> "_Base":
        data = Path(os.environ.get("TUNECHAIN_DATA", DATA))  # noqa: TID251  # no workspace here
        questions = read_questions(data / f"xquad/xquad.{LANGUAGES[language]}.json")
        embeddings = LocalEmbeddings(model=encoder) if encoder else LocalEmbeddings()
        store = FaissStore(embedding=embeddings)
        contexts = {question.document: question.context for question in questions}
        store.add_documents([Document(text, id=id_, metadata={"source": id_}) for id_, text in contexts.items()])
        generator = random.Random(0)
        parts = [[question for question in questions if int(question.document) % 2 == rest] for rest in (0, 1)]
        fitting = generator.sample(parts[0], min(NUM_FITTING, len(parts[0])))
        asked = generator.sample(parts[1], min(num_questions, len(parts[1])))
        relevance = [
            float(_retriever(store, question.document).invoke(question.text)[0].metadata["relevance"])
            for question in fitting
        ]
        return cls(language, store, embeddings, asked, contexts, float(np.quantile(relevance, REFUSED)))

    def ask(self, number: int, row: str, chat_model: BaseChatModel | None, *, has_paragraph: bool) -> Asked:
        question = self.asked[number]
        chain = build_customer_service_chain(
            classifier=nobody(),
            templates=TemplateBook(answers={}),
            retriever=_retriever(self.store, None if has_paragraph else question.document),
            embeddings=self.embeddings,
            chat_model=chat_model,
            options=ServiceOptions(min_relevance=self.min_relevance, intent_margin=0.0),
        )
        started = time.perf_counter()
        reply = chain.invoke(question.text)
        way = "refused"
        if reply.route == "answer":
            way = "composed" if "composed" in reply.reason else "quoted"
        cited = " ".join(self.contexts[citation.source] for citation in reply.citations)
        return Asked(
            language=self.language,
            row=row,
            number=number,
            has_paragraph=has_paragraph,
            way=way,
            holds=way != "refused" and any(text in _MARK.sub("", reply.text) for text in question.answers),
            unborne=0 if way == "refused" else _count_unborne(reply.text, f"{cited} {question.text}"),
            text=reply.text,
            seconds=time.perf_counter() - started,
        )


def main() -> None:
    """Ask, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--encoder", help="of both languages; default: the one that comes with the package")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--questions", type=int, default=300, help="of each language")
    parser.add_argument("--results", type=Path, help="JSON lines, to which the answers are appended")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    model = LocalChatModel(model=arguments.model, precision=arguments.precision, max_tokens=MAX_TOKENS)
    done = [Asked(**entry) for entry in read_results(arguments.results)]
    for language in LANGUAGES:
        base = _Base.open(language, arguments.encoder, arguments.questions)
        for row, chat_model in {"quoting": None, arguments.model: model}.items():
            missing = _missing(done, language, row, len(base.asked))
            print(f"{language}, {row}: {len(missing)} to ask", file=sys.stderr, flush=True)
            done += _ask_all(base, row, chat_model, missing, arguments.results)
    page = "\n".join(_page(arguments, [answer for answer in done if answer.number < arguments.questions])) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page, "utf-8")


def _retriever(store: FaissStore, without: str | None) -> HybridRetriever:
    return HybridRetriever(store=store, filter=None if without is None else {"source": {"$ne": without}})


def _missing(done: Iterable[Asked], language: str, row: str, num: int) -> list[tuple[int, bool]]:
    known = {
        (answer.number, answer.has_paragraph) for answer in done if (answer.language, answer.row) == (language, row)
    }
    return [(number, has) for number in range(num) for has in (True, False) if (number, has) not in known]


def _ask_all(
    base: _Base,
    row: str,
    chat_model: BaseChatModel | None,
    missing: Sequence[tuple[int, bool]],
    results: Path | None,
) -> Iterator[Asked]:
    def ask(entry: tuple[int, bool]) -> Asked:
        number, has_paragraph = entry
        return base.ask(number, row, chat_model, has_paragraph=has_paragraph)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answer in pool.map(ask, missing):
            append_result(results, asdict(answer))
            yield answer


def _count_unborne(text: str, known: str) -> int:
    said = _MARK.sub("", text)
    return sum(found not in known for pattern in (_NUMBER, _NAME) for found in pattern.findall(said))


def _page(arguments: argparse.Namespace, answers: Sequence[Asked]) -> Iterator[str]:
    machine = f"{processor()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    yield "# Answers composed by a published chat model"
    yield ""
    yield f"`python -m benchmarks.composed_answers --model {arguments.model} --questions {arguments.questions}`,"
    yield f"encoder {arguments.encoder or 'as it comes'}, {arguments.precision}, seed 0; {machine}."
    yield ""
    yield "Every paragraph of XQuAD is an article. The least relevance is fitted on questions of the even paragraphs,"
    yield f"so that {REFUSED:.0%} of them are refused without their paragraph; questions of the odd ones are asked with"
    yield "their paragraph and without it. *Composed* are answers in the model's own words, of which each sentence"
    yield "passed the check against the passage it cites; where none did, passages are quoted. *Holds the answer*: of"
    yield "the answers with the paragraph, those with the marked words in them, letter by letter. *Unborne*: numbers"
    yield "and names in answers that stand neither in the cited articles nor in the question; that count knows nothing"
    yield "of the check."
    yield ""
    yield "| | asked | answered | of these composed | holds the answer | composed ones hold it | unborne |"
    yield "|---|---|---|---|---|---|---|"
    rows = list(dict.fromkeys((answer.language, answer.row) for answer in answers))
    for language, row in rows:
        yield _answer_row(language, row, [a for a in answers if (a.language, a.row) == (language, row)])
    yield ""
    yield "| without the paragraph | refused | composed | quoted |"
    yield "|---|---|---|---|"
    for language, row in rows:
        without = [a for a in answers if (a.language, a.row) == (language, row) and not a.has_paragraph]
        shares = [f"{_share(a.way == way for a in without):.3f}" for way in ("refused", "composed", "quoted")]
        yield f"| {language}, {row} | {' | '.join(shares)} |"
    yield ""
    yield from _verdicts(arguments.model, answers)


def _answer_row(language: str, row: str, answers: Sequence[Asked]) -> str:
    asked = [answer for answer in answers if answer.has_paragraph]
    answered = [answer for answer in asked if answer.way != "refused"]
    composed = [answer for answer in answered if answer.way == "composed"]
    figures = [
        f"{len(answered) / len(asked):.3f}",
        f"{len(composed) / max(1, len(answered)):.3f}",
        f"{_share(answer.holds for answer in answered):.3f}",
        f"{_share(answer.holds for answer in composed):.3f}" if composed else "-",
        f"{sum(answer.unborne for answer in answers)}",
    ]
    return f"| {language}, {row} | {len(asked)} | {' | '.join(figures)} |"


def _verdicts(model: str, answers: Sequence[Asked]) -> Iterator[str]:
    yield f"| {model} | target | reached | |"
    yield "|---|---|---|---|"
    for language in LANGUAGES:
        own = [answer for answer in answers if (answer.language, answer.row) == (language, model)]
        answered = [answer for answer in own if answer.has_paragraph and answer.way != "refused"]
        reached = {
            "holds": _share(answer.holds for answer in answered),
            "refused": _share(answer.way == "refused" for answer in own if not answer.has_paragraph),
        }
        titles = {"holds": "answers hold the marked words", "refused": "refused without the paragraph"}
        for name, title in titles.items():
            verdict = "holds" if reached[name] >= TARGETS[name] else "**does not hold**"
            yield f"| {language}: {title} | at least {TARGETS[name]} | {reached[name]:.3f} | {verdict} |"


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))


if __name__ == "__main__":
    main()
