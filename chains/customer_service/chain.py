"""The customer-service chain, message -> reply; the order of its decisions stands in `ServiceChain._decide`."""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, ToolException

from chains.customer_service.clarifying import chosen_intent, two_likeliest
from chains.customer_service.composing import Composer
from chains.customer_service.handover_summary import StaffWords
from chains.customer_service.known_questions import KnownMatch
from chains.customer_service.links import find_unlisted_link
from chains.customer_service.options import ServiceOptions
from chains.customer_service.quoting import Sentence, SentenceVectors, best_sentences, quote_closeness
from chains.customer_service.routing import AnswerRouter, Evidence, RouteChoice, passages_of_first_source
from chains.customer_service.schema import Citation, OpenQuestion, ServiceReply, ServiceRequest
from chains.customer_service.steps import Steps
from chains.customer_service.templates import FilledTemplate, MissingSlot, TemplateBook
from chains.errors import ChainInputError
from chains.requests import parse_request
from chains.text_filter import TextFilter
from llms import Classification
from llms.texts import check_text, visible_text

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One message on its way to a reply."""

    request: ServiceRequest
    found_slots: Mapping[str, str]  # in this message
    steps: Steps
    config: RunnableConfig

    @property
    def text(self) -> str:
        return self.request.text

    @property
    def slots(self) -> dict[str, str]:
        return {**self.request.slots, **self.found_slots}


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
    text_filter: TextFilter | None = None
    router: AnswerRouter | None = None

    def reply(self, message: object, config: RunnableConfig) -> ServiceReply:
        """Return the reply to a message; its steps, route and text are dispatched as custom events on the way."""
        request = _checked_request(message, max_chars=self.options.max_message_chars)
        found = self.templates.find_slots(request.text)
        run = _Run(request=request, found_slots=found, steps=Steps(config), config=config)
        reply = self._decide(run) if self.text_filter is None else self._decide_filtered(self.text_filter, run)
        if reply.route != "answer":  # whose route and sentences are published as they pass their check
            run.steps.publish_route(reply.route)
        run.steps.publish_rest(reply.text)
        return reply.model_copy(update={"steps": run.steps.times, "slots": {**run.slots, **reply.slots}})

    def _decide_filtered(self, text_filter: TextFilter, run: _Run) -> ServiceReply:
        """Return the reply, or a hand-over where a rule of the operator holds the message or the reply back."""
        if finding := text_filter.find_incoming(run.text, run.config):
            return self._hold_back(run, self._words.held_message.format(finding=finding))
        reply = self._decide(run)
        # sentences from articles were checked one by one before they were published
        if reply.route != "answer" and (finding := text_filter.find_unwanted(reply.text, run.config)):
            return self._hold_back(run, self._words.held_reply.format(finding=finding))
        return reply

    def _decide(self, run: _Run) -> ServiceReply:
        """Return what was asked for, else the answer most probably right, else a question back, else a person."""
        with run.steps.measure("intent"):
            guess = self.classifier.invoke(run.text, run.config)
        if intent := self._asked_for(run, guess):
            return self._from_template(intent, guess, run)
        if self.router is None:
            reply, reason = self._answer_in_order(guess, run)
        else:
            reply, reason = self._answer_likeliest(self.router, guess, run)
        if reply is not None:
            return reply
        if pair := two_likeliest(guess, self.templates, self.options):
            return self._ask_which(pair, guess)
        return self._hand_over(guess, run, reason)

    def _asked_for(self, run: _Run, guess: Classification) -> str | None:
        """Return the intent whose slot was asked for and is there now, or that was chosen of two; else None."""
        question = run.request.open_question
        if question is None:
            return None
        if question.slot is None:
            return chosen_intent(run.text, question, guess, self.templates)
        # a new wish that is sure enough comes before the answer to our question
        is_new = guess.accepted and guess.label in self.templates and guess.label not in question.intents
        return question.intents[0] if not is_new and question.slot in run.found_slots else None

    def _answer_likeliest(
        self, router: AnswerRouter, guess: Classification, run: _Run
    ) -> tuple[ServiceReply | None, str]:
        """Return the answer that is most probably right, or None and why the router trusts none."""
        match = self._match(run)
        with run.steps.measure("search"):
            passages = self.retriever.invoke(run.text, run.config)
        with run.steps.measure("route"):
            evidence = Evidence(
                guess=guess,
                match=match,
                passages=passages,
                has_template=guess.label in self.templates,
                examples=router.examples.compare(run.text, guess.label),
                quote=quote_closeness(run.text, passages_of_first_source(passages), vectors=self.vectors),
            )
            choice = router.choose(evidence)
        is_new = match is not None and match.accepted and not router.model.has_learnt("curated")
        if match is not None and is_new and not (choice.accepted and choice.route == "template"):
            # written after the router was fitted: its own threshold decides
            return self._from_known_question(match, guess), ""
        threshold = router.budget.threshold
        reply = self._from_choice(choice, evidence, run) if choice.accepted else None
        if reply is None:
            return None, self._words.below_threshold.format(
                route=choice.route or "-", probability=choice.probability, threshold=threshold
            )
        if reply.route == "handover":
            return reply, reply.reason
        how_sure = self._words.how_sure.format(probability=choice.probability, threshold=threshold)
        return reply.model_copy(update={"reason": f"{reply.reason}{how_sure}"}), ""

    def _from_choice(self, choice: RouteChoice, evidence: Evidence, run: _Run) -> ServiceReply | None:
        if choice.route == "template":
            return self._from_template(evidence.guess.label, evidence.guess, run)
        if choice.route == "curated" and evidence.match is not None:
            return self._from_known_question(evidence.match, evidence.guess)
        return self._from_passages(evidence.answering_passages(), evidence.guess, run)

    def _answer_in_order(self, guess: Classification, run: _Run) -> tuple[ServiceReply | None, str]:
        """Return the first answer that its own threshold lets through: an approved one, a known one, an article's."""
        if guess.accepted and guess.label in self.templates:
            return self._from_template(guess.label, guess, run), ""
        match = self._match(run)
        if match is not None and match.accepted:
            return self._from_known_question(match, guess), ""
        with run.steps.measure("search"):
            passages = self._relevant_passages(guess, run)
        reply = self._from_passages(passages, guess, run) if passages else None
        return reply, self._words.unsure.format(intent=guess.label, probability=guess.probability)

    def _match(self, run: _Run) -> KnownMatch | None:
        if self.known_questions is None:
            return None
        with run.steps.measure("curated"):
            return self.known_questions.invoke(run.text, run.config)

    # --- approved answers

    def _from_template(self, intent: str, guess: Classification, run: _Run) -> ServiceReply:
        def look_up(tool: str, values: Mapping[str, str]) -> str | None:
            with run.steps.measure("lookup"):
                return self._look_up(tool, values, run.config)

        filled = self.templates.fill(intent, run.text, known=run.request.slots, look_up=look_up)
        reply = functools.partial(ServiceReply, intent=intent, probability=guess.probability, slots=filled.slots)
        if isinstance(filled, FilledTemplate):
            return reply(text=filled.text, route="template", reason=self._words.about_intent.format(intent=intent))
        if isinstance(filled, MissingSlot):
            question = OpenQuestion(intents=(intent,), slot=filled.name)
            reason = self._words.lacks_slot.format(slot=filled.name)
            return reply(text=filled.ask, route="clarify", open_question=question, reason=reason)
        # names without values: a reason stands in logs
        reason = self._words.lookup_knows_nothing.format(tool=filled.tool, slots=", ".join(filled.slots))
        if filled.say is None:
            return self._hand_over(guess, run, reason)
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

    def _relevant_passages(self, guess: Classification, run: _Run) -> list[Document]:
        found = self.retriever.invoke(run.text, run.config)
        relevance = [float(passage.metadata.get("relevance", 1.0)) for passage in found]
        # A sure intent without a template may be answered from any relevant passage; an unsure one competes with
        # them. Messages about an intent are nearly all alike the training texts, so `in_scope` counts twice.
        intent = 0.0 if guess.accepted else guess.probability * guess.in_scope**2 + self.options.intent_margin
        if max(relevance, default=0.0) < min(intent, 1.0):
            return []
        return [passage for passage, value in zip(found, relevance, strict=True) if value >= self.options.min_relevance]

    def _from_passages(self, passages: Sequence[Document], guess: Classification, run: _Run) -> ServiceReply | None:
        answer, reason = self._compose(passages, run), self._words.composed
        if answer is None:
            answer, reason = self._quote(passages, run), self._words.quoted
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

    def _compose(self, passages: Sequence[Document], run: _Run) -> tuple[str, tuple[Citation, ...]] | None:
        if self.composer is None:
            return None
        has_route = False

        def publish(sentence: str) -> None:
            nonlocal has_route
            if not has_route:
                run.steps.publish_route("answer")
            has_route = True
            run.steps.publish_text(sentence)

        with run.steps.measure("compose"):
            composed = self.composer.compose(run.text, passages, on_sentence=publish, config=run.config)
        return None if composed is None else (composed.text, composed.citations)

    def _quote(self, passages: Sequence[Document], run: _Run) -> tuple[str, tuple[Citation, ...]] | None:
        with run.steps.measure("quote"):
            options = self.options
            found = best_sentences(run.text, passages, vectors=self.vectors, max_sentences=options.max_sentences)
        sentences = [sentence for sentence in found if self._may_be_quoted(sentence, run)]
        if not sentences:
            return None
        run.steps.publish_route("answer")
        quotes = [visible_text(sentence.shown) for sentence in sentences]
        joined = "".join(quote if quote.endswith(("。", "！", "？", "；")) else f"{quote} " for quote in quotes)
        return joined.strip(), tuple(sentence.citation() for sentence in sentences)

    def _may_be_quoted(self, sentence: Sentence, run: _Run) -> bool:
        if find_unlisted_link(sentence.text, self.options.link_hosts) is not None:
            return False
        return self.text_filter is None or self.text_filter.find_unwanted(sentence.shown, run.config) is None

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

    def _hand_over(self, guess: Classification, run: _Run, reason: str) -> ServiceReply:
        likeliest = ", ".join(f"{label} {share:.0%}" for label, share in list(guess.probabilities.items())[:2])
        slots, words = run.slots, self._words
        lines = [
            words.message.format(text=run.text),
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

    def _hold_back(self, run: _Run, reason: str) -> ServiceReply:
        lines = [self._words.message.format(text=run.text), self._words.why.format(reason=reason)]
        text = self.options.handover_text
        return ServiceReply(text=text, route="handover", reason=reason, summary="\n".join(lines))

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
    text_filter: TextFilter | None = None,
    router: AnswerRouter | None = None,
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
        text_filter: hands over what it holds back, in both directions, with the reason in the reply.
        router: decides among the three kinds of answers together; see `fit_route_model`. Without one each is asked in
            turn, and the first that passes its own threshold answers.
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
        composer=None
        if chat_model is None
        else Composer(chat_model, link_hosts=options.link_hosts, text_filter=text_filter),
        lookups=tools,
        options=options,
        text_filter=text_filter,
        router=router,
    )
    return RunnableLambda(chain.reply, name="customer_service").with_types(
        input_type=ServiceRequest, output_type=ServiceReply
    )


def _checked_request(message: object, *, max_chars: int) -> ServiceRequest:
    request = parse_request({"text": message} if isinstance(message, str) else message, ServiceRequest)
    if not request.text.strip():
        msg = "the message is empty; send the customer's words"
        raise ChainInputError(msg)
    check_text(request.text, max_chars=max_chars)
    for value in request.slots.values():
        check_text(value, max_chars=max_chars)
    return request


def _shown_slots(slots: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in slots.items())
