"""Tokens per second of `LocalChatModel` beside what people use today, same weights, one run.

Run: python -m benchmarks.chat_throughput [--sizes 30M 150M] [--rounds 3] [--out docs/benchmarks/chat_throughput.md]

Each row runs in a process of its own, so that its memory is its own; the best of the rounds counts, for every row.
"""

import argparse
import asyncio
import json
import os
import platform
import queue
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chat_models import SIZES, build_chat_model, long_conversations
from benchmarks.machine import processor, timed

NUM_PROMPTS, NUM_TOKENS = 16, 64
MAX_KV_CACHE_MB = 256  # what the rows of ours may use; earlier prompts stay in it, so it is always filled
# row -> what it is; those before "ours" are baselines
ROWS = {
    "incumbent": "ChatHuggingFace(HuggingFacePipeline).batch",
    "padded": "transformers, padded static batch",
    "genai": "OpenVINO GenAI called directly",
    "genai tuned": "OpenVINO GenAI called directly, prompts in steps of 1,024 tokens",
    "ours": "LocalChatModel.batch",
    "ours async": "LocalChatModel, 16 concurrent ainvoke",
    "ours torch": 'LocalChatModel.batch, engine="torch"',
    "genai int8": "OpenVINO GenAI called directly, int8 weights",
    "ours int8": "LocalChatModel.batch, int8 weights",
}
_SHORT_NAMES = {"incumbent": "incumbent", "padded": "padded", "genai": "GenAI", "genai tuned": "GenAI, larger steps"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("ROW", "FOLDER", "ROUNDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        row, folder, rounds = arguments.one
        print(json.dumps(_measure_row(row, Path(folder), int(rounds))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        text = _report(arguments, Path(temporary))
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _report(arguments: argparse.Namespace, temporary: Path) -> str:
    lines = [
        "# Speed of chat models on a CPU",
        "",
        f"`python -m benchmarks.chat_throughput --rounds {arguments.rounds}`, {os.cpu_count()} cores, "
        f"{processor()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, seed 0.",
        "",
        f"{NUM_PROMPTS} prompts of 40 to 300 tokens, {NUM_TOKENS} new tokens each, greedy, bfloat16; Qwen3-shaped "
        "models with random weights. Each row is a process of its own; best of the rounds. Memory is the peak of "
        f"the whole process; ours has a ceiling of {MAX_KV_CACHE_MB} MiB for keys and values.",
    ]
    for size in arguments.sizes:
        folder = build_chat_model(temporary / size, size)
        figures = {row: _run_row(row, folder, arguments.rounds) for row in arguments.rows}
        lines += ["", *_throughput_table(size, figures)]
        others = _run_row("latency", folder, arguments.rounds) | _run_row("overhead", folder, arguments.rounds)
        lines += ["", *_latency_table(size, others)]
    return "\n".join(lines)


def _throughput_table(size: str, figures: dict[str, dict[str, float]]) -> list[str]:
    bases = [row for row in ("incumbent", "padded", "genai", "genai tuned") if row in figures]
    head = "".join(f" | x {_SHORT_NAMES[row]}" for row in bases)
    lines = [
        f"## {size}",
        "",
        f"| way | tokens/s | peak memory MiB{head} |",
        "|---|---|---" + "|---" * len(bases) + "|",
    ]
    for row, figure in figures.items():
        ratios = "".join(f" | {figure['tokens_per_s'] / figures[base]['tokens_per_s']:.2f}" for base in bases)
        lines.append(f"| {ROWS[row]} | {figure['tokens_per_s']:,.0f} | {figure['peak_mib']:,.0f}{ratios} |")
    return lines


def _latency_table(size: str, figures: dict[str, float]) -> list[str]:
    return [
        f"### {size}, what else",
        "",
        "| what | figure |",
        "|---|---|",
        f"| `LocalChatModel.batch` beside the engine alone, prompts tokenised: time more | {figures['overhead']:.1%} |",
        f"| decode steps until the first token of a request that joins 15 running ones | {figures['join_steps']:.0f} |",
        f"| first token after a system prompt of 1,000 tokens | {figures['cold_first_token_ms']:.0f} ms |",
        f"| the same, second request with the same system prompt | {figures['warm_first_token_ms']:.0f} ms "
        f"({figures['warm_first_token_ms'] / figures['cold_first_token_ms']:.2f} of the first) |",
        f"| prompt lookup, answer that repeats its context, float32 | {figures['lookup_tokens_per_s']:.0f} tokens/s, "
        f"x {figures['lookup_tokens_per_s'] / figures['no_lookup_tokens_per_s']:.2f} of without, "
        f"same tokens: {'yes' if figures['lookup_same'] else 'no'} |",
    ]


def _run_row(row: str, folder: Path, rounds: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.chat_throughput",
        "--one",
        row,
        str(folder),
        str(rounds),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # this very script
    if result.returncode:
        msg = f"{row} failed:\n{result.stderr[-3000:]}"
        raise SystemExit(msg)
    return json.loads(result.stdout.strip().splitlines()[-1])


def _measure_row(row: str, folder: Path, rounds: int) -> dict[str, float]:
    if row == "latency":
        return _measure_latency(folder, rounds)
    if row == "overhead":
        return _measure_overhead(folder, rounds)
    run = _RUNNERS[row](folder)
    run()  # loads, compiles, warms up
    seconds = min(timed(run) for _ in range(rounds))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens_per_s": NUM_PROMPTS * NUM_TOKENS / seconds, "peak_mib": peak_mib}


def _incumbent(folder: Path) -> Callable[[], object]:
    import torch
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    options = {"max_new_tokens": NUM_TOKENS, "do_sample": False, "return_full_text": False}
    generate = pipeline("text-generation", model=model, tokenizer=tokenizer, **options)
    chat = ChatHuggingFace(llm=HuggingFacePipeline(pipeline=generate), tokenizer=tokenizer)
    return lambda: _not_empty([message.text for message in chat.batch(_prompts())])


def _padded(folder: Path) -> Callable[[], object]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")

    def run() -> object:
        texts = [
            tokenizer.apply_chat_template(_turn(prompt), add_generation_prompt=True, tokenize=False)
            for prompt in _prompts()
        ]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            answers = model.generate(**inputs, max_new_tokens=NUM_TOKENS, do_sample=False)
        return tokenizer.batch_decode(answers[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return run


def _genai(folder: Path, dtype: str = "bfloat16", *, step_tokens: int | None = None) -> Callable[[], object]:
    import numpy as np
    import openvino as ov
    import openvino_genai as genai
    from transformers import AutoTokenizer

    from llms.engines.openvino_backend.export import export_openvino

    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 1
    if step_tokens:
        scheduler.max_num_batched_tokens = step_tokens
    exported = export_openvino(folder, precision=dtype)
    hints = {"INFERENCE_PRECISION_HINT": "bf16"}
    pipe = genai.ContinuousBatchingPipeline(str(exported), scheduler, "CPU", hints)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = genai.GenerationConfig()
    config.max_new_tokens, config.do_sample, config.ignore_eos = NUM_TOKENS, False, True

    def run() -> object:
        prompts = [
            tokenizer.apply_chat_template(_turn(prompt), add_generation_prompt=True, return_dict=True)["input_ids"]
            for prompt in _prompts()
        ]
        tensors = [ov.Tensor(np.array([ids], dtype=np.int64)) for ids in prompts]
        answers = pipe.generate(tensors, [config] * len(tensors))
        return [tokenizer.decode(answer.m_generation_ids[0], skip_special_tokens=True) for answer in answers]

    return run


def _ours(folder: Path, **options: object) -> Callable[[], object]:
    chat = _local(folder, **options)
    return lambda: [message.text for message in chat.batch(_prompts())]


def _ours_async(folder: Path) -> Callable[[], object]:
    chat = _local(folder)

    async def ask() -> list[str]:
        return [message.text for message in await asyncio.gather(*(chat.ainvoke(prompt) for prompt in _prompts()))]

    return lambda: asyncio.run(ask())


def _measure_overhead(folder: Path, rounds: int) -> dict[str, float]:
    """Return how much longer a batch takes than its requests in the engine: the median of pairs run in turn."""
    from langchain_core.messages import HumanMessage

    from llms.engines.calls import run_requests

    chat = _local(folder)
    chat.batch(_prompts())
    ratios = []
    for _ in range(3 * rounds):
        requests = [chat._prepare([HumanMessage(prompt)], None, {})[0].request for prompt in _prompts()]
        alone = timed(lambda made=requests: run_requests(chat._loaded.engine, made))
        prompts = _prompts()
        ratios.append(timed(lambda made=prompts: chat.batch(made)) / alone)
    return {"overhead": statistics.median(ratios) - 1}


def _local(folder: Path, **options: object):
    from llms import LocalChatModel

    chat = LocalChatModel(model=str(folder), max_tokens=NUM_TOKENS, max_kv_cache_mb=MAX_KV_CACHE_MB, **options)
    print(chat._loaded.engine.name, chat.engine_reason, file=sys.stderr)
    return chat


_RUNNERS = {
    "incumbent": _incumbent,
    "padded": _padded,
    "genai": _genai,
    "genai tuned": lambda folder: _genai(folder, step_tokens=1024),
    "genai int8": lambda folder: _genai(folder, "int8"),
    "ours": _ours,
    "ours async": _ours_async,
    "ours torch": lambda folder: _ours(folder, engine="torch"),
    "ours int8": lambda folder: _ours(folder, precision="int8"),
}


def _measure_latency(folder: Path, rounds: int) -> dict[str, float]:
    from langchain_core.messages import HumanMessage, SystemMessage

    chat = _local(folder)
    chat.invoke("warm up")
    figures = {"join_steps": max(_join_steps(chat) for _ in range(rounds))}
    cold, warm = [], []
    for _ in range(rounds):
        system = SystemMessage(next(_LONG_TEXTS))
        for times in (cold, warm):
            started = time.perf_counter()
            stream = chat.stream([system, HumanMessage(next(_QUESTIONS))])
            next(stream)
            times.append(1000 * (time.perf_counter() - started))
            stream.close()
    figures |= {"cold_first_token_ms": min(cold), "warm_first_token_ms": min(warm)}
    return figures | _lookup_figures(folder, rounds)


def _join_steps(chat: object) -> int:
    """Return how many decode steps the engine takes between a new request and its first token."""
    from langchain_core.messages import HumanMessage

    streams = [chat.stream(prompt, max_tokens=NUM_TOKENS * 4) for prompt in _prompts()[:15]]
    for stream in streams:
        next(stream)
    engine = chat._loaded.engine
    steps, step = [], engine.step
    first_at = queue.SimpleQueue()
    (call,) = chat._prepare([HumanMessage(next(_QUESTIONS))], None, {}, wants_pieces=True)
    engine.step = lambda jobs: steps.append(1) or step(jobs)
    try:
        late = engine.submit(call.request, lambda event: first_at.put(len(steps)) if event.ids else None)
        num_steps = first_at.get(timeout=60)
    finally:
        del engine.step
    late.cancel()
    for stream in streams:
        stream.close()
    return num_steps


def _lookup_figures(folder: Path, rounds: int) -> dict[str, float]:
    """Return the speed of one answer that repeats itself, as random models' greedy answers do, with and without.

    In float32: bfloat16 rounds a pass over several tokens in another way than one over one, with any engine, and
    may turn a close choice.
    """
    figures: dict[str, float] = {}
    answers = {}
    for name, lookup in (("lookup", True), ("no_lookup", False)):
        chat = _local(folder, prompt_lookup=lookup, precision="float32")
        question = "quote: " + "the quick brown fox jumps over the lazy dog " * 12
        chat.invoke("warm up")
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            message = chat.invoke(question, max_tokens=256)
            seconds.append(time.perf_counter() - started)
            answers[name] = message.text
        figures[f"{name}_tokens_per_s"] = 256 / min(seconds)
    return {**figures, "lookup_same": float(answers["lookup"] == answers["no_lookup"])}


def _numbered(texts: Callable[[int], list[str]]):
    number = 0
    while True:
        number += 1
        yield from texts(number)


_PROMPT_LISTS = _numbered(lambda number: [long_conversations(NUM_PROMPTS, seed=number)])
_LONG_TEXTS = _numbered(lambda number: long_conversations(1, seed=1000 + number, words=(920, 920)))
_QUESTIONS = _numbered(lambda number: long_conversations(1, seed=2000 + number, words=(10, 10)))


def _prompts() -> list[str]:
    """Return new prompts at each call, so that no cache of earlier prompts helps any row."""
    return next(_PROMPT_LISTS)


def _turn(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _not_empty(texts: list[str]) -> list[str]:
    if not all(texts):
        msg = "an answer is empty, so the speed means nothing"
        raise SystemExit(msg)
    return texts


if __name__ == "__main__":
    main()
