"""Spans are scored as CoNLL's script and seqeval score them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import OptionValueError
from llms.metrics import multi_label_report, per_class_report
from llms.tagger.metrics import entity_report, format_report
from llms.tagger.scheme import bio_spans

_spans = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 3), st.sampled_from("xyz")).map(lambda s: (s[0], s[0] + s[1], s[2])),
    max_size=5,
)
_texts = st.lists(st.tuples(_spans, _spans), min_size=1, max_size=8)
# the example of seqeval's README: MISC begins one token early, PER is right
EXPECTED = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
PREDICTED = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]


def _example():
    return entity_report([bio_spans(tags) for tags in EXPECTED], [bio_spans(tags) for tags in PREDICTED])


def test_the_report_equals_the_hand_worked_example():
    report = _example()
    assert report["classes"]["MISC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert report["classes"]["PER"] == {"precision": 1, "recall": 1, "f1": 1, "support": 1}
    for average in ("micro", "macro", "weighted"):
        assert report["averages"][average] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}


def test_the_table_has_the_layout_of_seqeval():
    assert format_report(_example()).splitlines() == [
        "              precision    recall  f1-score   support",
        "",
        "        MISC       0.00      0.00      0.00         1",
        "         PER       1.00      1.00      1.00         1",
        "",
        "   micro avg       0.50      0.50      0.50         2",
        "   macro avg       0.50      0.50      0.50         2",
        "weighted avg       0.50      0.50      0.50         2",
    ]


def test_other_reports_can_be_shown_as_a_table():
    assert "a very long label name      1.000" in format_report(
        per_class_report(["a very long label name"], ["a very long label name"]), digits=3
    )
    assert "samples avg" in format_report(multi_label_report([{"a"}], [{"a"}]))


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ([], []),
        (["O"], []),
        (["B-A", "I-A", "O"], [(0, 2, "A")]),
        (["B-A", "B-A"], [(0, 1, "A"), (1, 2, "A")]),
        (["O", "I-A", "I-A"], [(1, 3, "A")]),  # IOB1: nothing is adjacent, so nothing begins with B
        (["I-A", "B-A", "I-A"], [(0, 1, "A"), (1, 3, "A")]),  # IOB1: B parts adjacent ones
        (["I-A", "I-B"], [(0, 1, "A"), (1, 2, "B")]),
        (["B-A", "I-B", "I-A"], [(0, 1, "A"), (1, 2, "B"), (2, 3, "A")]),
        (["B-first-name", "I-first-name"], [(0, 2, "first-name")]),
        (["B", "I", "O"], [(0, 2, "_")]),
    ],
)
def test_tags_become_spans_as_in_conlleval(tags, spans):
    assert bio_spans(tags) == spans


@pytest.mark.parametrize("tag", ["E-A", "S-A", "", "A", "b-A"])
def test_other_schemes_are_refused(tag):
    with pytest.raises(OptionValueError, match="expected a tag O"):
        bio_spans([tag])


@given(_texts)
def test_a_perfect_prediction_has_a_score_of_one(texts):
    expected = [spans for spans, _ in texts]
    report = entity_report(expected, expected)
    rows = [*report["classes"].values(), *(report["averages"].values() if any(expected) else ())]
    assert all(row["precision"] == row["recall"] == row["f1"] == pytest.approx(1) for row in rows)


@given(_texts)
def test_the_order_of_texts_does_not_matter(texts):
    forwards, backwards = (entity_report(*zip(*rows, strict=True)) for rows in (texts, texts[::-1]))
    assert forwards == backwards


@given(_texts)
def test_the_micro_average_adds_up_the_labels(texts):
    report = entity_report(*zip(*texts, strict=True))
    rows, micro = report["classes"].values(), report["averages"]["micro"]
    assert sum(row["support"] for row in rows) == micro["support"]
    assert sum(row["recall"] * row["support"] for row in rows) == pytest.approx(micro["recall"] * micro["support"])
    assert micro["recall"] == pytest.approx(report["averages"]["weighted"]["recall"])


def test_a_span_of_another_text_is_wrong():
    assert entity_report([[(0, 1, "A")], []], [[], [(0, 1, "A")]])["averages"]["micro"]["f1"] == 0


def test_spans_read_from_json_are_taken():
    assert entity_report([[[0, 1, "A"]]], [[(0, 1, "A")]])["averages"]["micro"]["f1"] == 1


def test_nothing_expected_and_nothing_found_is_a_report_of_zeros():
    report = entity_report([[]], [[]])
    assert report["classes"] == {}
    assert report["averages"]["macro"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_different_numbers_of_texts_are_refused():
    with pytest.raises(OptionValueError, match="got 1 expected and 0 predicted"):
        entity_report([[]], [])
