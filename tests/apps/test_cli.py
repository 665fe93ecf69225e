"""The command line: every command for people and for programs, and how mistakes end."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from apps import console
from apps.cli import app, main
from apps.errors import WorkspaceError
from apps.indexing import IndexReport
from apps.retraining import roll_back_recommendation
from apps.settings import SETTINGS_NAME, load_settings
from apps.training import export_encoders
from apps.wiring import build_monitoring
from chains.customer_service import ServiceReply
from chains.customer_service.evaluation import ServiceScores
from chains.monitoring import Alert
from chains.recommendation import Recommendation
from llms.classifier.results import Classification
from tests.apps.workspaces import LABELS, build_workspace, posts, surge_posts, write_csv, write_jsonl, write_workspace

COMMANDS = ["ask", "backup", "classify", "evaluate", "finetune", "import-faiss", "index", "init", "mcp"]
COMMANDS += ["quickstart", "recommend", "restore", "retrain", "rollback", "serve", "watch"]
WATCH_WITH_FAKES = """
import sys
from apps import wiring
from apps.cli import main
from chains.monitoring import build_monitoring_chain
from llms.fakes import FixedClassifier
fake = FixedClassifier({"lost": "negative"}, default="neutral")
wiring.build_monitoring = lambda settings: build_monitoring_chain(topic=fake, sentiment=fake)
sys.argv = ["tunechain", *sys.argv[1:]]
main()
"""
SHOW_IMPORTS = """
import contextlib, sys
from apps.cli import main
sys.argv = ["tunechain", *sys.argv[1:]]
with contextlib.suppress(SystemExit):
    main()
print(",".join(sys.modules), file=sys.stderr)
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No workspace is found by chance."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNECHAIN_WORKSPACE", raising=False)


@pytest.fixture
def built(tmp_path_factory, encoder_folder):
    """The folder of a workspace after its quickstart; do not change it."""
    return build_workspace(tmp_path_factory, encoder_folder)


@pytest.fixture
def raw(tmp_path, encoder_folder):
    """The folder of a workspace with records and nothing trained."""
    return write_workspace(tmp_path / "raw", encoder_folder)


def run(*args, text=None, code=0):
    """Run one command that must end with this code and return its result."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], input=text)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def read_json(result):
    """The JSON objects of standard output, which must hold nothing else, not even NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    return [json.loads(line, parse_constant=refuse) for line in result.stdout.splitlines()]


@pytest.fixture
def fail(monkeypatch, capsys):
    """A function (arguments) -> exit code and standard error of a run from the shell's point of view."""

    def run_main(*args):
        monkeypatch.setattr(sys, "argv", ["tunechain", *map(str, args)])
        capsys.readouterr()  # what fixtures said
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert captured.out == ""
        return caught.value.code, captured.err

    return run_main


def test_init_makes_a_workspace_and_names_the_files(tmp_path):
    (outcome,) = read_json(run("init", tmp_path / "w", "--language", "zh", "--json"))
    assert outcome["workspace"] == str(tmp_path / "w")
    assert all((tmp_path / "w" / name).is_file() for name in outcome["files"])
    assert SETTINGS_NAME in outcome["files"]
    text = run("init", tmp_path / "[red]x[/nothing]").stdout
    assert f"Next: tunechain quickstart {tmp_path / '[red]x[/nothing]'}" in text


def test_classify_labels_arguments_or_lines(built):
    model = built / "models" / "intent"
    replies = read_json(run("classify", model, "where is my parcel", "退货", "--json"))
    assert [Classification.model_validate(reply).label in LABELS for reply in replies] == [True, True]
    assert read_json(run("classify", model, "--json", text="where is my parcel\n\n退货\n")) == replies
    lines = run("classify", model, "where is my parcel", "[/red]").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("[/red]")
    assert run("classify", model, text="").stdout == ""


def test_index_reports_files(raw):
    (report,) = read_json(run("index", "-w", raw, "--json"))
    assert report.pop("found") == 2
    assert IndexReport(**report) == IndexReport(added=2, updated=0, removed=0, unchanged=0)
    assert run("index", "-w", raw).stdout == "2 files found: 0 added, 0 updated, 0 removed, 2 unchanged\n"
    (report,) = read_json(run("index", raw / "customer_service" / "knowledge" / "battery.md", "-w", raw, "--json"))
    assert set(report) == {"found", *(field.name for field in fields(IndexReport))}
    assert (report["removed"], report["unchanged"]) == (1, 1)


def test_index_goes_on_after_a_file_that_cannot_be_read(raw, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "good.md").write_text("退货", encoding="utf-8")
    (pages / "bad[1].pdf").write_bytes(b"%PDF")
    result = run("index", pages, "-w", raw, "--json", code=1)
    (report,) = read_json(result)
    assert report["added"] == 1
    assert [file["source"] for file in report["failed"]] == ["bad[1].pdf"]
    assert f"not indexed: {pages}/bad[1].pdf cannot be read as PDF" in result.stderr
    shown = run("index", pages, "-w", raw, code=1).stdout
    assert shown == "2 files found: 0 added, 0 updated, 0 removed, 1 unchanged, 1 failed\n"


def test_index_names_the_files_that_it_passes_over(raw, tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("good.md", "old.doc", "README"):
        (pages / name).write_text("退货", encoding="utf-8")
    result = run("index", pages, "-w", raw)
    assert result.stdout.startswith("3 files found: 1 added")
    assert result.stdout.endswith(", 2 passed over\n")
    assert "passed over: old.doc is of a kind that is not read; save it as .docx" in result.stderr
    assert "passed over: README has no suffix" in result.stderr
    (report,) = read_json(run("index", pages, "-w", raw, "--json"))
    assert [file["source"] for file in report["passed_over"]] == ["README", "old.doc"]
    assert report["found"] == 3


def test_ask_answers_one_question(built):
    (reply,) = read_json(run("ask", "where is my parcel 3", "-w", built, "--json"))
    assert ServiceReply.model_validate(reply).text == "Which order?"
    assert "clarify · track" in run("ask", "where is my parcel 3", "-w", built).stdout
    shown = run("ask", "battery [/b] 20?", "-w", built).stdout
    assert "battery.md [16:59]" in shown


def test_a_chat_remembers_what_was_asked_back(built):
    asked, told = read_json(run("ask", "-w", built, "--json", text="where is my parcel 3\nVT-12\n"))
    assert (asked["route"], asked["open_question"]["slot"]) == ("clarify", "order")
    assert (told["route"], told["text"]) == ("template", "Order VT-12 is on its way.")


def test_a_chat_understands_a_follow_up_as_the_page_does(built, monkeypatch):
    # the tiny encoder tells unrelated texts from others by nothing else than large cosines
    monkeypatch.setattr("retrievers.hybrid.find_cosine_floor", lambda _embeddings, _text: 0.0)
    # nor can a router be fitted with it that trusts an article
    monkeypatch.setattr("apps.wiring.open_answer_router", lambda *_, **__: None)
    question, follow_up = "How full should the battery be?", "and never what?"
    first, second = read_json(run("ask", "-w", built, "--json", text=f"{question}\n{follow_up}\n"))
    (alone,) = read_json(run("ask", follow_up, "-w", built, "--json"))
    assert (first["route"], second["route"]) == ("answer", "answer")
    assert alone["route"] != "answer"
    assert second["citations"][0]["source"] == "battery.md"


def test_a_chat_goes_on_after_a_hand_over_for_nobody_reads_a_terminal(built, monkeypatch):
    monkeypatch.setenv("TUNECHAIN_CUSTOMER_SERVICE__MIN_RELEVANCE", "1.0")
    monkeypatch.setenv("TUNECHAIN_CUSTOMER_SERVICE__CLARIFY_PROBABILITY", "1.0")
    # a classifier over random weights may take one of them for an intent, but not every one
    typed = "zzz zzz\n完全别的\n¿?\nwhere is my parcel 3\nVT-12\n"
    replies = read_json(run("ask", "-w", built, "--json", text=typed))
    assert all(reply["text"] for reply in replies)
    routes = [reply["route"] for reply in replies]
    assert "handover" in routes[:3]
    assert routes[3:] == ["clarify", "template"]


def test_a_chat_leaves_no_trace_in_the_workspace(built):
    before = sorted(path.name for path in built.iterdir())
    run("ask", "where is my parcel 3", "-w", built)
    assert sorted(path.name for path in built.iterdir()) == before


@pytest.mark.parametrize("end", ["", "\n", "\n\nnever read\n"])
def test_a_chat_takes_lines_until_an_empty_one_or_the_end(built, end):
    result = run("ask", "-w", built, "--json", text="where is my parcel 3\nHow full should the battery be?" + end)
    replies = [ServiceReply.model_validate(reply) for reply in read_json(result)]
    assert len(replies) == 2
    assert replies[0].route == "clarify"
    assert result.stderr == ""


def test_a_chat_goes_on_after_a_line_that_cannot_be_taken(built):
    result = run("ask", "-w", built, "--json", text=f"{'x' * 5000}\nwhere is my parcel 3\n")
    assert len(read_json(result)) == 1
    assert result.stderr == "error: text has 5,000 characters, at most 4,000 are taken; shorten or split it\n"


def test_a_narrow_terminal_breaks_words_and_drops_none(built, monkeypatch):
    (shown,) = read_json(run("recommend", "u1", "-w", built, "-k", "1", "--json"))
    monkeypatch.setattr(console.output, "_width", 20)
    table = run("recommend", "u1", "-w", built, "-k", "1").stdout
    columns = zip(
        *(line.strip("│┃").replace("┃", "│").split("│") for line in table.splitlines() if "│" in line), strict=True
    )
    whole = ["".join("".join(cells).split()) for cells in columns]
    assert shown["items"][0]["title"].replace(" ", "") in whole[1]
    assert "…" not in table


def test_watch_prints_alerts_of_a_file(built, tmp_path):
    path = write_jsonl(tmp_path / "stream.jsonl", surge_posts())
    (alert,) = read_json(run("watch", path, "-w", built, "--json"))
    assert Alert.model_validate(alert).topic == "parcels"
    assert "open · parcels · raised 2026-03-17" in run("watch", path, "-w", built).stdout


def test_watch_sets_aside_bad_lines_of_a_file_and_shows_the_first_five(built, tmp_path):
    path = write_jsonl(tmp_path / "stream.jsonl", [*posts(20), *["no json"] * 7])
    result = run("watch", path, "-w", built, "--json")
    assert read_json(result) == []
    said = result.stderr
    assert [f"line {number} set" in said for number in (20, 21, 25, 26)] == [False, True, True, False]
    assert "2 more rows set aside" in said


def test_watch_reads_posts_from_standard_input_and_sets_aside_bad_lines(built):
    lines = [json.dumps(post) for post in surge_posts()]
    lines[3:3] = ["{", "", json.dumps({"id": "x"})]
    result = run("watch", "-", "-w", built, "--json", text="\n".join(lines))
    (alert,) = read_json(result)
    assert Alert.model_validate(alert).state == "open"
    said = result.stderr.splitlines()
    assert said[0].startswith("standard input line 4 set aside: not valid JSON: Expecting")
    assert said[1] == "standard input line 6 set aside: no 'time'"


def test_classify_names_a_line_that_is_no_text_and_labels_the_others(built):
    lines = "where is my parcel\n\nnul \0 here\n退货\n"
    result = run("classify", built / "models" / "intent", "--json", text=lines, code=1)
    assert len(read_json(result)) == 2
    assert "line 3 is left out: text holds a NUL" in result.stderr


def _stream(*times):
    rows = (
        {"id": str(at), "time": time, "source": "forum", "text": f"the parcel is here {at}"}
        for at, time in enumerate(times)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_watch_says_what_it_did_not_count_while_it_runs_and_at_its_end(built):
    calm = [f"2026-03-02T10:{minute:02}:00Z" for minute in range(10)]
    text = _stream(*calm, "2026-03-01T00:00:00Z", "2999-01-01T00:00:00Z") + _stream(calm[0])
    said = run("watch", "-w", built, "-", text=text).stderr.splitlines()
    assert "late so far: 1 (a post more than the allowed lateness behind the stream is not counted)" in said
    assert "dated in the future so far: 1 (such a post is not counted)" in said
    assert said[-1] == "read 13 posts: 10 counted, 1 late, 1 dated in the future, 1 repeated, 0 not readable"


def test_watch_warns_where_most_posts_are_late(built):
    late = [f"2026-01-02T10:{minute:02}:00Z" for minute in range(30)]
    said = run("watch", "-w", built, "-", text=_stream(*["2026-03-02T10:00:00Z"] * 3, *late)).stderr
    assert "most posts are late: does the clock of a source run ahead" in said
    assert "read 33 posts: 3 counted, 30 late" in said


def test_alerts_and_their_posts_are_shown_in_one_named_zone(built, tmp_path):
    shanghai = timezone(timedelta(hours=8))
    rows = [
        post | {"time": datetime.fromisoformat(post["time"]).astimezone(shanghai).isoformat()} for post in surge_posts()
    ]
    write_jsonl(tmp_path / "stream.jsonl", rows)
    (alert, *_) = read_json(run("watch", "-w", built, tmp_path / "stream.jsonl", "--json"))
    shown = run("watch", "-w", built, tmp_path / "stream.jsonl").stdout
    raised = datetime.fromisoformat(alert["raised_at"]).astimezone(UTC)
    cause = datetime.fromisoformat(alert["causes"][0]["time"]).astimezone(UTC)
    assert f"raised {raised:%Y-%m-%d %H:%M} UTC" in shown
    assert f"{cause:%d %b %H:%M}  " in shown


@pytest.mark.parametrize("evil", ["\x1b]0;title\x07", "\x1b[31m", "\x9b31m", "\u202e", "\x1b]52;c;YQ==\x07"])
def test_a_text_is_only_text_to_the_terminal(built, evil):
    model = built / "models" / "intent"
    shown = run("classify", model, f"where {evil}is my parcel")
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown.stdout + shown.stderr)
    assert "my parcel" in shown.stdout
    line = run("classify", model, f"where {evil}is my parcel", "--explain", "--json").stdout
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(line)
    assert json.loads(line)["explanation"]["text"] == f"where {evil}is my parcel"


def test_sentiment_labels_are_found_by_their_meaning_or_named_in_the_settings(built, tmp_path, monkeypatch):
    names = {"negative": "差评", "neutral": "一般", "positive": "好评"}
    folder = shutil.copytree(built, tmp_path / "copy")
    rows = (folder / "monitoring" / "labelled.csv").read_text("utf-8")
    for old, new in names.items():
        rows = rows.replace(f",{old}", f",{new}")
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    shutil.rmtree(folder / "models" / "sentiment")
    encoder = load_settings(folder).models.encoder
    options = ["--method", "head", "--epochs", "1", "--base", encoder, "--out", folder / "models" / "sentiment"]
    run("finetune", "classifier", "--train", tmp_path / "rows.csv", "--label-column", "sentiment", *options)
    with pytest.raises(WorkspaceError, match=r"set monitoring\.negative_label in tunechain\.toml to one of .*'差评'"):
        build_monitoring(load_settings(folder))
    with (folder / SETTINGS_NAME).open("a", encoding="utf-8") as file:
        file.write('[monitoring]\nnegative_label = "差评"\npositive_label = "好评"\n')
    report = build_monitoring(load_settings(folder)).invoke({"posts": surge_posts()})
    assert sum(point.negative for point in report.trend) > 40  # the surge has 48


@pytest.mark.parametrize("user", ["u1", "nobody", "[/b]"])
def test_recommend_gives_a_list(built, user):
    (result,) = read_json(run("recommend", user, "-k", 4, "-w", built, "--json"))
    recommendation = Recommendation.model_validate(result)
    assert (recommendation.user, recommendation.cold) == (user, user != "u1")
    assert len(recommendation.items) == 4
    assert f"For {user}" in run("recommend", user, "-w", built).stdout


def test_recommend_searches(built):
    (result,) = read_json(run("recommend", "u1", "-q", "a red card under 10", "-w", built, "--json"))
    # the encoder of the tests has random weights, so which one comes first means nothing
    assert any("red card" in item["title"] for item in result["items"])
    assert all(item["price"] <= 10 for item in result["items"])


def test_events_of_a_file_are_imported_once(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "shop")
    rows = [("new", "i1", "buy", "2026-02-01T00:00:00Z"), ("new", "gone", "buy", "2026-02-01T00:00:00Z")]
    rows += [("new", "i2", "hide", "2026-02-01T00:00:00Z"), ("new", "i1", "buy", "2026-02-01T00:00:00.5Z")]
    path = write_csv(tmp_path / "more.csv", ("user", "item", "event", "time"), rows)
    first = run("events", "import", path, "-w", folder)
    assert "2 events recorded, 1 were there already, 1 set aside" in first.stdout
    assert "line 3 set aside" in first.stderr
    (again,) = read_json(run("events", "import", path, "-w", folder, "--json"))
    assert (again["num_recorded"], again["num_repeated"], again["num_set_aside"]) == (0, 3, 1)
    (listed,) = read_json(run("recommend", "new", "-k", 16, "-w", folder, "--json"))
    assert not listed["cold"]
    assert not {"i1", "i2"} & {item["id"] for item in listed["items"]}


def test_recommendation_is_retrained_and_rolled_back(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "copy")
    (report,) = read_json(run("retrain", "recommendation", "-w", folder, "--json"))
    assert (report["promoted"], report["generation"]) == (True, "g000001")
    said = run("retrain", "recommendation", "-w", folder).stdout
    assert "not promoted: no events came since" in said
    late = "2026-05-01T00:00:00Z"
    path = write_csv(tmp_path / "more.csv", ("user", "item", "event", "time"), [("new", "i1", "buy", late)])
    run("events", "import", path, "-w", folder)
    assert "promoted as g000002: only 1 people" in run("retrain", "recommendation", "-w", folder).stdout
    assert run("rollback", "recommendation", "-w", folder).stdout == "g000001 is in use again\n"
    run("events", "import", path, "-w", folder)
    assert run("retrain", "recommendation", "-w", folder).exit_code == 0
    assert read_json(run("rollback", "recommendation", "-w", folder, "--json")) == [{"generation": "g000001"}]
    with pytest.raises(WorkspaceError, match="no earlier generation"):
        roll_back_recommendation(load_settings(folder))


@pytest.mark.parametrize("what", ["intent", "customer-service", "monitoring", "recommendation"])
def test_evaluate_gives_metrics_and_baselines(built, what):
    (outcome,) = read_json(run("evaluate", what, "-w", built, "--json"))
    assert set(outcome) - {"budget"} == {"metrics", "baselines"}
    if what == "customer-service":
        assert outcome["budget"]["promised"]["budget"] == 0.05
        assert "budget of wrong answers: 5.0% of the messages" in run("evaluate", what, "-w", built).stdout
        assert ServiceScores.model_validate(outcome["metrics"]).num_messages == 11
    assert "tunechain" in run("evaluate", what, "-w", built).stdout


def test_evaluate_takes_other_rows(built, tmp_path):
    data = write_csv(tmp_path / "rows.csv", ("text", "topic"), [("my card", "cards")])
    (outcome,) = read_json(run("evaluate", "topic", "--data", data, "-w", built, "--json"))
    assert outcome["metrics"]["accuracy"] in (0.0, 1.0)


def test_the_workspace_may_be_named_by_the_environment(built, monkeypatch):
    monkeypatch.setenv("TUNECHAIN_WORKSPACE", str(built))
    assert len(read_json(run("ask", "where is my parcel 3", "--json"))) == 1


def _error_cases():
    train = ["finetune", "classifier", "--out", "{tmp}/m", "--base", "{encoder}", "--method", "head", "--train"]
    return {
        "WorkspaceError": (["ask", "hi"], "no tunechain.toml in"),
        "WorkspaceError, named": (["ask", "hi", "-w", "{tmp}/none"], "is no workspace"),
        "WorkspaceError, in the way": (["init", "{raw}"], "is not empty"),
        "SettingsError": (["ask", "hi", "-w", "{tmp}/broken"], "'modles'"),
        "NotBuiltError": (["ask", "hi", "-w", "{raw}"], "build it with: tunechain quickstart"),
        "ModelNotFoundError": (["classify", "{tmp}/none", "hi"], "none"),
        "ModelFolderError": (
            [*train, "{raw}/customer_service/intents.csv", "--out", "{raw}", "--label-column", "intent"],
            "raw",
        ),
        "DataFileError": ([*train, "{tmp}/none.csv"], "there is no file"),
        "DataFileError, column": ([*train, "{raw}/customer_service/intents.csv"], "'label' is needed"),
        "SettingsError, recipe": (["finetune", "--recipe", "{tmp}/none.toml"], "there is no recipe"),
        "SettingsError, no task": (["finetune", "--train", "{raw}/a.csv"], "there is no task"),
        "SettingsError, no rows": (["finetune", "classifier"], "--train FILE"),
        "SettingsError, no folder": (["finetune", "tagger", "--train", "{raw}/a.csv"], "--out DIR"),
        "SettingsError, other task": ([*train, "{raw}/a.csv", "--packing"], "only for chat"),
        "OptionValueError": ([*train, "{raw}/a.csv", "--epochs", "0"], "epochs must be at least 1"),
        "TrainingDataError": (
            [*train, "{raw}/customer_service/questions.csv", "--text-column", "question", "--label-column", "question"],
            "single example",
        ),
        "DocumentError": (["index", "{tmp}/none.md", "-w", "{raw}"], "none.md cannot be read"),
        "StoreMismatchError": (["index", "-w", "{mismatch}"], "was built with"),
        "ChainInputError": (["ask", " ", "-w", "{built}"], "text is empty"),
        "InputTextError": (["ask", "caf\udce9", "-w", "{built}"], "lone surrogate at position 3"),
        "InputTextError, user": (["recommend", "\udce9", "-w", "{built}"], "lone surrogate"),
        "InputTextError, classify": (["classify", "{built}/models/intent", "a\udce9"], "lone surrogate"),
        "DataFileError, watch": (["watch", "{tmp}/none.jsonl", "-w", "{built}"], "there is no file"),
        "DataFileError, evaluate": (
            ["evaluate", "topic", "--data", "{raw}/customer_service/intents.csv", "-w", "{built}"],
            "'topic'",
        ),
    }


@pytest.mark.parametrize("name", _error_cases())
def test_an_error_of_ours_ends_with_its_message_and_exit_code_1(
    fail, tmp_path, raw, built, encoder_folder, chat_folder, name
):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / SETTINGS_NAME).write_text("[modles]\n", encoding="utf-8")
    mismatch = shutil.copytree(raw, tmp_path / "mismatch")
    if name == "StoreMismatchError":
        run("index", "-w", mismatch)
        other = shutil.copytree(encoder_folder, tmp_path / "other")
        (other / "config.json").write_text((other / "config.json").read_text() + "\n")
        text = (mismatch / SETTINGS_NAME).read_text(encoding="utf-8")
        (mismatch / SETTINGS_NAME).write_text(text.replace(str(encoder_folder), str(other)), encoding="utf-8")
    places = {"tmp": tmp_path, "raw": raw, "built": built, "encoder": encoder_folder, "mismatch": mismatch}
    args, message = _error_cases()[name]
    code, said = fail(*(arg.format(**places) for arg in args))
    assert code == 1
    assert said.startswith("error: ")
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["unknown"], "No such command"),
        (["ask", "--colour"], "No such option"),
        (["recommend"], "Missing argument"),
        (["recommend", "u", "-k", "0"], "greater than or equal to 1"),
        (["recommend", ""], "at least one character"),
        (["init", "w", "--language", "fr"], "fr"),
        (["finetune", "fortune", "--train", "a", "--out", "b"], "fortune"),
        (["finetune", "classifier", "--epochs", "many"], "--epochs"),
        (["evaluate", "monitoring", "--data", "a.csv"], "--data is for intent"),
    ],
)
def test_a_call_that_cannot_be_meant_ends_with_exit_code_2(fail, args, message):
    code, said = fail(*args)
    assert code == 2
    assert message in said.replace("\n", " ")


def test_help_lists_every_command():
    said = run("--help").stdout
    assert all(f" {command} " in said for command in COMMANDS)
    assert sorted(info.name or info.callback.__name__ for info in app.registered_commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    said = run(command, "--help").stdout
    assert "Usage:" in said
    assert len(said.splitlines()) > 5
    assert ("--json" in said) == (command not in {"mcp", "serve"})


def _python(*args, **options):
    return subprocess.run([sys.executable, *map(str, args)], capture_output=True, check=False, timeout=120, **options)


def test_help_loads_none_of_the_heavy_libraries():
    result = _python("-c", SHOW_IMPORTS, "--help", cwd=app_root())
    loaded = set(result.stderr.decode().strip().split("\n")[-1].split(","))
    assert b"quickstart" in result.stdout
    heavy = {"torch", "transformers", "sentence_transformers", "langchain_core", "pydantic", "numpy", "faiss", "yaml"}
    assert not heavy & loaded


def test_with_exported_encoders_a_question_loads_no_torch(built, tmp_path, encoder_folder):
    pytest.importorskip("nncf")
    shop, encoder = shutil.copytree(built, tmp_path / "shop"), shutil.copytree(encoder_folder, tmp_path / "encoder")
    toml = (shop / SETTINGS_NAME).read_text("utf-8").replace(str(encoder_folder), str(encoder))
    (shop / SETTINGS_NAME).write_text(toml.replace("encoder_engine = 'torch'", ""), encoding="utf-8")
    question = ["ask", "where is my parcel 3", "-w", shop, "--json"]
    (before,) = read_json(run(*question))
    export_encoders(load_settings(shop))
    assert list(encoder.glob("openvino/*/manifest.json"))
    assert list(shop.glob("models/intent/openvino/*/manifest.json"))
    result = _python("-c", SHOW_IMPORTS, *question, cwd=app_root())
    loaded = set(result.stderr.decode().strip().split("\n")[-1].split(","))
    assert not {"torch", "transformers", "sentence_transformers"} & loaded
    after = json.loads(result.stdout)
    assert {**after, "probability": None, "steps": []} == {**before, "probability": None, "steps": []}


def app_root():
    """The folder of the packages."""
    from tests.conftest import REPOSITORY

    return REPOSITORY


def test_bytes_that_are_no_text_are_one_bad_line_whatever_the_locale(raw):
    lines = [json.dumps(post).encode() for post in posts(3)]
    lines[1:1] = [b"\xff\xfe", json.dumps(posts(1)[0] | {"text": "Q"}).encode().replace(b"Q", b"\xe9")]
    environment = {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"}
    call = ["-c", WATCH_WITH_FAKES, "watch", "-", "-w", raw]
    result = _python(*call, cwd=app_root(), input=b"\n".join(lines), env=environment)
    assert result.returncode == 0, result.stderr
    said = result.stderr.decode()
    assert "standard input line 2 set aside" in said
    assert "line 3 set aside" in said
    assert "bytes that are not UTF-8" in said
    assert result.stdout == b""


def test_json_is_utf_8_and_an_error_has_no_traceback_in_a_real_process(built, tmp_path):
    call = "from apps.cli import main; main()"
    environment = {"PYTHONIOENCODING": "latin-1", "HF_HUB_OFFLINE": "1"}
    options = {"cwd": app_root(), "env": environment}
    result = _python("-c", call, "init", tmp_path / "退货", "--json", **options)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.decode("utf-8"))["workspace"].endswith("退货")
    result = _python("-c", call, "init", tmp_path / "退货", **options)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.decode("utf-8").startswith("error: ")
    assert "退货 is not empty" in result.stderr.decode("utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("args", [["models", "list", "--json"], ["models", "list"], ["--help"], ["finetune", "--help"]])
def test_a_full_disk_is_one_line_and_exit_code_1(args):
    command = [sys.executable, "-c", "from apps.cli import main; main()", *args]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "error: standard output cannot be written: No space left on device\n"


def test_a_file_that_cannot_be_written_is_not_blamed_on_standard_output(tmp_path):
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); from apps.cli import main; main()"
    )
    ended = _python("-c", limited, "init", tmp_path / "w", cwd=app_root())
    assert (ended.returncode, ended.stdout) == (1, b"")
    (said,) = ended.stderr.decode().splitlines()
    assert said.startswith(f"error: {tmp_path / 'w'} cannot be written: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
def test_a_command_that_cannot_write_its_file_names_it_in_one_line(fail, monkeypatch, number):
    def cannot_write(*_, **__):
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("apps.workspace.create_workspace", cannot_write)
    assert fail("init", "w") == (1, f"error: some/file cannot be written: {os.strerror(number)}\n")
