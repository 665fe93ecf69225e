"""The examples of the guide run as they stand."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "chat-models.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def names(trained_chat_folder):
    """What the blocks share; each goes on where the last one ended."""
    return {"model_folder": str(trained_chat_folder)}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_run_one_after_the_other(names, number, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"{GUIDE.name}, block {number}", "exec"), names)  # noqa: S102  # our own examples
    assert capsys.readouterr().out.strip()
