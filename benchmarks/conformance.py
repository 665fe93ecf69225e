"""Table of the checks that chat models pass: ours on each engine, and ChatHuggingFace.

Run: python -m benchmarks.conformance [--results FILE] [--out docs/conformance.md]

With --results each column is appended to that file as JSON, and columns that stand in it already are not run again.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.results import append_result, read_results

RANDOM, TRAINED = "one-layer Llama, random weights", "two-layer Qwen3, trained on the suite's prompts"
SUITES = {
    "What LangChain's suite leaves out (`llms/conformance.py`)": {
        f"LocalChatModel, torch: {RANDOM}": "tests/llms/chat/test_conformance.py::TestTorch",
        f"LocalChatModel, openvino: {RANDOM}": "tests/llms/chat/test_conformance.py::TestOpenVino",
        "LocalChatModel, openvino: SmolLM2-135M, float32": "tests/real/test_published_conformance.py::TestSmolLm2",
        f"ChatHuggingFace: {RANDOM}": "benchmarks/incumbent_suites.py::TestIncumbent",
    },
    "LangChain's unit tests": {
        f"LocalChatModel, torch: {TRAINED}": "tests/llms/chat/test_chat_model_standard.py::TestUnitTorch",
        f"LocalChatModel, openvino: {TRAINED}": "tests/llms/chat/test_chat_model_standard.py::TestUnitOpenVino",
        f"ChatHuggingFace: {TRAINED}": "benchmarks/incumbent_suites.py::TestIncumbentUnit",
    },
    "LangChain's integration tests": {
        f"LocalChatModel, torch: {TRAINED}": "tests/llms/chat/test_chat_model_standard.py::TestIntegrationTorch",
        f"LocalChatModel, openvino: {TRAINED}": "tests/llms/chat/test_chat_model_standard.py::TestIntegrationOpenVino",
        "LocalChatModel, openvino: Qwen2.5-Coder-1.5B, int8": "tests/real/test_published_standard.py::TestQwenOpenVino",
        f"ChatHuggingFace: {TRAINED}": "benchmarks/incumbent_suites.py::TestIncumbentIntegration",
    },
}
_SIGNS = {"passed": "yes", "failed": "**no**", "skipped": "-", "": ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="JSON lines, to which the columns are appended")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = _report(arguments.results)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def _report(results: Path | None) -> str:
    packages = ("langchain-core", "langchain-huggingface", "langchain-tests", "transformers", "openvino-genai")
    lines = [
        "# Conformance of local chat models",
        "",
        f"`python -m benchmarks.conformance`, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}; " + ", ".join(f"{name} {version(name)}" for name in packages) + ".",
        "",
        "Each column names its model. LangChain's suites run on a two-layer Qwen3 that the tests train on the prompts "
        "of these suites (`tests/trained_chat.py`), the checks they leave out on random weights, and both on a "
        "published model (`make real`; dashes where it is not on the machine). They show what the class does, not "
        "how well a model answers: for that run `python -m benchmarks.chat_tools`.",
        "",
        "ChatHuggingFace runs over a HuggingFacePipeline with the same weights. It is set up as well as it can be: "
        "greedy, with `return_full_text=False` (by default it repeats the prompt), and with the limit of tokens set "
        "on its pipeline. A dash is a check that was skipped: media the model does not read, and adapters where "
        "there are none.",
    ]
    for title, columns in SUITES.items():
        outcomes = {name: _outcomes(node, results) for name, node in columns.items()}
        lines += ["", f"## {title}", "", *_table(outcomes)]
    return "\n".join(lines)


def _table(outcomes: dict[str, dict[str, str]]) -> list[str]:
    names = list(dict.fromkeys(test for tests in outcomes.values() for test in tests))
    totals = {name: Counter(tests.values()) for name, tests in outcomes.items()}
    summary = [f"{total['passed']} of {total['passed'] + total['failed']}" for total in totals.values()]
    return [
        "| check | " + " | ".join(outcomes) + " |",
        "|---" * (len(outcomes) + 1) + "|",
        "| **passed** | " + " | ".join(f"**{one}**" for one in summary) + " |",
        *(
            f"| {name} | " + " | ".join(_SIGNS[tests.get(name, "")] for tests in outcomes.values()) + " |"
            for name in names
        ),
    ]


def _outcomes(node: str, results: Path | None) -> dict[str, str]:
    for entry in read_results(results):
        if entry["node"] == node:
            found: dict[str, str] = entry["outcomes"]
            return found
    outcomes = _run(node)
    append_result(results, {"node": node, "outcomes": outcomes})
    return outcomes


def _run(node: str) -> dict[str, str]:
    """Return test name -> passed, failed or skipped."""
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "real or not real"]
        command += [f"--junit-xml={report}", node]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own tests
        if not report.exists():
            msg = f"{node} could not be run:\n{result.stdout[-2000:]}"
            raise SystemExit(msg)
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  # pytest wrote it just now
    outcomes = {}
    for case in cases:
        kinds = {child.tag for child in case}
        name = _readable(case.get("name", ""))
        outcomes[name] = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
    if not outcomes:
        msg = f"{node} holds no tests:\n{result.stdout[-2000:]}"
        raise SystemExit(msg)
    return outcomes


def _readable(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").replace("|", "/")


if __name__ == "__main__":
    main()
