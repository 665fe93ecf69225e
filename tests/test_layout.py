"""The layers as a whole: our own packages, light imports, honest names, no code from data."""

import ast
import functools
import importlib
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = [name for name in ("llms", "retrievers", "chains", "apps") if (REPOSITORY / name / "__init__.py").exists()]
LIBRARIES = [name for name in PACKAGES if name != "apps"]
CODE_FROM_DATA = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
# programs, and clients of other machines
REACHES_OUT = {"subprocess", "multiprocessing", "requests", "httpx", "aiohttp", "urllib.request", "urllib3", "smtplib"}
REACHES_OUT |= {"http.client", "ftplib", "telnetlib", "websockets", "paramiko", "grpc", "openai", "pty"}
FLAGS_THAT_RUN_DATA = {"trust_remote_code", "allow_dangerous_deserialization"}
PEOPLES_WORDS = REPOSITORY / "llms" / "texts" / "private_data"  # cues such as "customer number" are what people write
USE_CASE_WORDS = re.compile(r"\b(customers?|sentiments?|alerts?|recommendations?)\b", re.IGNORECASE)

SHOW_IMPORTS = """
import importlib, json, logging, sys
levels = lambda: {name: logging.getLogger(name).level for name in ("transformers", "huggingface_hub", "faiss", "")}
before = levels()
names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
light = sorted(sys.modules)
for name in names:
    for public in importlib.import_module(name).__all__:
        getattr(importlib.import_module(name), public)
print(json.dumps({"light": light, "all": sorted(sys.modules), "same_levels": levels() == before}))
"""


def _sources(*packages):
    return [path for package in packages for path in sorted((REPOSITORY / package).rglob("*.py"))]


@functools.cache
def _tree(path):
    return ast.parse(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def imports():
    """What a fresh interpreter has loaded after importing the packages, and after naming every public name."""
    result = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS, *LIBRARIES], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_lies_in_this_repository(name):
    # the names are common ones, so another installed package could stand in the way
    assert Path(importlib.import_module(name).__file__).parent == REPOSITORY / name


@pytest.mark.parametrize("name", LIBRARIES)
def test_public_names_can_be_imported(name):
    package = importlib.import_module(name)
    assert all(getattr(package, public) is not None for public in package.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


def test_importing_the_packages_loads_no_model_library(imports):
    heavy = {"torch", "transformers", "sentence_transformers", "faiss", "sklearn", "jieba"}
    assert not heavy & set(imports["light"])


def test_naming_every_public_name_loads_no_weights_library(imports):
    assert not {"torch", "transformers", "sentence_transformers"} & set(imports["all"])


def test_importing_changes_no_logging_level(imports):
    assert imports["same_levels"]


def test_the_lower_layers_know_no_use_case():
    sources = [path for path in _sources("llms", "retrievers") if PEOPLES_WORDS not in path.parents]
    words = {path: USE_CASE_WORDS.findall(_code_without_prose(path)) for path in sources}
    assert {path: found for path, found in words.items() if found} == {}


def _code_without_prose(path):
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type != tokenize.COMMENT]
    tree = _tree(path)
    prose = {node.value.lineno for node in ast.walk(tree) if _is_docstring(node)}
    return " ".join(token.string.replace("_", " ") for token in tokens if token.start[0] not in prose)


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_nothing_runs_code_from_data():
    # ruff bans eval, exec and pickle by name; the flags, and the other libraries that build objects, it does not know
    found = [f"{path}:{line}" for path in _sources(*PACKAGES) for line in _lines_that_run_data(path)]
    assert found == []


def _lines_that_run_data(path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield node.lineno
        if isinstance(node, ast.keyword) and node.arg in FLAGS_THAT_RUN_DATA and _is_true(node.value):
            yield node.value.lineno
        if isinstance(node, ast.Import | ast.ImportFrom) and _imported_roots(node) & CODE_FROM_DATA:
            yield node.lineno


def _is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


def _imported_roots(node):
    names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
    return {name.split(".")[0] for name in names}


def test_no_chain_can_start_a_program_or_ask_another_machine():
    # what a model writes cannot do what nothing there is able to; tools and stores are passed in
    able = [
        f"{path}:{node.lineno}"
        for path in _sources("chains", "retrievers", "apps/server")
        for node in _reaching_out(path)
    ]
    assert able == []


def _reaching_out(path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import) and any(_reaches_out(alias.name) for alias in node.names):
            yield node
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if _reaches_out(module) or any(_reaches_out(f"{module}.{alias.name}") for alias in node.names):
                yield node
        if isinstance(node, ast.Attribute) and node.attr in {"create_connection", "popen", "system"}:
            yield node


def _reaches_out(module):
    return any(module == name or module.startswith(f"{name}.") for name in REACHES_OUT)


def test_no_test_imports_a_benchmark():
    # benchmarks may import what tests are made of, never the other way round
    imports = [
        str(path)
        for path in _sources("tests")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom) and "benchmarks" in _imported_roots(node)
    ]
    assert imports == []


def test_every_test_folder_is_a_package():
    # without it, pytest would take tests/llms for the package llms
    folders = {path.parent for path in (REPOSITORY / "tests").rglob("test_*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_every_model_library_loads_from_a_folder_without_network_and_without_its_code():
    bare = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for path in _sources("llms")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and _is_auto_class(node.func) and not _says_from_folder(node)
    ]
    assert not bare, "pass **FROM_FOLDER"


def _is_auto_class(called):
    is_method = isinstance(called, ast.Attribute) and called.attr == "from_pretrained"
    return is_method and isinstance(called.value, ast.Name) and called.value.id.startswith("Auto")


def _says_from_folder(call):
    return any(word.arg is None and getattr(word.value, "id", "") == "FROM_FOLDER" for word in call.keywords)


def test_no_message_names_a_package_that_no_index_has():
    wanted = re.compile(r"""tunechain\[\w|pip install (?:-\S+ )*["']?tunechain\b""")
    files = [*_sources(*PACKAGES), *sorted((REPOSITORY / "docs").rglob("*.md")), *sorted(REPOSITORY.glob("README*.md"))]
    assert not [str(path) for path in files if wanted.search(path.read_text("utf-8"))]


def test_the_lock_has_the_sums_of_every_pinned_version():
    pins = re.findall(r"^(\S+)==([^\s;]+)", (REPOSITORY / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    locked = re.findall(
        r"^(\S+)==([^\s;]+).*\n +--hash=sha256:[0-9a-f]{64}",
        (REPOSITORY / "requirements.lock").read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(pins) > 100
    assert set(locked) == {(name.lower().replace("_", "-").replace(".", "-"), version) for name, version in pins}
