"""Answers with invented facts: how many of a lying chat model's sentences reach a customer."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import PrivateAttr
from typing_extensions import override

from benchmarks.service_questions import read_questions
from chains.customer_service import TemplateBook, build_customer_service_chain
from chains.customer_service.quoting import split_passage
from llms import Classification, LocalEmbeddings
from retrievers import FaissStore, HybridRetriever

__all__ = ["invented_facts_section", "nobody"]

NUM_QUESTIONS = 500
_MIN_WORDS = 3  # of a sentence of another passage: shorter ones are scraps like "S."
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_INVENTED = (
    "Our director Smithers confirmed this in a letter.",
    "The price is 49 dollars and it ships within 3 days.",
    "Most customers prefer the second option anyway.",
    "This was changed on 12 March 2019.",
)


class LyingChatModel(BaseChatModel):
    """A chat model that quotes its first passage and mixes in lies, each made from a true sentence or made up."""

    seed: int = 0
    _lies: list[tuple[str, str]] = PrivateAttr(default_factory=list)
    _num_true: int = PrivateAttr(default=0)

    @property
    def lies(self) -> list[tuple[str, str]]:
        """Kind and text of each lie of the last answer."""
        return self._lies

    @property
    def num_true(self) -> int:
        """True sentences in all answers."""
        return self._num_true

    @property
    @override
    def _llm_type(self) -> str:
        return "lying"

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        generator = random.Random(f"{self.seed}{messages[-1].text}")
        passages = re.split(r"\n\n\[\d+\] ", str(messages[0].text).split("[1] ", 1)[-1])
        sentences = [sentence.text for sentence in split_passage(Document(passages[0]))]
        others = [
            sentence.text
            for text in passages[1:]
            for sentence in split_passage(Document(text))
            if len(sentence.text.split()) > _MIN_WORDS
        ]
        truth = generator.sample(sentences, min(2, len(sentences)))
        self._num_true += len(truth)
        self._lies = list(_lies(truth, sentences, others, generator))
        said = [*truth, *(text for _, text in self._lies)]
        generator.shuffle(said)
        answer = " ".join(f"{text.rstrip('.')} [1]." for text in said)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(answer))])


def _lies(
    truth: Sequence[str], sentences: Sequence[str], others: Sequence[str], generator: random.Random
) -> Iterator[tuple[str, str]]:
    whole = " ".join(sentences)
    for text in truth:
        if numbers := _NUMBER.findall(text):
            number = generator.choice(numbers)
            yield "number made up", text.replace(number, str(generator.randint(2, 9999)) + "7", 1)
            if elsewhere := sorted(set(_NUMBER.findall(whole)) - set(numbers)):
                yield "number of another sentence", text.replace(number, generator.choice(elsewhere), 1)
        if names := _NAME.findall(text):
            name = generator.choice(names)
            yield "name made up", text.replace(name, "Smithers", 1)
            if elsewhere := sorted(set(_NAME.findall(whole)) - set(names)):
                yield "name of another sentence", text.replace(name, generator.choice(elsewhere), 1)
            if len(set(names)) > 1:
                first, second = list(dict.fromkeys(names))[:2]
                yield "names exchanged", text.replace(first, "\0").replace(second, first).replace("\0", second)
        if (verb := re.search(r" (is|was|were|are|has|had) ", text)) and " not " not in text:
            yield "denied", f"{text[: verb.end()]}not {text[verb.end() :]}"
    yield "made up", generator.choice(_INVENTED)
    if others:
        yield "true, but of a passage that is not cited", generator.choice(others)


def invented_facts_section(data: Path, _: Path) -> list[str]:
    """Return the table of lies by kind, over questions of XQuAD."""
    questions = read_questions(data / "xquad/xquad.en.json")
    store = FaissStore(embedding=LocalEmbeddings())
    store.add_texts(sorted({question.context for question in questions}))
    model = LyingChatModel()
    chain = build_customer_service_chain(
        classifier=nobody(),
        templates=TemplateBook(answers={}),
        retriever=HybridRetriever(store=store),
        embeddings=LocalEmbeddings(),
        chat_model=model,
    )
    told, passed, answers, num_sent = Counter[str](), Counter[str](), Counter[str](), 0
    for question in random.Random(0).sample(questions, NUM_QUESTIONS):
        reply = chain.invoke(question.text)
        answers[reply.reason.split("; ")[-1].split()[0] if reply.route == "answer" else reply.route] += 1
        if reply.route != "answer":
            continue
        kept = {re.sub(r"\s*\[\d+\]", "", part).rstrip(".") for part in re.split(r"(?<=\])\.\s", f"{reply.text} ")}
        lies = {text.rstrip("."): kind for kind, text in model.lies}
        told.update(lies.values())
        passed.update(kind for text, kind in lies.items() if text in kept)
        num_sent += len([text for text in kept if text and text not in lies])
    return [
        "## Invented facts",
        "",
        f"{NUM_QUESTIONS} questions of XQuAD to a scripted chat model that quotes two sentences of the first passage "
        "and mixes in lies, all with a citation. A lie is sent if it stands in the reply as it was told.",
        "",
        "| lie | told | sent |",
        "|---|---|---|",
        *(f"| {kind} | {count} | {passed[kind]} |" for kind, count in sorted(told.items())),
        f"| **all** | {sum(told.values())} | **{sum(passed.values())}** |",
        "",
        f"Replies: {', '.join(f'{count} {way}' for way, count in answers.most_common())}. True sentences sent: "
        f"{num_sent} of {model.num_true} that the model told.",
    ]


def nobody() -> RunnableLambda[str, Classification]:
    """Return a classifier that is never sure, so that every message goes to the knowledge base."""
    unsure = Classification(label="other", probability=0.0, probabilities={"other": 0.0}, in_scope=0.0, accepted=False)
    return RunnableLambda(lambda _: unsure, name="nobody")
