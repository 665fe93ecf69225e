"""`tunechain models`: what there is, added, checked and removed."""

import json

import pytest
from typer.testing import CliRunner

from apps.cli import app
from llms.errors import ModelNotFoundError


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)


def run(*args, exit_code=0):
    result = CliRunner().invoke(app, ["models", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result


def rows(*args):
    return [json.loads(line) for line in run(*args, "--json").stdout.splitlines()]


def test_the_list_shows_what_can_be_added_and_what_is_here(encoder_folder):
    before = {row["name"]: row for row in rows("list")}
    assert before["qwen2.5-coder-1.5b-instruct"]["licence"] == "Apache-2.0"
    assert not before["qwen2.5-coder-1.5b-instruct"]["here"]
    assert before["all-minilm-l6-v2"]["here"]
    [added] = rows("add", encoder_folder, "--name", "mine")
    assert (added["name"], added["task"], added["here"]) == ("mine", "embeddings", True)
    assert {row["name"] for row in rows("list")} == {*before, "mine"}
    assert "mine" in run("list").stdout


def test_info_check_and_remove(encoder_folder, tmp_path):
    run("add", encoder_folder, "--name", "mine")
    assert "embeddings" in run("info", "mine").stdout
    assert rows("info", "mine")[0]["source"].startswith("folder ")
    assert rows("check", "mine") == [{"name": "mine", "wrong": []}]
    (tmp_path / "data" / "tunechain" / "models" / "mine" / "modules.json").unlink()
    assert "modules.json is missing" in run("check", "mine", exit_code=1).output
    run("remove", "mine")
    with pytest.raises(ModelNotFoundError):
        run("remove", "mine")
    with pytest.raises(ModelNotFoundError, match="tunechain models list"):
        run("info", "no-such-model")


def test_a_model_that_the_workspace_uses_is_not_removed_unasked(encoder_folder, tmp_path):
    from apps.errors import SettingsError

    run("add", encoder_folder, "--name", "mine")
    workspace = tmp_path / "shop"
    workspace.mkdir()
    (workspace / "tunechain.toml").write_text('[models]\nencoder = "mine"\n')
    listed = {row["name"]: row for row in rows("list", "-w", workspace)}
    assert listed["mine"]["used_as"] == ["models.encoder"]
    with pytest.raises(SettingsError, match=r"models\.encoder"):
        run("remove", "mine", "-w", workspace)
    run("remove", "mine", "-w", workspace, "--force")
    assert "mine" not in {row["name"] for row in rows("list")}


def test_the_list_is_whole_in_eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["models", "list"]).output
    assert "qwen2.5-coder-1.5b-instruct chat" in shown
    assert "1.5B" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_list_says_in_eighty_columns_what_the_workspace_uses(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "tunechain.toml").write_text('[models]\nchat = "smollm2-135m-instruct"\n')
    lines = run("list", "-w", tmp_path).stdout.splitlines()
    [installed] = [line for line in lines if line.startswith("all-minilm-l6-v2")]
    assert installed.split()[-1] == "encoder"
    assert "…" not in "".join(lines).replace("en …", "")
    assert any(line.split()[-1:] == ["missing"] for line in lines)  # named in the settings, and not here


def test_info_shows_only_what_is_known_and_with_units(encoder_folder):
    run("add", encoder_folder, "--name", "mine")
    shown = run("info", "mine").stdout
    assert "None" not in shown
    assert "True" not in shown
    assert "memory" in run("info", "smollm2-135m-instruct").stdout
    assert "93 MiB" in run("info", "smollm2-135m-instruct").stdout
    assert rows("info", "mine")[0]["parameters"] is None
