"""Labels as texts: numbers, missing values, and spellings that are read the same."""

import json
import math

import pytest

from llms.errors import DataFileError
from llms.finetuning.data import (
    LabelledText,
    LabelledTexts,
    check_labelled_texts,
    read_labelled_texts,
    read_multi_label_texts,
    read_pairs,
    spell_labels_like,
)


def _json_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")  # NaN as json.dumps writes it
    return path


def _labels(tmp_path, *labels):
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    return read_labelled_texts(_json_lines(tmp_path / "rows.jsonl", rows))


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ([0, 1, 0.0, 1.0], ["0", "1", "0", "1"]),
        (["1", 1, 1.0], ["1", "1", "1"]),
        (["0.0", "1.0", "0"], ["0", "1", "0"]),
        (["2.0", "2.1", "2.0"], ["2.0", "2.1", "2.0"]),
        ([-1, -1.0, 1e3], ["-1", "-1", "1000"]),
        ([0.5, 0.25, 1.0], ["0.5", "0.25", "1"]),
        (["01", "1", "1"], ["01", "1", "1"]),
        ([True, False, True], ["True", "False", "True"]),
    ],
)
def test_a_number_is_the_same_label_however_it_is_written(tmp_path, labels, read):
    assert [row.label for row in _labels(tmp_path, *labels).rows] == read


@pytest.mark.parametrize("missing", [math.nan, None, "", "  ", math.inf, {}])
def test_a_missing_value_is_no_label_and_no_text(tmp_path, missing):
    read = _labels(tmp_path, "a", missing, "b", "a")
    assert [row.label for row in read.rows] == ["a", "b", "a"]
    assert [(row.line, row.reason) for row in read.rejected] == [(2, "empty label, or no text")]
    rows = [{"text": text, "label": "a"} for text in ("x", missing, "y")]
    (rejected,) = read_labelled_texts(_json_lines(tmp_path / "texts.jsonl", rows)).rejected
    assert (rejected.line, rejected.reason) == (2, "empty text, or no text")


def test_nan_is_missing_in_parquet_and_in_pairs(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": ["a", "b", None, "c"], "label": [1.0, math.nan, 2.0, 2.0]}), path)
    read = read_labelled_texts(path, label_column="label")
    assert [(row.text, row.label) for row in read.rows] == [("a", "1"), ("c", "2")]
    assert [row.line for row in read.rejected] == [2, 3]
    rows = [{"query": "q", "document": "d", "negative": math.nan, "score": math.nan}]
    (pair,) = read_pairs(_json_lines(tmp_path / "pairs.jsonl", [*rows, *rows])).rows[:1]
    assert (pair.hard_negatives, pair.score) == ((), None)


@pytest.mark.parametrize(
    ("labels", "read", "shown"),
    [
        (["Rückgabe", "Rückgabe", "Ru\u0308ckgabe"], "Rückgabe", r"Ru\u0308ckgabe"),
        (["track", "track", "track\u200b"], "track", r"track\u200b"),
        (["退货（急）", "退货（急）", "退货(急)"], "退货（急）", "退货(急)"),
        (["ｔｒａｃｋ", "track", "track"], "track", "ｔｒａｃｋ"),
        (["A–B", "A-B", "A-B"], "A-B", "A–B"),
        (["two  words", "two words", "two\u00a0words"], "two words", r"two\u00a0words"),
    ],
)
def test_spellings_that_are_read_the_same_are_one_label_and_said(tmp_path, labels, read, shown):
    found = _labels(tmp_path, *labels, "other")
    assert [row.label for row in found.rows] == [read] * 3 + ["other"]
    (warning,) = [text for text in check_labelled_texts(found).warnings if "spellings" in text]
    assert f"{read!r} for" in warning
    assert shown in warning


def test_labels_that_are_one_in_several_labels_stay_one(tmp_path):
    path = _json_lines(
        tmp_path / "rows.jsonl", [{"text": "a", "labels": ["x", "x\u200b"]}, {"text": "b", "labels": ["x"]}]
    )
    assert [row.labels for row in read_multi_label_texts(path).rows] == [("x",), ("x",)]


def test_capital_letters_make_another_label_and_are_warned_of(tmp_path):
    found = _labels(tmp_path, "track", "TRACK", "track")
    assert {row.label for row in found.rows} == {"track", "TRACK"}
    assert any("capital letters only: 'track' and 'TRACK'" in text for text in check_labelled_texts(found).warnings)


def test_words_for_a_missing_value_are_labels_with_a_warning(tmp_path):
    found = _labels(tmp_path, "nan", "None", "NULL", "N/A", "none", "nano")
    assert len(found.rows) == 6
    (warning,) = [text for text in check_labelled_texts(found).warnings if "missing value" in text]
    assert all(repr(word) in warning for word in ("nan", "None", "NULL", "N/A"))
    assert "'none'" not in warning
    assert "'nano'" not in warning


def test_a_list_of_labels_names_the_option(tmp_path):
    with pytest.raises(DataFileError, match=r"label: a list; .* --multi-label"):
        _labels(tmp_path, ["a"], ["b"])


@pytest.mark.parametrize(
    ("label", "known", "spelled"),
    [
        ("1.0", ["0", "1"], "1"),
        ("2", ["2.0", "2.1"], "2.0"),
        ("1", ["1", "01"], "1"),
        ("001", ["1", "01"], "001"),
        ("Ru\u0308ckgabe", ["Rückgabe"], "Rückgabe"),
        ("new", ["old"], "new"),
    ],
)
def test_test_rows_are_spelled_like_the_training_rows(label, known, spelled):
    test = LabelledTexts([LabelledText("text", label)])
    assert spell_labels_like(test, [LabelledText("text", name) for name in known]).rows[0].label == spelled
