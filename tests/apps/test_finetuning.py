"""From rows to a model with everything that is known about it, for every task, through the command line."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from apps.cli import app
from apps.finetuning import finetune_and_evaluate
from apps.tasks.classifier import ClassifierTask
from llms import LocalChatModel, LocalClassifier, LocalEmbeddings, LocalReranker, LocalTagger
from llms.errors import TrainingDataError
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.report.report import read_report
from tests.apps.workspaces import LABELS, write_csv, write_jsonl

FILES = ("report.json", "report.html", "README.md", "data_report.md", "recipe.toml", "manifest.json")
PATHS = {"model", "report", "page", "card", "data_report", "recipe"}


def run(*args, code=0):
    """Run `tunechain finetune`, which must end with this code, and return its result."""
    result = CliRunner().invoke(app, ["finetune", *map(str, args)])
    if code != "error":
        assert result.exit_code == code, (result.output, result.exception)
    return result


def read_json(result):
    """The one JSON object of standard output, without NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    (line,) = result.stdout.splitlines()
    return json.loads(line, parse_constant=refuse)


def labelled(numbers):
    return [(text.format(number), label) for label, text in LABELS.items() for number in numbers]


@pytest.fixture
def rows(tmp_path):
    """Files of training and test rows for a classifier."""
    train = write_csv(tmp_path / "train.csv", ("text", "label"), labelled(range(10)))
    return train, write_csv(tmp_path / "test.csv", ("text", "label"), labelled(range(20, 23)))


@pytest.fixture
def classify(tmp_path, encoder_folder):
    """Arguments of a quick training of a classifier."""
    return ["classifier", "--base", encoder_folder, "--method", "head", "--out", tmp_path / "model"]


def write_tagged(path, numbers):
    texts = [(f"my {thing} is lost {number}", thing) for number in numbers for thing in ("card", "parcel", "order")]
    return write_jsonl(path, [{"text": text, "spans": [[3, 3 + len(thing), "thing"]]} for text, thing in texts])


def write_chats(path, numbers):
    chats = [[("user", f"hi {number}"), ("assistant", f"order {number}")] for number in numbers]
    return write_jsonl(
        path, [{"messages": [{"role": role, "content": content} for role, content in chat]} for chat in chats]
    )


def write_pairs(path, numbers):
    pairs = [(f"where is order {number}", f"the order {number} is late") for number in numbers]
    return write_csv(path, ("query", "document"), pairs)


TASKS = {
    "classifier": (lambda path, numbers: write_csv(path, ("text", "label"), labelled(numbers)), ".csv", "accuracy"),
    "tagger": (write_tagged, ".jsonl", "micro_f1"),
    "chat": (write_chats, ".jsonl", "loss"),
    "embeddings": (write_pairs, ".csv", "mrr_at_10"),
    "reranker": (write_pairs, ".csv", "mrr_at_10"),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_a_model_with_reports(tmp_path, encoder_folder, chat_folder, task):
    write, suffix, metric = TASKS[task]
    train = write(tmp_path / f"train{suffix}", range(12))
    test = write(tmp_path / f"test{suffix}", range(20, 24))
    base = chat_folder if task == "chat" else encoder_folder
    folder = tmp_path / "model [b]"
    args = [task, "--train", train, "--test", test, "--base", base, "--epochs", 1, "--track", "none", "--out", folder]
    outcome = read_json(run(*args, "--max-tokens", 60, "--json"))
    assert set(outcome) == {"task", "metrics", "baselines", "warnings", "paths", "seconds"}
    assert (outcome["task"], set(outcome["paths"])) == (task, PATHS)
    assert next(iter(outcome["metrics"])) == metric
    assert outcome["baselines"]
    assert all(metric in figures for figures in outcome["baselines"].values())
    assert all((folder / name).stat().st_size for name in FILES)
    report = read_report(folder)
    assert report.metrics == outcome["metrics"]
    assert report.rows.test == len([line for line in test.read_text().splitlines() if line]) - (suffix == ".csv")
    assert 0 < report.rows.train <= 36
    assert report.learning_curve
    assert report.data["sha256"]
    assert report.command.startswith(f"tunechain finetune {task} --out 'model [b]' --train train{suffix}")
    assert all(str(tmp_path) not in (folder / name).read_text("utf-8") for name in FILES[:1] + FILES[2:5])
    shown = run("--recipe", folder / "recipe.toml").stdout
    assert metric.replace("_", " ") in " ".join(shown.split())
    assert ("f1-score" in shown) == (task == "tagger")
    again = read_report(folder)
    assert (again.metrics, again.baselines) == (report.metrics, report.baselines)
    assert again.command == "tunechain finetune --recipe recipe.toml"


def test_models_of_every_kind_load_with_the_reports_in_their_folder(tmp_path, encoder_folder, chat_folder):
    loading = {
        "tagger": LocalTagger,
        "chat": lambda folder: LocalChatModel(model=str(folder)),
        "embeddings": LocalEmbeddings,
        "reranker": LocalReranker,
    }
    for task, load in loading.items():
        write, suffix, _ = TASKS[task]
        train = write(tmp_path / f"{task}{suffix}", range(10))
        base = chat_folder if task == "chat" else encoder_folder
        run(task, "--train", train, "--base", base, "--epochs", 1, "--track", "none", "--out", tmp_path / task)
        assert load(tmp_path / task)


def test_a_chat_adapter_is_measured_beside_its_base(tmp_path, chat_folder):
    train = write_chats(tmp_path / "chats.jsonl", range(10))
    args = ["chat", "--train", train, "--base", chat_folder, "--method", "lora", "--keep-adapter", "--epochs", 6]
    outcome = read_json(run(*args, "--learning-rate", "0.05", "--out", tmp_path / "adapter", "--json"))
    assert outcome["metrics"]["perplexity"] < outcome["baselines"]["the base model"]["perplexity"]
    assert read_report(tmp_path / "adapter").rows.test == 2


def test_chats_too_few_to_keep_some_apart_are_trained_without_figures_of_others(tmp_path, chat_folder):
    train = write_chats(tmp_path / "chats.jsonl", range(3))
    outcome = read_json(
        run("chat", "--train", train, "--base", chat_folder, "--epochs", 1, "--out", tmp_path / "m", "--json")
    )
    assert outcome["metrics"]["train_loss"] > 0
    assert read_report(tmp_path / "m").rows.test == 0


def test_embeddings_learn_from_labels_where_their_column_is_named(tmp_path, rows, encoder_folder):
    args = ["embeddings", "--train", rows[0], "--base", encoder_folder, "--epochs", 1, "--track", "none"]
    outcome = read_json(run(*args, "--label-column", "label", "--out", tmp_path / "m", "--json"))
    assert set(outcome["baselines"]) == {"the base model", "character TF-IDF"}


@pytest.mark.parametrize("with_test", [True, False])
def test_figures_come_from_test_rows_or_from_a_fifth_kept_apart(rows, classify, with_test):
    train, test = rows
    args = [*classify, "--train", train, *(["--test", test] if with_test else [])]
    outcome = read_json(run(*args, "--json"))
    report = read_report(classify[-1])
    assert report.rows.test == (9 if with_test else 6)
    assert report.rows.train + report.rows.held_out == (30 if with_test else 24)
    assert set(outcome["baselines"]) == {"character TF-IDF + linear SVM", "most frequent label"}
    assert report.data["rows_per_label"] == dict.fromkeys(sorted(LABELS), 10 if with_test else 8)
    assert report.reliability
    assert {"min_probability", "min_in_scope", "accepted_accuracy_wanted"} <= set(report.thresholds)
    shown = run(*args).stdout
    assert "macro f1" in shown
    assert "most frequent" in shown
    assert LocalClassifier(classify[-1]).invoke("where is my parcel").label in LABELS


def test_a_label_that_training_never_saw_is_counted_wrong_and_named(tmp_path, rows, classify):
    test = write_csv(tmp_path / "new.csv", ("text", "label"), [*labelled(range(20, 22)), ("hello there", "greeting")])
    result = run(*classify, "--train", rows[0], "--test", test, "--json")
    outcome = read_json(result)
    report = read_report(classify[-1])
    assert report.data["leakage"]["new_labels"] == ["greeting"]
    assert any("labels in test rows only: 1, such as 'greeting'" in warning for warning in outcome["warnings"])
    assert "greeting" in result.stderr
    (error,) = [error for error in report.errors if error.expected == "greeting"]
    assert error.reason == "no training row has the label 'greeting'"
    assert report.per_class.classes["greeting"].recall == 0
    assert outcome["metrics"]["accuracy"] <= 6 / 7


def test_errors_come_with_the_nearest_training_texts(tmp_path, rows, classify):
    wrong = [(text, "card" if label != "card" else "track") for text, label in labelled([3])]
    test = write_csv(tmp_path / "wrong.csv", ("text", "label"), wrong)
    run(*classify, "--train", rows[0], "--test", test)
    errors = read_report(classify[-1]).errors
    assert errors
    for error in errors:
        assert len(error.neighbours) == 3
        similarities = [near.similarity for near in error.neighbours]
        assert similarities == sorted(similarities, reverse=True)
        assert (error.neighbours[0].text, similarities[0]) == (error.text, pytest.approx(1, abs=1e-3))


def test_texts_may_have_several_labels(tmp_path, classify):
    rows = [
        (text, f"{label};even" if number % 2 else label) for number, (text, label) in enumerate(labelled(range(10)))
    ]
    train = write_csv(tmp_path / "multi.csv", ("text", "tags"), rows)
    args = ["--train", train, "--label-column", "tags", "--multi-label", "--label-separator", ";"]
    outcome = read_json(run(*classify, *args, "--json"))
    assert list(outcome["metrics"]) == ["micro_f1", "macro_f1", "subset_accuracy", "hamming_loss"]
    assert set(outcome["baselines"]) == {"character TF-IDF + linear SVM", "most frequent labels"}
    assert read_report(classify[-1]).per_class.hamming_loss == outcome["metrics"]["hamming_loss"]


def test_noisy_copies_are_learnt_and_not_judged_by(rows, classify):
    run(*classify, "--train", rows[0], "--test", rows[1])
    before = read_report(classify[-1])
    run(*classify, "--train", rows[0], "--test", rows[1], "--augment", 2)
    after = read_report(classify[-1])
    assert (after.rows.train, after.rows.held_out) == (before.rows.train, before.rows.held_out)
    assert after.data["rows_per_label"] == before.data["rows_per_label"]
    assert "augment = 2" in (classify[-1] / "recipe.toml").read_text()


def test_rows_set_aside_are_named_with_their_file(tmp_path, rows, classify):
    train = write_csv(tmp_path / "gaps.csv", ("text", "label"), [*labelled(range(5)), ("", "card")])
    test = write_csv(tmp_path / "short.csv", ("text", "label"), [("only one cell",), *labelled(range(5))])
    result = run(*classify, "--train", train, "--test", test, "--json")
    assert len(result.stdout.splitlines()) == 1
    assert "gaps.csv line 17 set aside: empty text" in result.stderr
    assert "short.csv line 2 set aside: 1 cells" in result.stderr


def test_labels_of_test_rows_meet_those_of_training_rows(tmp_path, classify):
    names = {label: str(index) for index, label in enumerate(LABELS)}
    train = [(text, names[label]) for text, label in labelled(range(10))]
    write_csv(tmp_path / "train.csv", ("text", "label"), train)
    test = [f"{text};{names[label]}.0" for text, label in labelled(range(20, 23))]
    (tmp_path / "test.csv").write_text("\n".join(["sep=;", "text;label", *test]), encoding="utf-8")
    files = ["--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv"]
    assert read_json(run(*classify, *files, "--check-only", "--json"))["leakage"]["new_labels"] == []


def test_checking_trains_nothing_and_prints_the_report(rows, classify):
    result = run(*classify, "--train", rows[0], "--test", rows[1], "--check-only")
    assert result.stdout.startswith("# Training data")
    assert "nearly equal" in result.stderr
    assert not classify[-1].exists()
    checked = read_json(run(*classify[:-2], "--train", rows[0], "--check-only", "--json"))
    assert (checked["task"], checked["errors"], checked["label_errors"]) == ("classifier", [], [])
    assert checked["num_rows"] == 30


def test_checking_names_labels_that_are_probably_wrong(tmp_path, classify):
    right = labelled(range(10))
    rows = [*right[:-1], (right[-1][0], "track")]
    train = write_csv(tmp_path / "train.csv", ("text", "label"), rows)
    checked = read_json(run(*classify, "--train", train, "--check-only", "--json"))
    (error,) = checked["label_errors"]
    assert (error["label"], error["suggested_label"], error["line"]) == ("track", "card", 31)
    shown = run(*classify, "--train", train, "--check-only").stdout
    assert "line 31: i lost the card 9 — track, rather card" in shown


@pytest.mark.parametrize("task", ["classifier", "tagger", "embeddings", "reranker"])
def test_checking_ends_with_exit_code_1_where_training_would_refuse_the_rows(tmp_path, encoder_folder, task):
    write, suffix, _ = TASKS[task]
    train = write(tmp_path / f"train{suffix}", range(1))
    if task == "tagger":
        train = write_jsonl(tmp_path / "train.jsonl", [{"text": "a", "spans": []}, {"text": "b", "spans": []}])
    result = run(task, "--train", train, "--base", encoder_folder, "--check-only", "--json", code=1)
    assert len(read_json(result)["errors"]) == 1
    assert "error: training is impossible" in result.stderr
    refused = run(task, "--train", train, "--base", encoder_folder, "--out", tmp_path / "m", code="error")
    assert isinstance(refused.exception, TrainingDataError)
    assert not (tmp_path / "m").exists()


def test_checking_chats_finds_those_that_are_asked_again(tmp_path, chat_folder):
    train, test = write_chats(tmp_path / "a.jsonl", range(6)), write_chats(tmp_path / "b.jsonl", range(5, 8))
    checked = read_json(run("chat", "--train", train, "--test", test, "--base", chat_folder, "--check-only", "--json"))
    assert checked["leakage"]["num_exact"] == 1


def test_strict_refuses_rows_with_warnings_before_training(rows, classify):
    refused = run(*classify, "--train", rows[0], "--strict", code="error")
    assert isinstance(refused.exception, TrainingDataError)
    assert "leave --strict out" in str(refused.exception)
    assert not classify[-1].exists()


def test_the_written_recipe_repeats_the_training_elsewhere(tmp_path, rows, encoder_folder):
    first, second = tmp_path / "first", tmp_path / "deep" / "second"
    args = ["classifier", "--train", rows[0], "--base", encoder_folder, "--epochs", 2, "--seed", 3]
    outcome = read_json(run(*args, "--track", "none", "--out", first, "--json"))
    repeated = read_json(run("--recipe", first / "recipe.toml", "--out", second, "--json"))
    assert repeated["metrics"] == outcome["metrics"]
    assert repeated["baselines"] == outcome["baselines"]
    changed = read_json(run("--recipe", second / "recipe.toml", "--seed", 4, "--method", "head", "--json"))
    assert changed["paths"]["model"] == str(second)
    report = read_report(second)
    assert (report.seed, report.method) == (4, "head")


def test_a_recipe_may_say_everything(tmp_path, rows, encoder_folder):
    shutil.copy(rows[0], tmp_path / "mine.csv")
    (tmp_path / "recipe.toml").write_text(
        f'task = "classifier"\nout = "m"\n[data]\ntrain = "mine.csv"\n'
        f'[training]\nmethod = "head"\nbase = "{encoder_folder.as_posix()}"\n'
    )
    assert read_json(run("--recipe", tmp_path / "recipe.toml", "--json"))["paths"]["model"] == str(tmp_path / "m")


def test_rows_that_are_there_already_can_be_trained_on_from_python(tmp_path, encoder_folder):
    train, test = (LabelledTexts([LabelledText(*row) for row in labelled(part)]) for part in (range(8), range(20, 22)))
    options = ClassifierOptions(base=str(encoder_folder), method="head", show_progress=False)
    outcome = finetune_and_evaluate(ClassifierTask(), (train, test), tmp_path / "m", options)
    assert set(outcome.paths) == {"model", "report", "page", "card"}
    assert read_report(tmp_path / "m") == outcome.report
    assert outcome.report.command == ""


def test_other_processes_train_and_say_nothing(monkeypatch, rows, classify):
    monkeypatch.setattr("apps.finetuning.is_main_process", lambda: False)
    result = run(*classify, "--train", rows[0], "--json")
    assert (result.stdout, result.stderr) == ("", "")
    assert not (classify[-1] / "report.json").exists()
