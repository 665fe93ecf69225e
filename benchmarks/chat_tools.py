"""Tool calls of a published chat model on 100 written questions over 8 tools, beside the same weights in llama.cpp.

Run: python -m benchmarks.chat_tools --model FOLDER_OR_NAME [--precision int8] [--limit 100]
     [--gguf FILE --llama-python PYTHON] [--results FILE] [--out docs/benchmarks/chat_tools.md]

The questions are in `benchmarks/tool_questions.yaml`, half of them Chinese. A call is right if it is the only one, of
the right tool, with the right arguments. Each question is asked once, greedily, without a system message; a call is
unparsed if it stands in the text of the answer or is invalid. With --results each row is appended to that file as JSON,
and a row that stands in it already is not asked again.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.llama_cpp import llama_server
from benchmarks.machine import processor
from benchmarks.results import append_result, read_results
from llms import LocalChatModel

QUESTIONS = Path(__file__).with_name("tool_questions.yaml")
MAX_TOKENS = 128
AT_ONCE = 4  # questions in work together
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question got."""

    calls: Sequence[tuple[str, Mapping[str, Any]]]
    text: str
    num_invalid: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one way to run the model answered, and how many seconds it took for all questions."""

    answers: Sequence[Answer]
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the one call that answers it; an argument that is a list may be any of it."""

    text: str
    tool: str
    arguments: Mapping[str, Any]

    @property
    def language(self) -> str:
        """Which language it is asked in."""
        return "Chinese" if _HAN.search(self.text) else "English"


def main() -> None:
    """Ask, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--llama-python", type=Path)
    parser.add_argument("--results", type=Path, help="JSON lines, to which the rows are appended")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    content = yaml.safe_load(QUESTIONS.read_text("utf-8"))
    tools = [{"type": "function", "function": tool} for tool in content["tools"]]
    questions = [Question(*entry) for entry in content["questions"]]
    step = len(questions) / min(arguments.limit, len(questions))
    questions = [questions[int(place * step)] for place in range(min(arguments.limit, len(questions)))]
    rows = _read(arguments.results, len(questions))
    ours = f"LocalChatModel, {arguments.precision}"
    if ours not in rows:
        with _ours(arguments.model, arguments.precision, tools) as ask:
            rows[ours] = _ask_all("ours", ask, questions)
        _append(arguments.results, ours, rows[ours])
    if arguments.gguf and (theirs := f"llama.cpp's server, {arguments.gguf.stem}") not in rows:
        with llama_server(arguments.llama_python, arguments.gguf, context=8192, parallel=AT_ONCE) as server:
            rows[theirs] = _ask_all("llama.cpp", _asked_over_http(server.address, tools), questions)
        _append(arguments.results, theirs, rows[theirs])
    page = _page(arguments, questions, rows)
    print(page)
    if arguments.out:
        arguments.out.write_text(page, "utf-8")


def _read(results: Path | None, num_questions: int) -> dict[str, Row]:
    found = {}
    for entry in read_results(results):
        answers = [Answer([(name, given) for name, given in calls], *rest) for calls, *rest in entry["answers"]]
        if len(answers) == num_questions:
            found[entry["row"]] = Row(answers, entry["seconds"])
    return found


def _append(results: Path | None, name: str, row: Row) -> None:
    answers = [(answer.calls, answer.text, answer.num_invalid) for answer in row.answers]
    append_result(results, {"row": name, "seconds": row.seconds, "answers": answers})


class _ours:  # noqa: N801  # a context manager that is read like a function
    def __init__(self, model: str, precision: str, tools: Sequence[Mapping[str, Any]]) -> None:
        self._model = LocalChatModel(model=model, precision=precision, max_tokens=MAX_TOKENS)
        self._bound = self._model.bind_tools(tools)

    def __enter__(self) -> Callable[[str], Answer]:
        return self._ask

    def __exit__(self, *_: object) -> None:
        self._model._loaded.engine.close()

    def _ask(self, text: str) -> Answer:
        message = self._bound.invoke(text)
        calls = [(call["name"], call["args"]) for call in message.tool_calls]
        return Answer(calls, str(message.text), len(message.invalid_tool_calls))


def _asked_over_http(address: str, tools: Sequence[Mapping[str, Any]]) -> Callable[[str], Answer]:
    def ask(text: str) -> Answer:
        body = {
            "messages": [{"role": "user", "content": text}],
            "tools": tools,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        message = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=600).json()["choices"][0]["message"]
        calls, num_invalid = [], 0
        for call in message.get("tool_calls") or ():
            try:
                calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
            except ValueError:
                num_invalid += 1
        return Answer(calls, message.get("content") or "", num_invalid)

    return ask


def _ask_all(name: str, ask: Callable[[str], Answer], questions: Sequence[Question]) -> Row:
    ask("Hello")  # what is prepared once, such as the tools' part of the prompt, is no question's

    def asked(question: Question) -> Answer:
        answer = ask(question.text)
        if not _is_right(question, answer):
            print(f"{name} {question.text} -> {answer}", file=sys.stderr, flush=True)
        return answer

    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(asked, questions))
    return Row(answers, time.perf_counter() - started)


def _is_right(question: Question, answer: Answer) -> bool:
    if len(answer.calls) != 1 or answer.calls[0][0] != question.tool:
        return False
    given = answer.calls[0][1]
    return given.keys() == question.arguments.keys() and all(
        any(_is_same(given[name], right) for right in (wanted if isinstance(wanted, list) else [wanted]))
        for name, wanted in question.arguments.items()
    )


def _is_same(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return str(given).strip().casefold() == wanted.casefold()
    return isinstance(given, int | float) and given == wanted


def _is_unparsed(answer: Answer, names: Sequence[str]) -> bool:
    in_text = not answer.calls and any(f'"{name}"' in answer.text or f"{name}(" in answer.text for name in names)
    return bool(answer.num_invalid) or in_text


def _with_written_call(answer: Answer) -> Answer:
    """Return an answer without calls as if the first JSON object in its text were one."""
    start = answer.text.find("{")
    if answer.calls or start < 0:
        return answer
    try:
        call, _ = json.JSONDecoder().raw_decode(answer.text[start:])
        return Answer([(call["name"], call["arguments"])], "", 0)
    except (ValueError, KeyError, TypeError):
        return answer


def _page(arguments: argparse.Namespace, questions: Sequence[Question], rows: Mapping[str, Row]) -> str:
    return (
        "\n".join([*_head(arguments, len(questions)), *_table(questions, rows), "", *_mistakes(questions, rows)]) + "\n"
    )


def _head(arguments: argparse.Namespace, num_questions: int) -> Iterator[str]:
    yield "# Tool calls of a published model"
    yield ""
    yield f"`python -m benchmarks.chat_tools`, {Path(arguments.model).name}, {num_questions} questions,"
    yield f"{processor()}, 2 threads, {datetime.now(UTC):%Y-%m-%d}."
    yield "Other work ran on the machine; seconds are for comparison only."
    yield ""
    yield "Written questions over 8 tools (`benchmarks/tool_questions.yaml`), half English and half Chinese, one call"
    yield f"each, greedy, no system message, {AT_ONCE} at once. *Right* is the right tool with the right arguments and"
    yield "nothing else; *unparsed* are calls that stand in the text of an answer, or are invalid; *right, if read*"
    yield "counts the first JSON object in such a text as a call, as a program that looks for one by itself would."
    yield ""


def _table(questions: Sequence[Question], rows: Mapping[str, Row]) -> Iterator[str]:
    names = sorted({question.tool for question in questions})
    yield "| | right | English | Chinese | right tool | no call | unparsed | right, if read | seconds a question |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for title, row in rows.items():
        pairs = list(zip(questions, row.answers, strict=True))

        def share(language: str, pairs: Sequence[tuple[Question, Answer]] = pairs) -> str:
            asked = [pair for pair in pairs if language in ("", pair[0].language)]
            return f"{sum(_is_right(*pair) for pair in asked)} of {len(asked)}"

        right_tool = sum(any(name == question.tool for name, _ in answer.calls) for question, answer in pairs)
        no_call = sum(not answer.calls for answer in row.answers)
        unparsed = sum(_is_unparsed(answer, names) for answer in row.answers)
        written = sum(_is_right(question, _with_written_call(answer)) for question, answer in pairs)
        yield (
            f"| {title} | {share('')} | {share('English')} | {share('Chinese')} | {right_tool} | {no_call} "
            f"| {unparsed} | {written} | {row.seconds / len(questions):.1f} |"
        )


def _mistakes(questions: Sequence[Question], rows: Mapping[str, Row]) -> Iterator[str]:
    for title, row in rows.items():
        wrong = [pair for pair in zip(questions, row.answers, strict=True) if not _is_right(*pair)]
        if wrong:
            yield f"The first mistakes of {title}:"
            yield ""
            for question, answer in wrong[:5]:
                shown = json.dumps(answer.calls[0], ensure_ascii=False) if answer.calls else answer.text
                yield f"- {question.text} -> `{' '.join(shown.split())[:120]}`"
            yield ""


if __name__ == "__main__":
    main()
