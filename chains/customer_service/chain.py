"""One customer message in, one reply out: the order of decisions stands in `ServiceChain.reply`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import ValidationError

from chains.customer_service.grounding import find_unsupported
from chains.customer_service.quoting import Sentence, best_sentences
from chains.customer_service.schema import Citation, Route, ServiceReply, ServiceRequest
from chains.customer_service.templates import MissingSlot, TemplateBook
from chains.errors import ChainInputError
from chains.prompts import load_prompt
from llms.classification import Classification
from llms.texts import check_text

__all__ = ["ServiceOptions", "build_customer_service_chain"]

_UNKNOWN = "UNKNOWN"  # what the prompt asks for where the passages do not answer
_PASSAGE_NUMBERS = re.compile(r"\[(\d+(?:\s*[,，、]\s*\d+)*)\]")  # [1], but also [1, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """When an answer is good enough, and what is said when none is.

    Attributes:
        min_relevance: passages below it are not answered from; in [0, 1], as `HybridRetriever` reports it.
            Passages of a retriever that reports no relevance are trusted.
        intent_margin: how much more relevant a passage must be than the message resembles an intent that is not
            sure enough (probability times `in_scope`); else the message is about that intent, and a person decides.
        max_sentences: length of an answer made of quotes.
        handover_text: what the customer reads when a person takes over.
    """

    min_relevance: float = 0.35
    intent_margin: float = 0.15
    max_sentences: int = 3
    max_message_chars: int = 4_000
    handover_text: str = "I am not sure about this one, so I am passing it to a colleague, who will get back to you."

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        if not 0 <= self.min_relevance <= 1:
            msg = f"min_relevance must lie in [0, 1], got {self.min_relevance}"
            raise ValueError(msg)
        if not 0 <= self.intent_margin <= 1:
            msg = f"intent_margin must lie in [0, 1], got {self.intent_margin}"
            raise ValueError(msg)
        if self.max_sentences < 1:
            msg = f"max_sentences must be at least 1, got {self.max_sentences}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChain:
    """The parts of customer service, and the order in which they are asked."""

    classifier: Runnable[str, Classification]
    templates: TemplateBook
    retriever: BaseRetriever
    embeddings: Embeddings
    composer: Runnable[dict[str, str], str] | None
    options: ServiceOptions

    def reply(self, message: object, config: RunnableConfig) -> ServiceReply:
        """Return the reply: approved answer, else an answer from the knowledge base, else a person."""
        text = _checked_text(message, max_chars=self.options.max_message_chars)
        guess = self.classifier.invoke(text, config)
        if guess.accepted and guess.label in self.templates:
            return self._from_template(guess, text)
        passages = self._relevant_passages(guess, text, config)
        if passages:
            return self._from_passages(guess, text, passages, config)
        return self._hand_over(guess)

    def _from_template(self, guess: Classification, text: str) -> ServiceReply:
        filled = self.templates.fill(guess.label, text)
        route: Route = "clarify" if isinstance(filled, MissingSlot) else "template"
        if isinstance(filled, MissingSlot):
            answer, reason = filled.ask, f"the message does not hold {filled.name}"
        else:
            answer, reason = filled.text, f"intent {guess.label} is sure enough"
        return ServiceReply(text=answer, route=route, intent=guess.label, probability=guess.probability, reason=reason)

    def _relevant_passages(self, guess: Classification, text: str, config: RunnableConfig) -> list[Document]:
        found = self.retriever.invoke(text, config)
        relevance = [float(passage.metadata.get("relevance", 1.0)) for passage in found]
        # a sure intent without a template may be answered from any relevant passage; an unsure one competes with them
        intent = 0.0 if guess.accepted else guess.probability * guess.in_scope + self.options.intent_margin
        if max(relevance, default=0.0) < min(intent, 1.0):
            return []
        return [passage for passage, value in zip(found, relevance, strict=True) if value >= self.options.min_relevance]

    def _from_passages(
        self, guess: Classification, text: str, passages: Sequence[Document], config: RunnableConfig
    ) -> ServiceReply:
        answer = self._compose(text, passages, config) or self._quote(text, passages)
        if answer is None:
            return self._hand_over(guess)
        answer_text, citations = answer
        sources = ", ".join(dict.fromkeys(citation.source for citation in citations))
        return ServiceReply(
            text=answer_text,
            route="answer",
            probability=guess.probability,
            citations=citations,
            reason=f"no approved answer fits for sure; {sources} does",
        )

    def _compose(
        self, text: str, passages: Sequence[Document], config: RunnableConfig
    ) -> tuple[str, tuple[Citation, ...]] | None:
        """Return the chat model's answer if the passages it names exist and cover it; None sends quotes instead."""
        if self.composer is None:
            return None
        numbered = "\n\n".join(f"[{i}] {passage.page_content}" for i, passage in enumerate(passages, start=1))
        answer = self.composer.invoke({"passages": numbered, "question": text}, config).strip()
        named = {number for group in _PASSAGE_NUMBERS.findall(answer) for number in re.findall(r"\d+", group)}
        known = {str(number): passage for number, passage in enumerate(passages, start=1)}
        if not named or _UNKNOWN in answer or not named <= set(known):
            return None
        cited = [passage for number, passage in known.items() if number in named]
        if find_unsupported(answer, cited):
            return None
        return answer, tuple(_cite_body(passage) for passage in cited)

    def _quote(self, text: str, passages: Sequence[Document]) -> tuple[str, tuple[Citation, ...]] | None:
        sentences = best_sentences(text, passages, embeddings=self.embeddings, max_sentences=self.options.max_sentences)
        if not sentences:
            return None
        quotes = [sentence.text for sentence in sentences]
        joined = "".join(quote if quote.endswith(("。", "！", "？", "；")) else f"{quote} " for quote in quotes)
        return joined.strip(), tuple(sentence.citation() for sentence in sentences)

    def _hand_over(self, guess: Classification) -> ServiceReply:
        reason = (
            f"likeliest intent {guess.label} ({guess.probability:.2f}) is not sure enough, and "
            "nothing in the knowledge base is relevant enough"
        )
        return ServiceReply(
            text=self.options.handover_text, route="handover", probability=guess.probability, reason=reason
        )


def build_customer_service_chain(
    *,
    classifier: Runnable[str, Classification],
    templates: TemplateBook,
    retriever: BaseRetriever,
    embeddings: Embeddings,
    chat_model: BaseChatModel | None = None,
    options: ServiceOptions | None = None,
) -> Runnable[ServiceRequest, ServiceReply]:
    """Return the chain customer message -> reply; everything it needs is passed in.

    Args:
        classifier: what the customer wants; replies that are not `accepted` never choose a template.
        templates: the approved answers.
        retriever: finds passages of the knowledge base; see `ServiceOptions.min_relevance`.
        embeddings: chooses the sentences to quote.
        chat_model: composes answers from passages; without one they are quoted.

    Example:
        >>> from llms.fakes import FixedClassifier, HashedEmbeddings
        >>> from retrievers import FaissStore
        >>> embeddings = HashedEmbeddings()
        >>> chain = build_customer_service_chain(
        ...     classifier=FixedClassifier({"refund": "refund"}),
        ...     templates=TemplateBook(answers={"refund": "Refunds take five days."}),
        ...     retriever=FaissStore(embedding=embeddings).as_retriever(),
        ...     embeddings=embeddings,
        ... )
        >>> chain.invoke({"text": "I want a refund"}).text
        'Refunds take five days.'
        >>> chain.invoke({"text": "Do you like poems?"}).route
        'handover'
    """
    chain = ServiceChain(
        classifier=classifier,
        templates=templates,
        retriever=retriever,
        embeddings=embeddings,
        composer=None if chat_model is None else _build_composer(chat_model),
        options=options or ServiceOptions(),
    )
    return RunnableLambda(chain.reply, name="customer_service").with_types(
        input_type=ServiceRequest, output_type=ServiceReply
    )


def _build_composer(chat_model: BaseChatModel) -> Runnable[dict[str, str], str]:
    prompt = load_prompt("chains.customer_service", "answer", variables=["passages"])
    return prompt | chat_model | StrOutputParser()


def _checked_text(message: object, *, max_chars: int) -> str:
    if isinstance(message, str):
        message = {"text": message}
    try:
        request = message if isinstance(message, ServiceRequest) else ServiceRequest.model_validate(message)
    except ValidationError as error:
        problem = error.errors()[0]
        msg = f"expected a ServiceRequest or {{'text': ...}}, got {_shown(message)}: {problem['msg']}"
        raise ChainInputError(msg) from error
    if not request.text.strip():
        msg = "the message is empty; send the customer's words"
        raise ChainInputError(msg)
    return check_text(request.text, max_chars=max_chars)


def _shown(value: Any) -> str:
    return f"keys {sorted(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__


def _cite_body(passage: Document) -> Citation:
    body_start = int(passage.metadata.get("body_start", 0))
    return Sentence(passage.page_content[body_start:], passage, body_start).citation()
