"""Rules of imports: no circles, and other layers through their front doors only."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LAYERS = ("llms", "retrievers", "chains", "apps")
# modules that are public beside the packages' front doors
PUBLIC_MODULES = {
    "llms": {
        "arrays",
        "conformance",
        "errors",
        "fakes",
        "field_errors",
        "files",
        "lazy_names",
        "manifest",
        "metrics",
        "texts",
    },
    "retrievers": {"errors", "metrics"},
    "chains": {"errors", "languages", "text_filter"},
}
# the script that makes the starter model is the only user of what makes one from nothing, and trains it on the prompts
# and sentences that the chain will later ask it with
EXEMPT = {
    "apps/samples": {"llms.finetuning.starter_model", "chains.prompts", "chains.customer_service.quoting"},
}
CONTRACT = """
[importlinter]
root_package = toy

[importlinter:contract:circles]
name = no circles
type = acyclic_siblings
ancestors = toy
"""


def _sources(*packages):
    return [path for package in packages for path in sorted((REPOSITORY / package).rglob("*.py"))]


# --- circles


def _write_toy(folder, **texts):
    for name, text in {"__init__": "", "a/__init__": "", "b/__init__": "", **texts}.items():
        path = folder / "toy" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / ".importlinter").write_text(CONTRACT, encoding="utf-8")


def _lint(folder):
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)


IN_A_FUNCTION = "def f():\n    from toy.a import one\n"
FOR_TYPES_ONLY = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.a import one\n"


@pytest.mark.parametrize("back", ["from toy.a import one\n", IN_A_FUNCTION, FOR_TYPES_ONLY])
def test_a_circle_between_siblings_is_found_wherever_the_import_stands(tmp_path, back):
    _write_toy(tmp_path, **{"a/one": "from toy.b import two\n", "b/two": ""})
    assert _lint(tmp_path).returncode == 0
    _write_toy(tmp_path, **{"a/one": "from toy.b import two\n", "b/three": back})
    result = _lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout


def test_every_package_is_watched_for_circles():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    [contract] = [contract for contract in settings["contracts"] if contract["type"] == "acyclic_siblings"]
    assert set(LAYERS) <= set(contract["ancestors"]) == set(settings["root_packages"])
    assert not set(contract) & {"ignore_imports", "skip_descendants"}


# --- front doors


def _imports(path):
    """(module, name) of each import of our own; a plain `import a.b` names nothing."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def _is_allowed(module, name, layer):
    root, _, rest = module.partition(".")
    if root not in LAYERS or root == layer:
        return True
    if rest.split(".")[0] in PUBLIC_MODULES[root] or (not rest and name in PUBLIC_MODULES[root]):
        return True
    package = importlib.import_module(module)
    return hasattr(package, "__path__") and name in getattr(package, "__all__", ())


@pytest.mark.parametrize("layer", ["retrievers", "chains", "apps"])
def test_other_layers_are_entered_by_their_front_doors(layer):
    violations = []
    for path in _sources(layer):
        relative = path.relative_to(REPOSITORY)
        exempt = set().union(*(modules for folder, modules in EXEMPT.items() if relative.is_relative_to(folder)))
        violations += [
            f"{relative}: from {module} import {name}"
            for module, name in _imports(path)
            if module not in exempt and not _is_allowed(module, name, layer)
        ]
    assert violations == []


def test_the_front_door_rule_finds_what_goes_round_it():
    assert not _is_allowed("llms.loading", "resolve_model", "apps")
    assert not _is_allowed("llms.tagger.metrics", "entity_report", "apps")
    assert not _is_allowed("chains.customer_service", "no_such_name", "apps")
    assert not _is_allowed("retrievers", None, "apps")
    assert _is_allowed("llms.metrics", "reliability_bins", "apps")
    assert _is_allowed("llms.tagger", "entity_report", "apps")
    assert _is_allowed("apps.settings", "Settings", "apps")


@pytest.mark.parametrize("layer", LAYERS)
def test_public_names_are_listed_in_front_doors_and_public_modules_only(layer):
    public = {REPOSITORY / layer / f"{name}.py" for name in PUBLIC_MODULES.get(layer, ())}
    listing = [path for path in _sources(layer) if "\n__all__ = " in path.read_text("utf-8")]
    assert [path for path in listing if path.name != "__init__.py" and path not in public] == []
