"""Answers of a chat model from passages, each sentence checked when it ends and only then published."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableConfig

from chains.customer_service.grounding import Grounding, is_short, repeats_heading
from chains.customer_service.links import find_unlisted_link
from chains.customer_service.quoting import Sentence, split_passage
from chains.customer_service.schema import Citation
from chains.prompts import load_prompt
from chains.text_filter import TextFilter
from llms.texts import visible_text

_UNKNOWN = "UNKNOWN"  # what the prompt asks for where the passages do not answer
_PASSAGE_NUMBER = re.compile(r"\[(\d+)\]")
_NAMED = re.compile(r"\[(\d+(?:\s*[,，、]\s*\d+)*)\]")  # [1], but also [1, 3]
_LEADING_MARKS = re.compile(r"(?:\s*\[[\d\s,，、]+\]\.?)+")

_OPEN_MARK = re.compile(r"\s*\[[^\]]*$")


@dataclass(frozen=True, slots=True)
class Composed:
    """The sentences of an answer that passed, where they stand, and how many did not."""

    text: str
    citations: tuple[Citation, ...]
    num_cut: int


class Composer:
    """A chat model that answers from numbered passages.

    A sentence of its answer is kept if it names passages that exist, says only what they say (see `Grounding`), says
    more than a heading, and holds no link to an unlisted host; the others are cut.

    Args:
        chat_model: any LangChain chat model; it is given no tools.
        link_hosts: hosts whose links may be sent, and those below them.
        text_filter: cuts sentences that it holds back.
    """

    def __init__(
        self, chat_model: BaseChatModel, *, link_hosts: Collection[str] = (), text_filter: TextFilter | None = None
    ) -> None:
        prompt = load_prompt("chains.customer_service", "answer", variables=["passages"])
        self._model: Runnable[dict[str, str], str] = prompt | chat_model | StrOutputParser()
        self._link_hosts = link_hosts
        self._text_filter = text_filter

    def compose(
        self, question: str, passages: Sequence[Document], *, on_sentence: Callable[[str], None], config: RunnableConfig
    ) -> Composed | None:
        """Return the checked answer, or None where no sentence with something to say passes.

        Args:
            question: of the customer.
            passages: what may be said; their text is quotation to the model.
            on_sentence: is called with each sentence as soon as it has passed; together these are the answer's text.
            config: of the run.
        """
        numbered = "\n\n".join(f"[{i}] {_as_quotation(passage)}" for i, passage in enumerate(passages, start=1))
        kept: list[str] = []
        supports: list[Sentence] = []
        num_cut = 0
        for gap, sentence in _sentences(self._model.stream({"passages": numbered, "question": question}, config)):
            found = self._supports(sentence, passages)
            if not found or (not kept and is_short(sentence)) or self._is_held(sentence, question, found, config):
                num_cut += 1
                continue
            text = (gap if kept else "") + visible_text(sentence)
            kept.append(text)
            supports += [support for support in found if support not in supports]
            on_sentence(text)
        if not kept:
            return None
        return Composed("".join(kept), tuple(support.citation() for support in supports), num_cut)

    def _is_held(self, sentence: str, question: str, supports: Sequence[Sentence], config: RunnableConfig) -> bool:
        if self._text_filter is None:
            return False
        known = "\n".join([question, *(support.text for support in supports)])
        return self._text_filter.find_outgoing(sentence, known=known, config=config) is not None

    def _supports(self, sentence: str, passages: Sequence[Document]) -> tuple[Sentence, ...]:
        named = {number for group in _NAMED.findall(sentence) for number in re.findall(r"\d+", group)}
        known = {str(number): passage for number, passage in enumerate(passages, start=1)}
        if not named or _UNKNOWN in sentence or not named <= set(known):
            return ()
        if find_unlisted_link(sentence, self._link_hosts) is not None:
            return ()
        cited = [passage for number, passage in known.items() if number in named]
        if repeats_heading(sentence, cited):
            return ()
        return Grounding(cited).supports(visible_text(sentence))


def _sentences(pieces: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield (gap before it, sentence) of a text that comes in pieces, each as soon as the next one has begun."""
    text, num_said = "", 0
    for piece in pieces:
        text += piece
        complete = _split(_OPEN_MARK.sub("", text))[:-1]
        yield from complete[num_said:]
        num_said = max(num_said, len(complete))
    yield from _split(text)[num_said:]


def _split(text: str) -> list[tuple[str, str]]:
    """Return (gap, sentence) pairs; passage numbers behind a full stop belong to the sentence before it."""
    found: list[tuple[str, str]] = []
    end = 0
    for sentence in split_passage(Document(text)):
        marks = _LEADING_MARKS.match(sentence.text)
        start, stop = sentence.offset, sentence.offset + len(sentence.text)
        if marks and found:
            gap, before = found[-1]
            found[-1] = (gap, before + text[end : start + marks.end()])
            start += marks.end() + len(sentence.text[marks.end() :]) - len(sentence.text[marks.end() :].lstrip())
            end = sentence.offset + marks.end()
        if start < stop:
            found.append(("\n" if "\n" in text[end:start] else text[end:start] and " ", text[start:stop]))
            end = stop
    return found


def _as_quotation(passage: Document) -> str:
    """Return the passage as the model reads it: nothing invisible, and no number that looks like ours."""
    return _PASSAGE_NUMBER.sub(r"(\1)", visible_text(passage.page_content))
