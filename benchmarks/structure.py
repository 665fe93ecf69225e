"""Counts of the tree's structure: sizes, public names, circles between packages, repeated lines, tests.

Run: python -m benchmarks.structure [--tree .] [--baseline DIR] [--out docs/benchmarks/structure.md]

Nothing of either tree is imported but by pytest, which counts its tests. Imports are read from the syntax, wherever
they stand: at the top, in a function, or for type checkers only. A name taken from a package's front door counts as
taken from the module it lives in.
"""

import argparse
import ast
import os
import platform
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from benchmarks.machine import processor

LAYERS = ("llms", "retrievers", "chains", "apps")
FOLDERS = (*LAYERS, "tests", "benchmarks")
MAX_LINES = 300  # what a file should not exceed
NUM_REPEATED = 6  # lines in a row that, found twice, count as repeated
Edges = Mapping[str, set[str]]  # module -> the modules it imports


@dataclass
class Module:
    """One file of Python."""

    name: str
    text: str
    is_package: bool = False
    public: tuple[str, ...] = ()  # its `__all__`

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @property
    def num_lines(self) -> int:
        """Its lines, blank ones too."""
        return self.text.count("\n")

    @property
    def folder(self) -> str:
        """The first part of its name."""
        return self.name.partition(".")[0]


@dataclass
class Tree:
    """All files below one folder, by module name."""

    root: Path
    modules: dict[str, Module] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "Tree":
        """Read every file of every folder that the figures are about."""
        tree = cls(root)
        for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            module = Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package)
            module.public = tuple(_public_names(module.tree))
            tree.modules[module.name] = module
        return tree

    def of(self, *folders: str) -> list[Module]:
        """Return the modules of some folders."""
        return [module for module in self.modules.values() if module.folder in folders]

    @cached_property
    def imports(self) -> Edges:
        """Which module imports which; a package's `__init__` is looked through, and is nobody's importer."""
        return {
            module.name: {home for home in self._imported(module) if home != module.name}
            for module in self.modules.values()
            if not module.is_package
        }

    def _imported(self, module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in self.modules)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                homes = (self._home(node.module, alias.name) for alias in node.names)
                yield from (home for home in homes if home is not None)

    def _home(self, module: str, name: str) -> str | None:
        """Return the module that `from module import name` reaches, or None outside the tree."""
        if f"{module}.{name}" in self.modules:
            return f"{module}.{name}"
        if module not in self.modules:
            return None
        return self._front_doors.get((module, name), module)

    @cached_property
    def _front_doors(self) -> dict[tuple[str, str], str]:
        return {
            (package.name, alias.asname or alias.name): node.module
            for package in self.modules.values()
            if package.is_package
            for node in ast.walk(package.tree)
            if isinstance(node, ast.ImportFrom) and node.module in self.modules
            for alias in node.names
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--baseline", type=Path, help="a checkout from before")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    trees = {"now": Tree.read(arguments.tree)}
    if arguments.baseline:
        trees = {"before": Tree.read(arguments.baseline), **trees}
    text = "\n".join(_page(trees)) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


def _page(trees: Mapping[str, Tree]) -> Iterator[str]:
    yield from ("# Structure", "")
    baseline = " --baseline DIR" if len(trees) > 1 else ""
    yield f"`python -m benchmarks.structure{baseline}`, {processor()}, {os.cpu_count()} cores, "
    yield f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}."
    yield from (
        "",
        "## Sizes",
        "",
        "| folder | | files | lines | median lines | files above 300 | public names | all |",
    )
    yield "|---|---|---|---|---|---|---|---|"
    for folder in FOLDERS:
        yield from (f"| {folder} | {when} | {_sizes(tree, folder)} |" for when, tree in trees.items())
    yield from ("", "Public names are those of packages' `__all__`, all those of every `__all__`.")
    yield from ("", "## Ties", "", "| | " + " | ".join(trees) + " |", "|---" * (len(trees) + 1) + "|")
    rows = [_ties(tree) for tree in trees.values()]
    for name in rows[0]:
        yield f"| {name} | " + " | ".join(f"{row[name]:,}" for row in rows) + " |"
    for when, tree in trees.items():
        circles = dict.fromkeys(" - ".join(circle) for circle in find_circles(tree.imports) + _sibling_circles(tree))
        if circles:
            yield from ("", f"## Circles {when}", "", *(f"* {circle}" for circle in circles))


def _sizes(tree: Tree, folder: str) -> str:
    lines = [module.num_lines for module in tree.of(folder)]
    doors = sum(len(module.public) for module in tree.of(folder) if module.is_package)
    names = sum(len(module.public) for module in tree.of(folder))
    cells = (len(lines), sum(lines), statistics.median(lines), sum(one > MAX_LINES for one in lines), doors, names)
    return " | ".join(f"{cell:,}" for cell in cells)


def _ties(tree: Tree) -> dict[str, int]:
    importers: dict[str, set[str]] = defaultdict(set)
    for module, imported in tree.imports.items():
        if module.partition(".")[0] in LAYERS:
            for name in imported:
                importers[name].add(module)
    source = [module.name for module in tree.of(*LAYERS) if not module.is_package]
    return {
        "modules of the four layers with exactly one importer": sum(len(importers[name]) == 1 for name in source),
        "circles of modules": len(find_circles(tree.imports)),
        "circles of sibling packages and modules": len(_sibling_circles(tree)),
        f"lines of the four layers that stand in {NUM_REPEATED} found twice": count_repeated(tree.of(*LAYERS)),
        f"lines of tests and benchmarks that stand in {NUM_REPEATED} found twice": count_repeated(
            tree.of("tests", "benchmarks")
        ),
        "test functions": sum(_count_tests(module) for module in tree.of("tests")),
        "tests that pytest collects": _collected(tree.root),
    }


def find_circles(edges: Edges) -> list[list[str]]:
    """Return every group of nodes that can all be reached from each other.

    Example:
        >>> find_circles({"a": {"b"}, "b": {"a", "c"}, "c": set()})
        [['a', 'b']]
    """
    reached = {node: _reached(edges, node) for node in edges}
    groups = {
        tuple(sorted(other for other in reached[node] if node in reached.get(other, ())))
        for node in edges
        if node in reached[node]
    }
    return [list(group) for group in sorted(groups)]


def _reached(edges: Edges, start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(edges.get(node, ()))
    return found


def _sibling_circles(tree: Tree) -> list[list[str]]:
    """Return the circles between what lies side by side in one package, the layers included."""
    packages: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module, imported in tree.imports.items():
        for other in imported:
            parts, others = module.split("."), other.split(".")
            depth = next(
                (n for n, pair in enumerate(zip(parts, others, strict=False)) if pair[0] != pair[1]), len(parts)
            )
            if depth < min(len(parts), len(others)):
                siblings = packages[".".join(parts[:depth])]
                siblings[".".join(parts[: depth + 1])].add(".".join(others[: depth + 1]))
    return [circle for edges in packages.values() for circle in find_circles(edges)]


def count_repeated(modules: list[Module]) -> int:
    """Return how many lines of code lie in a run of lines that stands somewhere else, too."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for module in modules:
        lines = list(_code_lines(module))
        for start in range(len(lines) - NUM_REPEATED + 1):
            places[tuple(lines[start : start + NUM_REPEATED])].append((module.name, start))
    repeated = {
        (name, start + step)
        for found in places.values()
        if len(found) > 1
        for name, start in found
        for step in range(NUM_REPEATED)
    }
    return len(repeated)


def _code_lines(module: Module) -> Iterator[str]:
    """Yield lines without indentation; no blank ones, comments, docstrings, imports or lone brackets."""
    left_out: set[int] = set()
    for node in ast.walk(module.tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for number, line in enumerate(module.text.splitlines(), start=1):
        code = line.partition("  #")[0].strip()
        if number not in left_out and not code.startswith("#") and re.search(r"\w", code):
            yield code


def _public_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            yield from (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant))


def _count_tests(module: Module) -> int:
    functions = (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return sum(function.name.startswith("test") for function in functions)


def _collected(root: Path) -> int:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(root)}  # noqa: TID251  # the tree's own packages, not those installed
    done = subprocess.run(  # noqa: S603  # our own tests
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    found = re.search(r"(\d+)(?:/\d+)? tests collected", done.stdout)
    if not found:
        msg = f"pytest in {root} collected nothing:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise SystemExit(msg)
    return int(found[1])


if __name__ == "__main__":
    main()
