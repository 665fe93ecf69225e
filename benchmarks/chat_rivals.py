"""Speed and memory of published chat models beside llama.cpp on the same weights, and ChatHuggingFace.

Run: python -m benchmarks.chat_rivals --models NAME=GGUF ... --llama-python PYTHON [--rows ours-int8 ours-int4 ...]
     [--results FILE] [--out docs/benchmarks/chat_rivals.md]

With --results each row is appended to that file as JSON, and rows that stand in it already are not measured again.

Each row is a process of its own. Asked are, after a first request that is not counted: one request of 32 tokens, 16 at
once, and the first token of a prompt of about 1,000 tokens. Memory is the peak of the process and what it started, from
loading a stored form on (PSS; Linux). ChatHuggingFace answers one by one; it is asked once, not sixteen times.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks.llama_cpp import llama_server
from benchmarks.machine import memory_of, processor
from benchmarks.results import append_result, read_results
from llms import LocalChatModel, resolve_model

NUM_TOKENS, NUM_AT_ONCE, CONTEXT = 32, 16, 8192
TOPICS = (
    "a lighthouse", "a market in Chengdu", "a train at night", "an old clock", "the first snow", "a lost letter",
    "a garden", "two brothers", "a river", "a bakery", "a violin", "the moon", "a harbour", "a painter", "a long walk",
    "a small shop",
)  # fmt: skip
_ROWS = {
    "llama": "llama.cpp, {gguf}",
    "ours-int8": "LocalChatModel, int8",
    "ours-int4": "LocalChatModel, int4",
    "incumbent": "ChatHuggingFace, bfloat16",
}
_TRIED = (
    "Tried are both precisions in the tables. One request at a time reads all weights for each token: with 135 million",
    "weights int4 is faster than int8 by its fewer bytes, with 1.5 billion it is level, so reading is not all a step",
    "costs there. ChatHuggingFace runs in bfloat16, which this processor multiplies in hardware; where it has to be",
    "emulated, the distance is larger. Many requests at once, the first token and memory are what a program with",
    "several users, long prompts or little room gains; llama.cpp stays ahead for one request to the larger model.",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens a second of one request and of 16, seconds to a first token, and bytes of memory."""

    one: float
    many: float | None
    first_s: float | None
    memory: int


@dataclass(frozen=True, slots=True)
class _Way:
    """How a row is asked: a prompt to the number of tokens of its answer, and to the seconds until its first token."""

    answer: Callable[[str], int]
    first: Callable[[str], float] | None


def main() -> None:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--llama-python", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=_ROWS, default=list(_ROWS))
    parser.add_argument("--results", type=Path, help="JSON lines, to which the rows are appended")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=_ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    models = dict(entry.split("=", 1) for entry in arguments.models)
    if arguments.one:
        ((name, gguf),) = models.items()
        print(json.dumps(asdict(_measure(arguments.one, name, Path(gguf), arguments.llama_python))))
        return
    lines = _head()
    for name, gguf in models.items():
        measured = _measured(arguments.results, name)
        rows = {}
        for row in arguments.rows:
            rows[row] = measured.get(row) or _run_row(row, name, gguf, arguments.llama_python)
            if row not in measured:
                append_result(arguments.results, {"model": name, "row": row, "figures": asdict(rows[row])})
        lines += ["", f"## {name}", "", *_table(rows, Path(gguf)), "", *_conclusions(rows)]
    lines += ["", "## Where a target is missed", "", *_TRIED]
    page = "\n".join(lines) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page, "utf-8")


def _measured(results: Path | None, name: str) -> dict[str, Figures]:
    entries = read_results(results)
    return {entry["row"]: Figures(**entry["figures"]) for entry in entries if entry["model"] == name}


def _run_row(row: str, name: str, gguf: str, python: Path) -> Figures:
    print(f"measuring {name}, {row}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.chat_rivals", "--one", row, "--models", f"{name}={gguf}"]
    command += ["--llama-python", str(python)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  # this module itself
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def _measure(row: str, name: str, gguf: Path, python: Path) -> Figures:
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            peak[0] = max(peak[0], memory_of(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        if row == "llama":
            with llama_server(python, gguf, context=CONTEXT, parallel=NUM_AT_ONCE) as server:
                figures = _ask(_over_http(server.address), has_many=True)
        elif row == "incumbent":
            figures = _ask(_incumbent(name), has_many=False)
        else:
            figures = _ask(_ours(name, row.removeprefix("ours-")), has_many=True)
    finally:
        done.set()
        watcher.join()
    return Figures(*figures, memory=peak[0])


def _ask(way: _Way, *, has_many: bool) -> tuple[float, float | None, float | None]:
    prompts = [f"Write a long story about {topic}." for topic in TOPICS]
    way.answer("Write a long story about a cat.")
    one = statistics.median(_rate(way, [prompt]) for prompt in (prompts[:2] if has_many else prompts[:1]))
    many = _rate(way, prompts) if has_many else None
    if way.first is None:
        return one, many, None
    return one, many, statistics.median(way.first(_long_prompt(number)) for number in range(2))


def _rate(way: _Way, prompts: Sequence[str]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        num_tokens = sum(pool.map(way.answer, prompts))
    return num_tokens / (time.perf_counter() - started)


def _long_prompt(number: int) -> str:
    """Return a prompt of about 1,000 tokens that begins as no other does."""
    facts = " ".join(f"Parcel {number}{place} went to shelf {place * 7 % 90}." for place in range(75))
    return f"List {number}: {facts} Where is parcel {number}3?"


def _ours(name: str, precision: str) -> _Way:
    # as many tokens as llama.cpp's context holds; a float32 cache takes 57 kB a token of Qwen 1.5B
    model = LocalChatModel(model=name, precision=precision, max_tokens=NUM_TOKENS, max_kv_cache_mb=480)

    def answer(prompt: str) -> int:
        usage = model.invoke(prompt).usage_metadata
        return usage["output_tokens"] if usage else 0

    def first(prompt: str) -> float:
        started = time.perf_counter()
        next(chunk for chunk in model.stream(prompt, max_tokens=2) if chunk.text)
        return time.perf_counter() - started

    return _Way(answer, first)


def _over_http(address: str) -> _Way:
    url = f"{address}/v1/chat/completions"

    def body(prompt: str, num_tokens: int) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": num_tokens}

    def answer(prompt: str) -> int:
        reply = httpx.post(url, json=body(prompt, NUM_TOKENS), timeout=900).json()
        num_tokens: int = reply["usage"]["completion_tokens"]
        return num_tokens

    def first(prompt: str) -> float:
        started = time.perf_counter()
        with httpx.stream("POST", url, json={**body(prompt, 2), "stream": True}, timeout=900) as reply:
            pieces = (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {"))
            next(piece for piece in pieces if piece["choices"][0]["delta"].get("content"))
            return time.perf_counter() - started

    return _Way(answer, first)


def _incumbent(name: str) -> _Way:
    import torch
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline

    torch.set_num_threads(2)
    folder = str(resolve_model(name))
    pipeline = HuggingFacePipeline.from_model_id(
        folder,
        task="text-generation",
        model_kwargs={"dtype": torch.bfloat16},
        pipeline_kwargs={"max_new_tokens": NUM_TOKENS, "do_sample": False, "return_full_text": False},
    )
    chat = ChatHuggingFace(llm=pipeline, model_id=folder)

    def answer(prompt: str) -> int:
        return len(pipeline.pipeline.tokenizer(chat.invoke(prompt).text)["input_ids"])

    return _Way(answer, None)


def _head() -> list[str]:
    return [
        "# Published chat models beside llama.cpp and ChatHuggingFace",
        "",
        f"`python -m benchmarks.chat_rivals`, {processor()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        f"Greedy, {NUM_TOKENS} tokens an answer. *One* is the median of two requests, *16* are asked at once,",
        "*first token* is the median of two prompts of about 1,000 tokens that begin differently. llama.cpp runs in",
        "its own server with two threads and a context of 8,192 tokens, ours in the program itself with a cache for as",
        "many.",
        "ChatHuggingFace answers one by one, so 16 take 16 times as long; it is asked once. Other work ran on the",
        "machine meanwhile: compare rows, and take no figure for the best that this processor can do.",
    ]


def _table(rows: dict[str, Figures], gguf: Path) -> Iterator[str]:
    yield "| | one, tokens/s | 16 at once, tokens/s | first token | peak memory |"
    yield "|---|---|---|---|---|"
    for row, figures in rows.items():
        many = "-" if figures.many is None else f"{figures.many:.1f}"
        first = "-" if figures.first_s is None else f"{figures.first_s:.2f} s"
        title = _ROWS[row].format(gguf=gguf.stem)
        yield f"| {title} | {figures.one:.1f} | {many} | {first} | {figures.memory / 2**20:,.0f} MiB |"


def _conclusions(rows: dict[str, Figures]) -> Iterator[str]:
    """Yield each target with the figures that were reached: int4 has the bits that are nearest to llama.cpp's file."""
    llama, incumbent = rows.get("llama"), rows.get("incumbent")
    ours = {name.removeprefix("ours-"): figures for name, figures in rows.items() if name.startswith("ours-")}
    yield f"| | target | {' | '.join(ours)} |"
    yield f"|---|---{'|---' * len(ours)}|"
    if llama is not None:
        yield _verdict("one request, times llama.cpp", 1.2, [one.one / llama.one for one in ours.values()])
        yield _verdict("16 at once, times llama.cpp", 4.0, [_ratio(one.many, llama.many) for one in ours.values()])
        first = [_ratio(one.first_s, llama.first_s) for one in ours.values()]
        yield _verdict("first token, times llama.cpp's time", 0.7, first, is_more_better=False)
        memory = [one.memory / llama.memory for one in ours.values()]
        yield _verdict("peak memory, times llama.cpp's", 1.5, memory, is_more_better=False)
    if incumbent is not None:
        yield _verdict("one request, times ChatHuggingFace", 5.0, [one.one / incumbent.one for one in ours.values()])


def _ratio(ours: float | None, other: float | None) -> float:
    return ours / other if ours and other else float("nan")


def _verdict(what: str, target: float, reached: Sequence[float], *, is_more_better: bool = True) -> str:
    sign = "at least" if is_more_better else "at most"
    cells = [
        f"{ratio:.2f}, {'holds' if (ratio >= target if is_more_better else ratio <= target) else '**does not hold**'}"
        for ratio in reached
    ]
    return f"| {what} | {sign} {target} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
