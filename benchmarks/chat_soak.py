"""Many clients of one chat model for ten minutes: no answer lost, none mixed up, memory flat.

Run: python -m benchmarks.chat_soak [--minutes 10] [--clients 32] [--engine torch] [--out docs/benchmarks/chat_soak.md]

Each client asks one of 64 questions whose right answer is known, by a call, a stream or a batch, in a thread or in an
event loop, and leaves a third of its streams and calls half-way.
"""

import argparse
import asyncio
import os
import platform
import random
import resource
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

NUM_QUESTIONS, NUM_TOKENS = 64, 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--engine", choices=("torch", "openvino"), default="openvino")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        text = asyncio.run(_soak(arguments, Path(temporary)))
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


async def _soak(arguments: argparse.Namespace, folder: Path) -> str:
    from benchmarks.chat_models import build_chat_model, long_conversations
    from llms import LocalChatModel

    model = LocalChatModel(
        # in float32 the answer does not depend on what else is in the batch, so it can be compared
        model=str(build_chat_model(folder / "model", "30M", dtype="float32")),
        engine=arguments.engine,
        max_tokens=NUM_TOKENS,
    )
    questions = long_conversations(NUM_QUESTIONS, words=(5, 60))
    expected = {question: model.invoke(question).text for question in questions}
    counts: Counter[str] = Counter()
    memory: list[tuple[float, float]] = []
    ends_at = time.monotonic() + 60 * arguments.minutes
    clients = [
        _client(model, expected, random.Random(f"{arguments.seed}:{number}"), ends_at, counts)
        for number in range(arguments.clients - 4)
    ]
    threads = [
        threading.Thread(
            target=_thread, args=[model, expected, random.Random(f"{arguments.seed}:t{number}"), ends_at, counts]
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    await asyncio.gather(_watch_memory(memory, ends_at), *clients)
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    await asyncio.sleep(1)
    return _report(arguments, counts, memory, model._loaded.engine.num_active)


async def _client(model, expected, source, ends_at, counts) -> None:
    while time.monotonic() < ends_at:
        question = source.choice(list(expected))
        kind = source.choice(["call", "stream", "batch", "left stream", "cancelled call"])
        try:
            await _ask(model, expected, source, question, kind, counts)
        except Exception as error:  # counted: none may come
            counts[f"error {type(error).__name__}: {error}"[:120]] += 1


async def _ask(model, expected, source, question, kind, counts) -> None:
    if kind == "call":
        _check((await model.ainvoke(question)).text, expected[question], counts)
    elif kind == "batch":
        asked = [question, *source.choices(list(expected), k=2)]
        for one, message in zip(asked, await model.abatch(asked), strict=True):
            _check(message.text, expected[one], counts)
    elif kind == "stream":
        _check("".join([chunk.text async for chunk in model.astream(question)]), expected[question], counts)
    elif kind == "left stream":
        text, size = "", source.randint(1, NUM_TOKENS // 2)
        stream = model.astream(question)
        async for chunk in stream:
            text += chunk.text
            size -= 1
            if not size:
                break
        await stream.aclose()
        counts["left half-way" if expected[question].startswith(text) else "mixed up"] += 1
    else:
        task = asyncio.create_task(model.ainvoke(question))
        await asyncio.sleep(source.random() * 0.2)
        task.cancel()
        try:
            _check((await task).text, expected[question], counts)
        except asyncio.CancelledError:
            counts["cancelled"] += 1


def _thread(model, expected, source, ends_at, counts) -> None:
    while time.monotonic() < ends_at:
        question = source.choice(list(expected))
        _check(model.invoke(question).text, expected[question], counts)


def _check(answer: str, expected: str, counts: Counter[str]) -> None:
    counts["right" if answer == expected else "lost" if not answer else "mixed up"] += 1


async def _watch_memory(memory: list[tuple[float, float]], ends_at: float) -> None:
    started = time.monotonic()
    while time.monotonic() < ends_at:
        memory.append(((time.monotonic() - started) / 60, _resident_mib()))
        await asyncio.sleep(2)


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 2**20


def _report(arguments, counts, memory, num_active) -> str:
    half = [mib for minute, mib in memory if minute >= arguments.minutes / 2] or [memory[-1][1]]
    tenth = max(1, len(half) // 5)
    first, last = sum(half[:tenth]) / tenth, sum(half[-tenth:]) / tenth
    slope = (last - first) / (arguments.minutes / 2)
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in sorted(counts.items()))
    return (
        f"# Soak of a chat model, engine {arguments.engine}\n\n"
        f"`python -m benchmarks.chat_soak --minutes {arguments.minutes:g} --clients {arguments.clients} "
        f"--engine {arguments.engine} --seed {arguments.seed}`, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}; a 30M model in float32.\n\n"
        f"| outcome | answers |\n|---|---|\n{rows}\n\n"
        f"Lost: {counts['lost']}. Mixed up: {counts['mixed up']}. Requests still open at the end: {num_active}.\n"
        f"Memory: {memory[0][1]:,.0f} MiB at the start, {first:,.0f} MiB at half time, {last:,.0f} MiB at the end "
        f"({slope:+.1f} MiB a minute over the second half)."
    )


if __name__ == "__main__":
    main()
