"""One customer message in, one reply out: the order of decisions stands in `ServiceChain._decide`."""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, ToolException
from pydantic import ValidationError

from chains.customer_service.clarifying import chosen_intent, two_likeliest
from chains.customer_service.composing import Composer
from chains.customer_service.handover_summary import StaffWords
from chains.customer_service.known_questions import KnownMatch
from chains.customer_service.links import find_unlisted_link
from chains.customer_service.options import ServiceOptions
from chains.customer_service.quoting import SentenceVectors, best_sentences
from chains.customer_service.schema import Citation, OpenQuestion, ServiceReply, ServiceRequest
from chains.customer_service.steps import Steps
from chains.customer_service.templates import FilledTemplate, MissingSlot, TemplateBook
from chains.errors import ChainInputError
from llms import Classification
from llms.texts import check_text, visible_text

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChain:
    """The parts of customer service, and the order in which they are asked."""

    classifier: Runnable[str, Classification]
    templates: TemplateBook
    known_questions: Runnable[str, KnownMatch] | None
    retriever: BaseRetriever
    vectors: SentenceVectors
    composer: Composer | None
    lookups: Mapping[str, BaseTool]
    options: ServiceOptions

    def reply(self, message: object, config: RunnableConfig) -> ServiceReply:
        """Return the reply to a message; its steps, route and text are dispatched as custom events on the way."""
        request = _checked_request(message, max_chars=self.options.max_message_chars)
        steps = Steps(config)
        reply = self._decide(request, steps, config)
        if reply.route != "answer":  # whose route and sentences are said as they pass their check
            steps.take(reply.route)
        steps.finish(reply.text)
        slots = {**request.slots, **self.templates.find_slots(request.text), **reply.slots}
        return reply.model_copy(update={"steps": steps.times, "slots": slots})

    def _decide(self, request: ServiceRequest, steps: Steps, config: RunnableConfig) -> ServiceReply:
        """Return an approved answer, else a known one, else one from the articles, else a question, else a person."""
        with steps.measure("intent"):
            guess = self.classifier.invoke(request.text, config)
        if intent := self._intent(request, guess):
            return self._from_template(intent, request, guess, steps, config)
        if self.known_questions is not None:
            with steps.measure("curated"):
                match = self.known_questions.invoke(request.text, config)
            if match.accepted:
                return self._from_known_question(match, guess)
        with steps.measure("search"):
            passages = self._relevant_passages(guess, request.text, config)
        if passages and (reply := self._from_passages(guess, request.text, passages, steps, config)):
            return reply
        if pair := two_likeliest(guess, self.templates, self.options):
            return self._ask_which(pair, guess)
        reason = self._words.unsure.format(intent=guess.label, probability=guess.probability)
        return self._hand_over(guess, request, reason)

    def _intent(self, request: ServiceRequest, guess: Classification) -> str | None:
        """Return the intent whose template answers, or None: asked for, or sure enough by itself."""
        question = request.open_question
        if question is not None and question.slot is not None:
            # a new wish that is sure enough comes before the answer to our question
            is_new = guess.accepted and guess.label in self.templates and guess.label not in question.intents
            if not is_new and question.slot in self.templates.find_slots(request.text):
                return question.intents[0]
        elif question is not None and (chosen := chosen_intent(request.text, question, guess, self.templates)):
            return chosen
        return guess.label if guess.accepted and guess.label in self.templates else None

    # --- approved answers

    def _from_template(
        self, intent: str, request: ServiceRequest, guess: Classification, steps: Steps, config: RunnableConfig
    ) -> ServiceReply:
        def look_up(tool: str, values: Mapping[str, str]) -> str | None:
            with steps.measure("lookup"):
                return self._look_up(tool, values, config)

        filled = self.templates.fill(intent, request.text, known=request.slots, look_up=look_up)
        reply = functools.partial(ServiceReply, intent=intent, probability=guess.probability, slots=filled.slots)
        if isinstance(filled, FilledTemplate):
            return reply(text=filled.text, route="template", reason=self._words.about_intent.format(intent=intent))
        if isinstance(filled, MissingSlot):
            question = OpenQuestion(intents=(intent,), slot=filled.name)
            reason = self._words.lacks_slot.format(slot=filled.name)
            return reply(text=filled.ask, route="clarify", open_question=question, reason=reason)
        reason = self._words.lookup_knows_nothing.format(tool=filled.tool, slots=_shown_slots(filled.slots))
        if filled.say is None:
            return self._hand_over(guess, request, reason)
        return reply(text=filled.say, route="clarify", reason=reason)

    def _look_up(self, tool: str, values: Mapping[str, str], config: RunnableConfig) -> str | None:
        try:
            found = self.lookups[tool].invoke(dict(values), config)
        except ToolException as error:
            _log.warning("the lookup %s failed: %s", tool, error)
            return None
        text = visible_text(str(found or "")).strip()
        return text or None

    def _from_known_question(self, match: KnownMatch, guess: Classification) -> ServiceReply:
        return ServiceReply(
            text=match.question.answer,
            route="curated",
            probability=guess.probability,
            known_question=match.question.id,
            reason=self._words.known_question.format(id=match.question.id, relevance=match.relevance),
        )

    # --- answers from articles

    def _relevant_passages(self, guess: Classification, text: str, config: RunnableConfig) -> list[Document]:
        found = self.retriever.invoke(text, config)
        relevance = [float(passage.metadata.get("relevance", 1.0)) for passage in found]
        # A sure intent without a template may be answered from any relevant passage; an unsure one competes with
        # them. Messages about an intent are nearly all alike the training texts, so `in_scope` counts twice.
        intent = 0.0 if guess.accepted else guess.probability * guess.in_scope**2 + self.options.intent_margin
        if max(relevance, default=0.0) < min(intent, 1.0):
            return []
        return [passage for passage, value in zip(found, relevance, strict=True) if value >= self.options.min_relevance]

    def _from_passages(
        self, guess: Classification, text: str, passages: Sequence[Document], steps: Steps, config: RunnableConfig
    ) -> ServiceReply | None:
        answer, reason = self._compose(text, passages, steps, config), self._words.composed
        if answer is None:
            answer, reason = self._quote(text, passages, steps), self._words.quoted
        if answer is None:
            return None
        answer_text, citations = answer
        sources = ", ".join(dict.fromkeys(citation.source for citation in citations))
        return ServiceReply(
            text=answer_text,
            route="answer",
            probability=guess.probability,
            citations=citations,
            reason=reason.format(sources=sources),
        )

    def _compose(
        self, text: str, passages: Sequence[Document], steps: Steps, config: RunnableConfig
    ) -> tuple[str, tuple[Citation, ...]] | None:
        if self.composer is None:
            return None
        took_route = False

        def say(sentence: str) -> None:
            nonlocal took_route
            if not took_route:
                steps.take("answer")
            took_route = True
            steps.say(sentence)

        with steps.measure("compose"):
            composed = self.composer.compose(text, passages, say=say, config=config)
        return None if composed is None else (composed.text, composed.citations)

    def _quote(self, text: str, passages: Sequence[Document], steps: Steps) -> tuple[str, tuple[Citation, ...]] | None:
        with steps.measure("quote"):
            options = self.options
            found = best_sentences(text, passages, vectors=self.vectors, max_sentences=options.max_sentences)
        sentences = [sentence for sentence in found if find_unlisted_link(sentence.text, options.link_hosts) is None]
        if not sentences:
            return None
        steps.take("answer")
        quotes = [visible_text(sentence.text) for sentence in sentences]
        joined = "".join(quote if quote.endswith(("。", "！", "？", "；")) else f"{quote} " for quote in quotes)
        return joined.strip(), tuple(sentence.citation() for sentence in sentences)

    # --- questions and people

    def _ask_which(self, pair: tuple[str, str], guess: Classification) -> ServiceReply:
        first, second = (self.templates.title(intent) for intent in pair)
        return ServiceReply(
            text=self.options.clarify_text.replace("{first}", first).replace("{second}", second),
            route="clarify",
            probability=guess.probability,
            open_question=OpenQuestion(intents=pair),
            reason=self._words.two_intents.format(first=pair[0], second=pair[1]),
        )

    def _hand_over(self, guess: Classification, request: ServiceRequest, reason: str) -> ServiceReply:
        likeliest = ", ".join(f"{label} {share:.0%}" for label, share in list(guess.probabilities.items())[:2])
        slots = {**request.slots, **self.templates.find_slots(request.text)}
        words = self._words
        lines = [
            words.message.format(text=request.text),
            words.likeliest.format(intents=likeliest or guess.label),
            words.why.format(reason=reason),
        ]
        return ServiceReply(
            text=self.options.handover_text,
            route="handover",
            probability=guess.probability,
            reason=reason,
            summary="\n".join([*lines, words.known.format(slots=_shown_slots(slots))] if slots else lines),
        )

    @property
    def _words(self) -> StaffWords:
        return self.options.staff_words


def build_customer_service_chain(
    *,
    classifier: Runnable[str, Classification],
    templates: TemplateBook,
    retriever: BaseRetriever,
    embeddings: Embeddings,
    known_questions: Runnable[str, KnownMatch] | None = None,
    chat_model: BaseChatModel | None = None,
    lookups: Sequence[BaseTool] = (),
    options: ServiceOptions | None = None,
) -> Runnable[ServiceRequest, ServiceReply]:
    """Return the chain customer message -> reply; everything it needs is passed in.

    While it runs it dispatches custom events named `customer_service` (see `ServiceEvent`), which
    `astream_events` and callbacks receive: steps with their latency, the route, and each part of the answer once it
    has passed its check.

    Args:
        classifier: what the customer wants; replies that are not `accepted` never choose a template by themselves.
        templates: the approved answers.
        retriever: finds passages of the knowledge base; see `ServiceOptions.min_relevance`.
        embeddings: chooses the sentences to quote.
        known_questions: curated answers; see `KnownQuestions.as_runnable`.
        chat_model: composes answers from passages; without one they are quoted. It is given no tools.
        lookups: tools that know pieces of templates; what a tool returns is put into the answer as text, and an
            empty text or a `ToolException` means that it knows nothing.
        options: when an answer is good enough, and the assistant's own words.

    Raises:
        ChainInputError: if the templates name a tool that is not among `lookups`.

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
    options = options or ServiceOptions()
    tools = {tool.name: tool for tool in lookups}
    for name, lookup in templates.lookups.items():
        if lookup.tool not in tools:
            msg = f"the lookup {name!r} asks the tool {lookup.tool!r}, the tools are: {', '.join(tools) or 'none'}"
            raise ChainInputError(msg)
    chain = ServiceChain(
        classifier=classifier,
        templates=templates,
        known_questions=known_questions,
        retriever=retriever,
        vectors=SentenceVectors(embeddings),
        composer=None if chat_model is None else Composer(chat_model, link_hosts=options.link_hosts),
        lookups=tools,
        options=options,
    )
    return RunnableLambda(chain.reply, name="customer_service").with_types(
        input_type=ServiceRequest, output_type=ServiceReply
    )


def _checked_request(message: object, *, max_chars: int) -> ServiceRequest:
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
    check_text(request.text, max_chars=max_chars)
    for value in request.slots.values():
        check_text(value, max_chars=max_chars)
    return request


def _shown(value: Any) -> str:
    return f"keys {sorted(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__


def _shown_slots(slots: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in slots.items())
