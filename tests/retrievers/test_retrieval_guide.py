"""The examples of the guide run as they stand."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "retrieval.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the blocks share; each goes on where the last one ended."""
    folders = {name: str(tmp_path_factory.mktemp(name)) for name in ("index_folder", "tenants_folder", "pages_folder")}
    yield folders
    folders["store"].close()


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_run_one_after_the_other(names, number, capsys):
    exec(compile(BLOCKS[number], f"{GUIDE.name}, block {number}", "exec"), names)  # noqa: S102  # our own examples
    assert capsys.readouterr().out.strip()
