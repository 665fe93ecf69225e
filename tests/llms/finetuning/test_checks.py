"""The report before training: what is counted, what is said to do, and that the order of rows changes nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.finetuning.data.checks import check_labelled_texts
from llms.finetuning.data.examples import LabelledText, LabelledTexts, MultiLabelText, MultiLabelTexts
from llms.finetuning.data.labelled_files import read_labelled_texts
from llms.finetuning.data.report import DataReport
from llms.finetuning.data.tables import RejectedRow

CLEAN = [f"{verb} the {noun}" for verb in ("open", "close", "paint") for noun in ("door", "window", "bridge", "gate")]


def _check(*pairs, **options):
    return check_labelled_texts(_texts(*pairs), **options)


def _texts(*pairs, rejected=()):
    rows = [LabelledText(text, label, line=line) for line, (text, label) in enumerate(pairs, start=2)]
    return LabelledTexts(rows, list(rejected))


def _clean():
    return [
        (text, label) for label, texts in (("x", CLEAN), ("y", [f"{text} loudly" for text in CLEAN])) for text in texts
    ]


def test_clean_rows_bring_figures_and_no_warning():
    words = ["apple", "river", "stone", "cloud", "tiger", "piano", "candle", "forest", "mirror", "button"]
    rows = [(word, "x") for word in words] + [(word[::-1], "y") for word in words]
    report = _check(*rows)
    assert (report.warnings, report.errors) == ([], [])
    assert (report.num_rows, report.rows_per_label) == (20, {"x": 10, "y": 10})
    assert (report.lengths.median, report.lengths.max, report.chinese_share) == (5.0, 6, 0.0)


def test_rows_that_repeat_a_text_are_counted_with_their_lines():
    report = _check(("My card!", "x"), ("my card", "x"), ("MY CARD", "x"), ("other", "y"), ("3.5", "y"), ("35", "y"))
    assert report.num_duplicates == 2
    (repeated,) = report.duplicates
    assert (repeated.num_rows, repeated.lines) == (3, [2, 3, 4])
    assert any("rows that repeat the text of another: 2;" in warning for warning in report.warnings)


def test_a_text_under_different_labels_is_listed_with_all_of_them():
    report = _check(("My card!", "x"), ("my card", "y"), ("other", "y"), ("other", "y"))
    (conflict,) = report.conflicts
    assert (report.num_conflicts, conflict.labels, conflict.lines) == (1, ["x", "y"], [2, 3])
    assert any("'My card!' under 'x' and 'y'; decide on one for each" in warning for warning in report.warnings)


def test_rare_labels_are_warned_of_and_single_ones_are_errors():
    report = _check(("a", "x"), ("b", "x"), ("c", "y"))
    assert report.rare_labels == {"x": 2, "y": 1}
    assert "single example: 'y'" in report.errors[0]
    assert any("labels with fewer than 10 rows: 2, such as 'x' (2)" in warning for warning in report.warnings)


def test_rows_set_aside_are_shown_with_their_number_and_the_first_of_them():
    rejected = [RejectedRow(line, "empty label") for line in range(3, 33)]
    report = check_labelled_texts(_texts(("a", "x"), rejected=rejected), _texts(("b", "x"), rejected=rejected[:1]))
    assert (report.num_rejected, len(report.rejected)) == (30, 20)
    assert report.warnings[0].startswith("training rows set aside: 30, the first in line 3 (empty label)")
    assert report.warnings[1].startswith("test rows set aside: 1,")


def test_near_twins_are_shown_most_similar_first():
    report = _check(("How do I reset my password?", "x"), ("How do I reset my passwords", "x"), ("Where is it?", "y"))
    assert report.num_near == 2
    assert {report.near[0].text, report.near[0].twin} == {"How do I reset my password?", "How do I reset my passwords"}


def test_where_not_all_texts_were_compared_the_report_says_so():
    report = _check(*_clean(), max_near_texts=10)
    assert report.num_near_looked_at == 10
    assert any("texts not compared for near twins: 14 of 24" in warning for warning in report.warnings)


def test_test_texts_that_stand_in_training_are_counted():
    train = _texts(("How do I reset my password?", "x"), ("Where is my order?", "y"))
    test = _texts(("where is my ORDER", "y"), ("How do I reset my passwords?", "x"), ("Good morning", "z"))
    leakage = check_labelled_texts(train, test).leakage
    assert (leakage.num_exact, leakage.num_either, leakage.either_share) == (1, 2, 0.667)
    assert leakage.exact == ["where is my ORDER"]
    assert [twin.twin for twin in leakage.near] == ["How do I reset my password?"]
    assert leakage.new_labels == ["z"]
    warnings = check_labelled_texts(train, test).warnings
    assert any(
        "test rows equal or nearly equal to a training text: 2 of 3 (66.7%), 1 of them equal" in warning
        for warning in warnings
    )
    assert any("labels in test rows only: 1, such as 'z'" in warning for warning in warnings)


def test_rows_with_several_labels_are_checked_too():
    rows = [MultiLabelText("a", ("x", "y")), MultiLabelText("A!", ("x",)), MultiLabelText("b"), MultiLabelText("B")]
    report = check_labelled_texts(MultiLabelTexts(rows), MultiLabelTexts(rows[:1]))
    assert (report.rows_per_label, report.num_without_label, report.num_duplicates) == ({"x": 2, "y": 1}, 2, 2)
    assert [conflict.labels for conflict in report.conflicts] == [["x", "x, y"]]


def test_no_rows_are_reported_not_crashed_on():
    report = check_labelled_texts(LabelledTexts([]), LabelledTexts([]))
    assert report.num_rows == report.leakage.num_test_rows == 0
    assert "at least two labels" in report.errors[0]
    assert report.to_markdown().startswith("# Training data")


def test_the_report_is_json_and_markdown_that_data_cannot_break():
    nasty = "a | b\n# <script> [x](y)"
    report = check_labelled_texts(_texts((nasty, "x"), (nasty, "y|z"), ("b", "y|z")), _texts((nasty, "x")))
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    text = report.to_markdown()
    assert "## Conflicting labels" in text
    assert "## Test texts in training" in text
    assert "<script>" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("| a")]
    assert rows
    assert all(line.replace("\\|", "").count("|") in (2, 4) for line in rows)


_rows = st.lists(
    st.builds(
        LabelledText,
        text=st.sampled_from(["my card", "My card!", "my cards", "卡", "3.5", ""]),
        label=st.sampled_from("xy"),
    ),
    max_size=12,
)


@given(_rows, _rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(train, test, random):
    reports = [
        check_labelled_texts(LabelledTexts(some), LabelledTexts(others))
        for some, others in ((train, test), (random.sample(train, len(train)), random.sample(test, len(test))))
    ]
    assert reports[0] == reports[1]
    assert reports[0].num_duplicates >= sum(entry.num_rows - 1 for entry in reports[0].duplicates)


def test_a_report_cannot_be_changed():
    assert isinstance(_check(("a", "x")), DataReport)
    with pytest.raises(AttributeError):
        _check(("a", "x")).num_rows = 2


@pytest.mark.slow
@pytest.mark.data
def test_the_known_faults_of_banking77_are_found(data_folder):
    train, test = (
        read_labelled_texts(data_folder / "banking77" / f"{name}.csv", label_column="category")
        for name in ("train", "test")
    )
    report = check_labelled_texts(train, test)
    assert (report.num_duplicates, report.num_conflicts) == (32, 1)
    assert report.leakage.num_exact == 29
    assert report.leakage.num_near == pytest.approx(497, abs=5)
