"""Results of benchmarks as JSON lines, so that a long one can be measured in parts and goes on where it was."""

import json
from pathlib import Path
from typing import Any

__all__ = ["append_result", "read_results"]


def read_results(file: Path | None) -> list[Any]:
    """Return what was appended to a file, the oldest first; nothing where there is none."""
    if file is None or not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def append_result(file: Path | None, result: Any) -> None:
    """Append one result to a file, if there is to be one."""
    if file is not None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(result, ensure_ascii=False) + "\n")
