"""Set-up of every test: no network, fixed seeds, tiny models built once, slow and real tests only when asked for."""

# ruff: noqa: E402  # the environment must be set before anything else is imported
import gc
import os
import random
import shutil
import sys
from pathlib import Path

# before any import of a model library: they read these once; no setting of this project is among them
for _name, _value in {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # tiny models lose more time in waiting threads than they win
}.items():
    os.environ[_name] = _value  # noqa: TID251

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from tests import tiny_models

settings.register_profile("tunechain", derandomize=True, deadline=None, max_examples=25)
settings.register_profile("nightly", deadline=None, max_examples=1_000, print_blob=True)
settings.load_profile("tunechain")

REPOSITORY = Path(__file__).parents[1]


def pytest_collection_modifyitems(config, items):
    """Skip slow, nightly and real tests unless the expression given with -m names them."""
    for marker in ("slow", "nightly", "real"):
        if marker not in (config.getoption("-m") or ""):
            for item in items:
                if marker in item.keywords:
                    item.add_marker(pytest.mark.skip(reason=f"{marker}: run with -m {marker}"))


_num_modules_frozen = 0


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Import tests and libraries without the garbage collector, which would search them all again and again."""
    global _num_modules_frozen
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        _num_modules_frozen = len(sys.modules)


def pytest_runtest_setup():
    """Take libraries out of the garbage collector's sight: Trainer collects after each training, and would search them.

    What a test itself makes is collected as ever.
    """
    global _num_modules_frozen
    if len(sys.modules) > _num_modules_frozen + 100:
        gc.collect()
        gc.freeze()
        _num_modules_frozen = len(sys.modules)


@pytest.fixture(autouse=True)
def _fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_folder():
    """The folder with the public data sets, named by TUNECHAIN_DATA."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("TUNECHAIN_DATA", default))  # noqa: TID251
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; set TUNECHAIN_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory):
    """A one-layer chat model that answers any question with printable characters; do not change it."""
    return tiny_models.build_chat_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.fixture(scope="session")
def trained_chat_folder(tmp_path_factory):
    """A chat model that calls tools and answers LangChain's standard suite, trained here in half a minute.

    It is read by many tests; do not change it.
    """
    from tests.trained_chat import train_chat_model

    def train(folder):
        train_chat_model(folder / "trained-chat", base_folder=folder / "trained-chat-base")

    return made_once(tmp_path_factory, "trained-chat", train) / "trained-chat"


def made_once(tmp_path_factory, name, make):
    """Return a folder that `make` filled, once for a test run however many processes share it; do not change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # noqa: TID251
        root = root.parent  # each worker's own folder lies in that of the run
    folder, made = root / name, root / f"{name}.made"
    with FileLock(root / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed half-way
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def sample_workspace(tmp_path_factory):
    """The English sample workspace with its intent model, trained the quick way, and its articles; do not change it."""
    from apps.settings import load_settings
    from apps.training import index_knowledge, train_workspace_classifier
    from apps.workspace import create_workspace

    def build(root):
        create_workspace(root / "workspace")
        file = root / "workspace" / "tunechain.toml"
        file.write_text(file.read_text("utf-8").replace('method = "full"', 'method = "head"'), encoding="utf-8")
        settings = load_settings(root / "workspace")
        train_workspace_classifier(settings, "intent", show_progress=False)
        index_knowledge(settings)

    return made_once(tmp_path_factory, "sample", build) / "workspace"


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    """A one-layer sentence encoder; do not change it.

    One for all processes: the built workspace, which they share too, names it.
    """
    made = made_once(tmp_path_factory, "models", lambda root: tiny_models.build_sentence_encoder(root / "tiny-encoder"))
    return made / "tiny-encoder"


@pytest.fixture(scope="session")
def sequence_classifier_folder(tmp_path_factory):
    """A transformers sequence classification model with the labels bad, good and neutral; do not change it."""
    return tiny_models.build_sequence_classifier(tmp_path_factory.mktemp("models") / "tiny-sequence-classifier")
