"""The READMEs: examples run, files and targets exist, both languages agree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh-CN.md"]


def read(name):
    return (ROOT / name).read_text("utf-8")


def blocks(text, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def test_the_python_example_prints_what_the_readme_shows(sample_workspace, monkeypatch, capsys):
    """Of one language: the other shows the same lines, which is tested below."""
    text = read("README.md")
    [example] = blocks(text, "python")
    expected = text.split(example, 1)[1].split("```\n", 2)[2].split("```", 1)[0]
    monkeypatch.chdir(sample_workspace.parent)
    names = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102  # our own example
    names["store"].close()
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("name", READMES)
def test_the_plain_pip_lines_are_those_that_make_runs(name):
    recipe = (
        read("Makefile").replace("$(PYTHON)", "python3").replace("$(BIN)", "$(VENV)/bin").replace("$(VENV)", ".venv")
    )
    recipe = recipe.replace("$(WORKSPACE)", "workspace")
    [plain] = [block for block in blocks(read(name)) if "pip install" in block]
    lines = [line.strip() for line in recipe.splitlines()]
    assert [line for line in plain.splitlines() if line not in lines] == []


@pytest.mark.parametrize("name", READMES)
def test_every_file_and_target_named_is_there(name):
    text = read(name)
    for path in re.findall(r"`((?:apps|chains|llms|retrievers|benchmarks|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^(\w+):", read("Makefile"), flags=re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", text, flags=re.MULTILINE)) <= targets


def commands(text):
    """Return the lines of all blocks without comments; those of the tree have its folders only."""
    found = "".join(re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))
    return [re.sub(r"^(\w+/) .*|\s+# .*", r"\1", line) for line in found.splitlines()]


def test_both_languages_show_the_same_commands():
    english, chinese = (commands(read(name)) for name in READMES)
    assert english == chinese


@pytest.mark.parametrize("name", READMES)
def test_two_commands_are_two_commands(name):
    assert commands(read(name))[:2] == ["make quickstart", "make test"]
    first = re.search(r"^```\n(.*?)^```$", read(name), flags=re.DOTALL | re.MULTILINE)[1]
    assert len(first.splitlines()) == 2


def test_the_markers_of_unfinished_text_are_gone():
    assert not [name for name in READMES if re.search(r"@[A-Z0-9]+@", read(name))]
