"""A training report survives its file, errors worth reading come first, and figures are said in plain words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llms.errors import ModelFolderError, ModelNotFoundError
from llms.finetuning.report.report import (
    ErrorExample,
    TrainingReport,
    folder_size_bytes,
    pick_errors,
    read_report,
    write_report,
)
from llms.finetuning.report.wording import describe_limits, describe_thresholds, format_figure, show_base_model
from tests.training_reports import make_multi_label_report, make_report, make_tagger_report

_examples = st.lists(
    st.builds(
        ErrorExample,
        text=st.just("x"),
        expected=st.sampled_from("ab"),
        predicted=st.sampled_from("abc"),
        probability=st.none() | st.floats(0, 1),
    ),
    max_size=30,
)


@pytest.mark.parametrize("make", [make_report, make_tagger_report, make_multi_label_report])
def test_a_report_is_read_as_it_was_written(make, tmp_path):
    report = make()
    assert write_report(report, tmp_path) == tmp_path / "report.json"
    assert read_report(tmp_path) == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_loss_that_broke_down_survives(tmp_path):
    write_report(make_report(learning_curve=({"epoch": 1.0, "loss": float("nan")},)), tmp_path)
    assert str(read_report(tmp_path).learning_curve[0]["loss"]) == "nan"


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_report(make_report(), tmp_path)

    def fail(*args):
        raise OSError

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError):
        write_report(make_report(seed=8), tmp_path)
    assert read_report(tmp_path).seed == 7
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match="folder of a saved model"):
        write_report(make_report(), tmp_path / "none")


@pytest.mark.parametrize("content", ["{}", "no json", '{"task": "chat", "unknown": 1}'])
def test_a_file_that_is_no_report_is_refused(content, tmp_path):
    (tmp_path / "report.json").write_text(content, "utf-8")
    with pytest.raises(ModelFolderError, match="no report of a training run"):
        read_report(tmp_path)


def test_a_folder_without_a_report_is_refused(tmp_path):
    with pytest.raises(ModelFolderError, match="train the model again"):
        read_report(tmp_path)


def test_unknown_parts_are_refused():
    with pytest.raises(ValidationError, match="looss"):
        make_report(looss=1)


def test_a_report_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        make_report().seed = 1


def test_the_size_counts_files_in_folders_too(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "y").write_bytes(b"45")
    assert folder_size_bytes(tmp_path) == 5


@given(_examples, st.integers(0, 10))
def test_each_kind_of_mistake_comes_before_any_repeats(examples, limit):
    picked = pick_errors(examples, limit=limit)
    kinds = [(error.expected, error.predicted) for error in picked]
    everything = {(error.expected, error.predicted) for error in examples if error.expected != error.predicted}
    assert len(picked) <= limit
    assert len(set(kinds)) == min(limit, len(everything))
    assert len(set(kinds[: len(everything)])) == len(kinds[: len(everything)])
    first = [-1 if error.probability is None else error.probability for error in picked[: len(everything)]]
    assert first == sorted(first, reverse=True)


def test_a_reason_says_how_sure_and_how_often():
    wrong = {"expected": "a", "predicted": "b"}
    errors = pick_errors(
        [
            ErrorExample(text="1", probability=0.9, **wrong),
            ErrorExample(text="2", **wrong),
            ErrorExample(text="3", expected="a", predicted="c", reason="stays"),
        ]
    )
    assert [error.reason for error in errors] == [
        "90 % sure and wrong; one of 2 mistakes of this kind",
        "stays",
        "one of 2 mistakes of this kind",
    ]


def test_thresholds_say_what_they_promise():
    first, second, third = describe_thresholds(make_report().thresholds)
    assert first == (
        "An answer is accepted from a probability of 0.620 on, set so that 95 % of the accepted answers are right. "
        "Where it was measured, 96.2 % of the accepted answers (84 % of all) were right; on texts like those, at least "
        "92.1 % are, with 95 % confidence. More rows are needed before 95 % can be promised."
    )
    assert second == (
        "Every label with a probability of at least 0.120 belongs to a set that holds the right label of 95 % of texts "
        "like those held out."
    )
    assert "less than 0.310 counts as out of scope" in third
    assert "set of possible labels" in describe_thresholds({"label_set_min_probability": 0.1})[0]
    assert describe_thresholds({"min_probability": 0.5}) == ["An answer is accepted from a probability of 0.500 on."]
    assert describe_thresholds({}) == []


def test_limits_name_the_labels_with_few_rows():
    limits = " ".join(describe_limits(make_report(data={"rows_per_label": {f"label {i}": i for i in range(9)}})))
    assert "“label 0” (0), “label 1” (1)" in limits
    assert "and 4 more" in limits
    assert "fewer than 20 test rows, whose figures say little: “delivery” (10)" in limits


def test_limits_name_what_was_not_measured():
    assert any("not made for" in limit for limit in describe_limits(make_tagger_report()))
    assert not any("not made for" in limit for limit in describe_limits(make_report()))
    assert any("languages" in limit for limit in describe_limits(make_report()))
    assert not any("languages" in limit for limit in describe_limits(make_report(), languages_known=True))


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("org/model", ("org/model", True)),
        ("bert-base-uncased", ("bert-base-uncased", True)),
        ("/home/ada/models/mine/", ("mine", False)),
        ("..\\models\\mine", ("mine", False)),
        ("C:\\models\\mine", ("mine", False)),
        ("~/mine", ("mine", False)),
        ("a/b/c", ("c", False)),
        ("", ("unnamed", False)),
    ],
)
def test_of_a_path_only_the_last_part_is_shown(base, shown):
    assert show_base_model(base) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "1.000"), (0, "0.000"), (12.0, "12"), (1234, "1,234"), (2.5, "2.500")]
)
def test_counts_are_shown_without_digits(value, shown):
    assert format_figure(value) == shown


def test_the_report_of_metrics_fits_without_a_change():
    assert isinstance(make_multi_label_report(), TrainingReport)
    assert make_multi_label_report().per_class.hamming_loss == pytest.approx(2 / 6)
