"""From records to running applications in one call, twice."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from apps.cli import app
from apps.errors import WorkspaceError
from apps.quickstart import run_quickstart
from apps.settings import SETTINGS_NAME
from llms.errors import DataFileError, TrainingDataError
from tests.apps.workspaces import LABELS, build_workspace, write_csv, write_workspace

PARTS = ["intent", "topic", "sentiment", "customer_service", "monitoring", "recommendation"]


@pytest.fixture
def folder(tmp_path, encoder_folder):
    """A workspace with records and nothing trained."""
    return write_workspace(tmp_path / "w", encoder_folder)


def _keep_only(folder, *names):
    for name in {"customer_service", "monitoring", "recommendation"} - set(names):
        shutil.rmtree(folder / name)


def _records(folder):
    made = ("models", "index", "report.html", "events.sqlite", "events.sqlite-shm", "events.sqlite-wal")
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.relative_to(folder).parts[0] not in made}


def _run(folder, *options):
    result = CliRunner().invoke(app, ["quickstart", str(folder), *options])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_a_second_run_gives_the_same_figures_and_leaves_records_alone(folder):
    before = _records(folder)
    outcomes = []
    for _ in range(2):
        (line,) = _run(folder, "--json").stdout.splitlines()
        outcomes.append(json.loads(line, parse_constant=pytest.fail))
    first, second = outcomes
    assert set(first) == {"report", "metrics", "seconds"}
    assert sorted(first["metrics"]) == sorted(PARTS)
    assert all(first["metrics"].values())
    assert first["metrics"] == second["metrics"]
    assert first["report"] == str(folder / "report.html")
    assert _records(folder) == before


def test_models_indexes_and_a_report_are_written(tmp_path_factory, encoder_folder):
    folder = build_workspace(tmp_path_factory, encoder_folder)
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in (folder / "models").iterdir()) == [
        "intent",
        "interest.json",
        "item_models.safetensors",
        "router.json",
        "router_examples.safetensors",
        "sentiment",
        "topic",
    ]
    assert sorted(path.name for path in (folder / "index").iterdir() if path.is_dir()) == ["items", "knowledge"]


def test_people_see_figures_conversations_and_where_to_go_next(folder):
    result = _run(folder)
    for words in ("intent classifier", "tunechain", "customer: ", f"tunechain ask -w {folder}", "For u"):
        assert words in result.stdout
    assert "fine-tuning the topic classifier" in result.stderr


def test_the_report_speaks_the_language_of_the_workspace(folder):
    _keep_only(folder, "customer_service")
    settings = folder / SETTINGS_NAME
    settings.write_text('language = "zh"\n' + settings.read_text(encoding="utf-8"), encoding="utf-8")
    _run(folder, "--json")
    assert 'lang="zh' in (folder / "report.html").read_text(encoding="utf-8")


def test_records_may_hold_what_looks_like_markup(folder):
    _keep_only(folder, "customer_service", "recommendation")
    intents = folder / "customer_service" / "intents_test.csv"
    rows = [("[/b] <script> {order} [red]", label) for label in LABELS]
    write_csv(intents, ("text", "intent"), rows)
    result = _run(folder)
    assert "customer: [/b] <script> {order} [red]" in result.stdout
    assert "<script> {order}" not in (folder / "report.html").read_text(encoding="utf-8")


def test_rows_set_aside_are_said_with_their_file_and_line(folder):
    for name, line in {
        "customer_service/intents.csv": "only one cell",
        "monitoring/stream.jsonl": "{",
        "recommendation/items.csv": ",No id,,,,",
        "recommendation/events.csv": "u1,unknown,view,2026-01-01T00:00:00Z",
    }.items():
        with (folder / name).open("a", encoding="utf-8", newline="") as file:
            file.write(f"{line}\r\n")
    said = _run(folder, "--json").stderr
    for words in (
        "intents.csv line 32 set",
        "stream.jsonl line 81 set",
        "items.csv line 18 set",
        "events.csv line 602",
    ):
        assert words in said


@pytest.mark.parametrize("name", ["customer_service", "monitoring", "recommendation"])
def test_a_workspace_may_have_one_use_case_only(folder, name):
    _keep_only(folder, name)
    metrics = run_quickstart(folder, show_results=True)["metrics"]
    assert metrics[name]
    assert not any(metrics[other] for other in {"customer_service", "monitoring", "recommendation"} - {name})


def test_a_workspace_without_records_is_refused(folder):
    _keep_only(folder)
    with pytest.raises(WorkspaceError, match="holds no records"):
        run_quickstart(folder)


def test_a_folder_with_other_things_in_it_is_refused_and_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="is not empty"):
        run_quickstart(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("file", "content", "error", "reason"),
    [
        ("customer_service/intents.csv", "text,intent\na,x\nb,x\n", TrainingDataError, "at least two labels"),
        ("customer_service/intents_test.csv", "", DataFileError, "intents_test.csv is empty"),
        ("customer_service/templates.yaml", "answers: 1", WorkspaceError, "templates.yaml"),
        ("monitoring/stream.jsonl", "{}\n", DataFileError, "stream.jsonl"),
        (
            "recommendation/events.csv",
            "user,item,event,time\nu,i1,view,2026-01-01T00:00:00Z\n",
            TrainingDataError,
            "events",
        ),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_an_error_that_names_it(folder, file, content, error, reason):
    _keep_only(folder, file.split("/")[0])
    (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(error, match=reason):
        run_quickstart(folder)
    assert (folder / SETTINGS_NAME).exists()
