"""The served application under attack and overload: what it loses, refuses, shows and takes, each beside its target.

Run: python -m benchmarks.server_figures [--parts soak,overload] [--short] [--out docs/benchmarks/server_figures.md]

Parts: soak, overload, fuzz, sigterm, sockets, kills, documents, tenants. In full they take about two hours, with
--short three minutes on an idle machine. With --results each part is appended to that file, and the page shows the
latest of each, so that they can be run one by one.
"""

import argparse
import functools
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.chat_models import SIZES, build_chat_model
from benchmarks.machine import processor
from benchmarks.results import append_result, read_results
from tests import tiny_models
from tests.serving.documents import run_documents
from tests.serving.figures import Figure, Part
from tests.serving.fuzz import run_fuzz
from tests.serving.model_kills import run_model_kills
from tests.serving.overload import run_overload
from tests.serving.served import build_shop
from tests.serving.sigterm import run_sigterms
from tests.serving.soak import run_soak
from tests.serving.sockets import run_slow_sockets
from tests.serving.tenants import build_tenants, run_tenants

_PROMPT_TOKENS = 8_000
_CACHE_MB = 64  # of prompts, in the soak
_LONG_S = 1_800  # longer than any model takes to read them


@dataclass(frozen=True, slots=True)
class _Run:
    """Where a run puts its workspaces, and how much it does.

    Args:
        folder: empty at the beginning.
        is_short: whether each part does little.
        seed: of everything random.
        minutes: of the soak.
        shape: of the chat model that reads long prompts.
    """

    folder: Path
    is_short: bool
    seed: int
    minutes: float
    shape: str

    def much(self, full: int, short: int) -> int:
        """Return how much of something is done."""
        return short if self.is_short else full

    def shop(self, name: str, *, cache_mb: int = 1024) -> Path:
        """Return a new small workspace with tiny models of random weights."""
        return build_shop(self.folder / name, self.chat(), self.encoder(), cache_mb=cache_mb)

    def chat(self) -> Path:
        """Return the folder of the tiny chat model."""
        return _made(self.folder / "tiny-chat", functools.partial(tiny_models.build_chat_model, context_tokens=2048))

    def encoder(self) -> Path:
        """Return the folder of the tiny sentence encoder."""
        return _made(self.folder / "tiny-encoder", tiny_models.build_sentence_encoder)


def _soak(run: _Run) -> Part:
    # full before the second half, so that the slope shows what is lost and not what is kept
    return run_soak(
        run.shop("soak", cache_mb=_CACHE_MB),
        cache_mb=_CACHE_MB,
        minutes=0.15 if run.is_short else run.minutes,
        seed=run.seed,
    )


def _overload(run: _Run) -> Part:
    shape = "30M" if run.is_short else run.shape
    chat = build_chat_model(run.folder / f"chat-{shape}", shape, context_tokens=2 * _PROMPT_TOKENS)
    large = build_shop(run.folder / "large", chat, run.encoder(), deadline_s=_LONG_S)
    what = f"a model of the shape {shape}"
    seconds = run.much(60, 5)
    return run_overload(run.shop("overload"), seconds=seconds, large=large, shape=what, prompt_tokens=_PROMPT_TOKENS)


def _tenants(run: _Run) -> Part:
    main = build_tenants(run.folder / "tenants", run.chat(), run.encoder())
    return run_tenants(main, num_queries=run.much(10_000, 200), num_pairs=run.much(1_000, 20), seed=run.seed)


_PARTS: dict[str, Callable[[_Run], Part]] = {
    "soak": _soak,
    "overload": _overload,
    "fuzz": lambda run: run_fuzz(run.shop("fuzz"), num_cases=run.much(50_000, 150), random_seed=run.seed),
    "sigterm": lambda run: run_sigterms(run.shop("sigterm"), count=run.much(100, 2), seed=run.seed),
    "sockets": lambda run: run_slow_sockets(run.shop("sockets"), count=run.much(1_000, 200)),
    "kills": lambda run: run_model_kills(run.shop("kills"), count=run.much(200, 3), seed=run.seed),
    "documents": lambda run: run_documents(run.folder / "documents", count=run.much(500, 40), seed=run.seed),
    "tenants": _tenants,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(_PARTS), help="names with commas between them; default: all")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--minutes", type=float, default=30, help="of the soak")
    parser.add_argument("--shape", choices=tuple(SIZES), default="1.5B", help="of the model that reads long prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="JSON lines, to which the parts are appended")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    names = arguments.parts.split(",")
    if unknown := set(names) - set(_PARTS):
        parser.error(f"no such parts: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    results = {result["part"]: result for result in read_results(arguments.results)}
    for name in names:
        results[name] = result = _run_part(name, arguments)
        print(_section(result), flush=True)
        append_result(arguments.results, {"part": name, **result})
    if arguments.out:
        arguments.out.write_text(_page([results[name] for name in _PARTS if name in results]), encoding="utf-8")
    if any(figure["is_met"] is False for name in names for figure in results[name]["figures"]):
        sys.exit(1)


def _run_part(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        run = _Run(Path(temporary), arguments.short, arguments.seed, arguments.minutes, arguments.shape)
        part = _PARTS[name](run)
    command = f"python -m benchmarks.server_figures --parts {name} --seed {arguments.seed}"
    command += " --short" if arguments.short else _options_of(name, arguments)
    minutes = (time.perf_counter() - started) / 60
    return {**asdict(part), "command": command, "when": f"{datetime.now(UTC):%d %B %Y}", "minutes": minutes}


def _options_of(name: str, arguments: argparse.Namespace) -> str:
    return {"soak": f" --minutes {arguments.minutes:g}", "overload": f" --shape {arguments.shape}"}.get(name, "")


def _page(results: Sequence[dict[str, Any]]) -> str:
    figures = [figure for result in results for figure in result["figures"] if figure["is_met"] is not None]
    num_met = sum(figure["is_met"] for figure in figures)
    lines = [
        "# The server under attack and overload",
        "",
        "`tunechain serve` in a process of its own, on a small workspace with tiny models of random weights; clients "
        f"on the same machine: {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}. "
        f"{num_met} of {len(figures)} targets hold.",
    ]
    return "\n".join([*lines, *("\n" + _section(result) for result in results)]) + "\n"


def _section(result: dict[str, Any]) -> str:
    figures = [Figure(**figure) for figure in result["figures"]]
    rows = [f"| {figure.name} | {figure.value} | {figure.target} | {_verdict(figure)} |" for figure in figures]
    return "\n".join(
        [
            f"## {result['title']}",
            "",
            f"`{result['command']}`, {result['when']}, {result['minutes']:.1f} minutes.",
            "",
            result["about"],
            "",
            "| what | measured | target | holds |",
            "|---|---|---|---|",
            *rows,
            *(f"\n{note}" for note in result["notes"]),
        ]
    )


def _verdict(figure: Figure) -> str:
    return "" if figure.is_met is None else "yes" if figure.is_met else "**no**"


def _made(folder: Path, build: Callable[[Path], Path]) -> Path:
    return folder if folder.exists() else build(folder)


if __name__ == "__main__":
    main()
