"""Held-out messages for the answer router: intents, known questions and articles, each also without its answer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.runnables import Runnable

from chains.customer_service.intent_examples import IntentExamples
from chains.customer_service.known_questions import KnownMatch, KnownQuestions
from chains.customer_service.made_questions import make_questions
from chains.customer_service.quoting import SentenceVectors, quote_closeness
from chains.customer_service.router_fitting import JudgedMessage
from chains.customer_service.routing import Evidence, passages_of_first_source
from chains.customer_service.templates import TemplateBook
from llms import Classification
from retrievers import HybridRetriever

_MADE_SHARE = 0.5  # questions about articles, for each message about an intent
_LEAST_MADE, _MOST_MADE = 100, 400
_UNANSWERED_SHARE = 0.25  # of them, asked once more without their article: what nothing answers is rarer


@dataclass(frozen=True, slots=True)
class HeldOutIntent:
    """A training row of the intent model, and what the model said of it before it learnt it."""

    text: str
    intent: str
    guess: Classification


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSources:
    """What answers a message: the parts of a customer-service chain that the router decides among."""

    classifier: Runnable[str, Classification]
    templates: TemplateBook
    known_questions: KnownQuestions | None
    retriever: HybridRetriever
    examples: IntentExamples
    vectors: SentenceVectors

    def judge(
        self,
        texts: Sequence[str],
        *,
        guesses: Sequence[Classification] | None = None,
        matches: Sequence[KnownMatch] | None = None,
        without_source: str | None = None,
    ) -> list[Evidence]:
        """Return what the parts say of messages.

        Args:
            guesses: what the classifier says of them, where it is not to be asked.
            matches: the most similar known questions, where these are not to be asked; empty for none.
            without_source: an article that is not to be found.
        """
        if not texts:
            return []
        if guesses is None:
            guesses = self.classifier.batch(list(texts))
        if matches is None:
            matches = self.known_questions.batch_match(texts) if self.known_questions else []
        condition = None if without_source is None else {"source": {"$ne": without_source}}
        found = self.retriever.batch(list(texts), filter=condition)
        known: Sequence[KnownMatch | None] = matches or [None] * len(texts)
        return [
            Evidence(
                guess=guess,
                match=match,
                passages=passages,
                has_template=guess.label in self.templates,
                examples=self.examples.compare(text, guess.label, without_itself=True),
                quote=quote_closeness(text, passages_of_first_source(passages), vectors=self.vectors),
            )
            for text, guess, match, passages in zip(texts, guesses, known, found, strict=True)
        ]


def collect_messages(
    sources: ServiceSources, intents: Sequence[HeldOutIntent], passages: Sequence[Document], *, seed: int = 0
) -> list[JudgedMessage]:
    """Return held-out messages of every kind, each with the route whose answer is right.

    Wordings of known questions are asked without themselves in the book, and once more without their question.
    Questions are made of the articles, and asked once more without their article: what nothing answers is then close
    to what the workspace knows, which is the hard case. Messages whose intent has no approved answer are left out,
    since nothing tells what answers them.

    Args:
        sources: the parts that answer.
        intents: held-out messages about intents.
        passages: of all articles, with the metadata `source`.
        seed: draws what questions are made of.
    """
    asked = [row for row in intents if row.intent in sources.templates]
    evidence = sources.judge([row.text for row in asked], guesses=[row.guess for row in asked])
    messages = [
        JudgedMessage(
            evidence=found,
            right="template" if row.guess.label == row.intent else "none",
            kind="intent",
            group=f"intent {row.text}",
        )
        for row, found in zip(asked, evidence, strict=True)
    ]
    if sources.known_questions is not None:
        messages += _of_known_questions(sources, sources.known_questions)
    count = min(max(round(_MADE_SHARE * len(asked)), _LEAST_MADE), _MOST_MADE)
    made = make_questions(passages, [row.text for row in intents], count=count, seed=seed)
    by_source: dict[str, list[str]] = {}
    for question in made:
        by_source.setdefault(question.source, []).append(question.text)
    return [*messages, *_of_articles(sources, by_source)]


def _of_known_questions(sources: ServiceSources, book: KnownQuestions) -> Iterator[JudgedMessage]:
    for question in book.questions.values():
        group = f"known question {question.id}"
        for wording, match in zip(question.wordings, book.match_wordings(question.id), strict=True):
            (found,) = sources.judge([wording], matches=[match])
            is_right = match.question.id == question.id
            yield JudgedMessage(evidence=found, right="curated" if is_right else "none", kind="known", group=group)
        texts = [question.question, *question.wordings]
        for found in sources.judge(texts, matches=book.match_without(texts, question.id)):
            yield JudgedMessage(evidence=found, right="none", kind="nothing", group=group)


def _of_articles(sources: ServiceSources, by_source: Mapping[str, Sequence[str]]) -> Iterator[JudgedMessage]:
    everything = sources.judge([text for texts in by_source.values() for text in texts])
    answered = iter(everything)
    for source, texts in by_source.items():
        group = f"article {source}"
        for _ in texts:
            found = next(answered)
            is_right = found.source == source
            yield JudgedMessage(evidence=found, right="answer" if is_right else "none", kind="article", group=group)
        for found in sources.judge(texts[: math.ceil(_UNANSWERED_SHARE * len(texts))], without_source=source):
            yield JudgedMessage(evidence=found, right="none", kind="nothing", group=group)
