"""The examples of the documentation run as they stand, and say what they promise."""

import json
import runpy

from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "docs" / "examples"


def test_the_example_exchanges_one_part_after_the_other(capsys):
    runpy.run_path(str(EXAMPLES / "swap_a_part.py"), run_name="__main__")
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines == {
        "quotes": "Gift cards are valid for five years.",
        "another vector store": "Gift cards are valid for five years.",
        "another chat model": "Gift cards are valid for five years [1].",
        "a template": "Order VT-7 is on its way.",
    }


def test_the_notebook_gives_the_results_it_shows(tmp_path):
    cells = json.loads((EXAMPLES / "customer_service.ipynb").read_text("utf-8"))["cells"]
    lines, shown = ["results = []"], []
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        *before, last = "".join(cell["source"]).split("\n")
        lines += [*before, f"results.append(({last}))" if cell["outputs"] else last]
        shown += ["".join(output["data"]["text/plain"]) for output in cell["outputs"]]
    script = tmp_path / "cells.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    results = runpy.run_path(str(script))["results"]
    assert [repr(result).replace(", ", ",") for result in results] == [
        text.replace("\n", "").replace(", ", ",") for text in shown
    ]
