"""The guides name what there is: links lead somewhere, settings are complete, figures stand on the page they name."""

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel, SecretStr

from apps.cli import app
from apps.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, *sorted(DOCS.glob("*.md"))]
GLOSSARY = [
    "document",
    "item",
    "message",
    "post",
    "label",
    "probability",
    "template",
    "known question",
    "relevance",
    "slot",
    "handover",
    "out of scope",
    "threshold",
    "calibration error",
    "adapter",
    "encoder",
    "reranker",
    "baseline",
    "surge",
    "alert",
    "user embedding",
]
MAX_PICTURE_BYTES = 120_000


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_code(path.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_index_names_every_guide_and_every_page_of_figures():
    index = (DOCS / "README.md").read_text("utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in [*DOCS.glob("*.md"), *DOCS.glob("benchmarks/*.md")]]
    assert [name for name in pages if name != "README.md" and f"]({name}" not in index] == []


def calls_of_the_command_line(text):
    """Yield the words of each `tunechain ...` in code, up to the end of the line."""
    code = [*re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)]
    code += re.findall(r"`([^`\n]+)`", without_code(text))
    for line in "\n".join(code).splitlines():
        if call := re.search(r"(?:^|[\s/])tunechain ([^#]+)", line):
            yield call[1].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_flag_named_exists(page):
    for words in calls_of_the_command_line(page.read_text("utf-8")):
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            name = words.pop(0)
            names = name.split("|")  # such as review|retrain
            if name == "...":
                break
            assert set(names) <= {*command.commands, "--help"}, name
            command = command.commands.get(names[0])
        known = {option for parameter in getattr(command, "params", []) for option in parameter.opts}
        known |= {option for parameter in getattr(command, "params", []) for option in parameter.secondary_opts}
        flags = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert flags <= {*known, "--help"}, (command and command.name, flags - known)


# --- tests


STATES = {"met", "partly", "not met", "does not apply"}


def rows_of_requirements(page):
    """Yield what is asked, its state, and what is said of it, of each row of the table."""
    for line in (DOCS / page).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1] in STATES:
            yield cells


def find_tests(text):
    return re.findall(r"`(tests/[^`]*\.py)::([^`]*)`", text)


@functools.cache
def names_of_tests(path):
    tree = ast.parse((ROOT / path).read_text("utf-8")) if (ROOT / path).exists() else ast.Module([], [])
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_every_test_named_exists(page):
    named = find_tests((DOCS / page).read_text("utf-8"))
    assert len(named) > 60
    assert [f"{path}::{name}" for path, name in named if name not in names_of_tests(path)] == []


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_what_is_met_names_a_test_and_what_is_not_says_why(page):
    rows = list(rows_of_requirements(page))
    assert len(rows) > 60
    assert [asked for asked, state, said in rows if state == "met" and not find_tests(said)] == []
    said_beside = {asked: re.sub(r"`[^`]*`", "", said) for asked, state, said in rows if state != "met"}
    assert [asked for asked, said in said_beside.items() if len(said.split()) < 3] == []


# --- settings


def documented_settings():
    """Return the value of each key on the page of settings, by section and key."""
    sections = re.split(r"^## ", (DOCS / "settings.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        name = re.match(r"\[?(\w+)", section)[1]
        for key, value in re.findall(r"^\| `(\w+)`[ ¹]* \| `(.*?)` \|", section, flags=re.MULTILINE):
            found[name, key] = tomllib.loads(f"value = {value}")["value"]
    return found


def settings_of_the_model():
    found = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            found |= {(name, key): part.default for key, part in type(field.default).model_fields.items()}
        elif name == "tenants":
            found["tenants", name] = field.default
        elif name != "workspace":  # the folder of the file, which cannot be set in it
            found["At", name] = field.default
    return {key: plain(value) for key, value in found.items()}


def plain(value):
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def test_every_setting_is_on_its_page_with_its_default_and_no_other():
    assert documented_settings() == settings_of_the_model()


# --- figures


NUMBER = r"(?<![A-Za-z0-9@.])\d(?:[\d,]*\d)?(?:\.\d+)?"


def is_rounding_of_any(text, known):
    digits = text.rstrip(" %").replace(",", "")
    tolerance = 0.5 * 10 ** -len(digits.partition(".")[2]) + 1e-9
    scales = (1, 100) if text.endswith("%") else (1,)
    return any(abs(scale * number - float(digits)) <= tolerance for number in known for scale in scales)


def rows_with_figures(page):
    """Yield what stands between the first and the last cell of each row whose last cell links a page of figures."""
    for line in page.read_text("utf-8").splitlines():
        cells = line.strip("|").split("|")
        if linked := re.search(r"\]\(((?:docs/)?benchmarks/\w+\.md)\)", cells[-1]):
            yield " ".join(cells[1:-1]), page.parent / linked[1]


@pytest.mark.parametrize("page", [*READMES, DOCS / "figures.md"], ids=lambda page: page.name)
def test_every_figure_is_a_rounding_of_one_on_the_page_behind_it(page):
    rows = list(rows_with_figures(page))
    assert len(rows) >= 6
    for cells, source in rows:
        known = [float(number.replace(",", "")) for number in re.findall(NUMBER, source.read_text("utf-8"))]
        unknown = [text for text in re.findall(rf"{NUMBER}(?: ?%)?", cells) if not is_rounding_of_any(text, known)]
        assert unknown == [], f"{cells} names figures that {source.name} does not have"


# --- README


def test_both_languages_have_the_same_sections_with_the_same_figures():
    english, chinese = (
        re.split(r"^## ", without_code(page.read_text("utf-8")), flags=re.MULTILINE) for page in READMES
    )
    assert len(english) == len(chinese)
    for one, other in zip(english, chinese, strict=True):
        found = [sorted(re.findall(r"\d+\.\d+|\d{1,3}(?:,\d{3})+|\d+(?= ?%)", text)) for text in (one, other)]
        assert found[0] == found[1], one.splitlines()[0]


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_glossary_explains_the_words_that_code_and_guides_use(page):
    [glossary] = [part for part in page.read_text("utf-8").split("\n## ") if "**user embedding**" in part]
    assert [word for word in GLOSSARY if f"**{word}**" not in glossary] == []


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_pictures_are_there_and_small(page):
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    assert len(pictures) >= 3
    assert [name for name in pictures if (ROOT / name).stat().st_size > MAX_PICTURE_BYTES] == []
