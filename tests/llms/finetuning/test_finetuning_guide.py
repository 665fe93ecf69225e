"""The examples of the guide to fine-tuning run as they stand, with the tiny encoder in the default one's place."""

import csv
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "fine-tuning.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory, labelled_texts):
    """A folder with the rows that the guide speaks of."""
    folder = tmp_path_factory.mktemp("guide")
    with (folder / "messages.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "intent"])
        writer.writerows((row.text, row.label) for row in labelled_texts.rows)
    return folder


@pytest.fixture(scope="module")
def names():
    """What the blocks share; each goes on where the last one ended."""
    return {}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_run_one_after_the_other(names, place, number, encoder_folder, monkeypatch, capsys):
    monkeypatch.chdir(place)
    code = BLOCKS[number].replace("ClassifierOptions(method", f"ClassifierOptions(base={str(encoder_folder)!r}, method")
    exec(compile(code, f"{GUIDE.name}, block {number}", "exec"), names)  # noqa: S102  # our own examples
    assert capsys.readouterr().out.strip()
