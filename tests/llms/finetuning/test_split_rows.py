"""Splitting rows: nothing lost, nothing leaked, always the same."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llms.errors import OptionValueError, TrainingDataError
from llms.finetuning.data.examples import LabelledText, MultiLabelText
from llms.finetuning.data.labelled_files import check_training_rows
from llms.finetuning.data.splits import split_rows

_rows = st.lists(
    st.builds(LabelledText, text=st.sampled_from(["a", "A", "b", "c", "d", "e", "f"]), label=st.sampled_from("xyz")),
    max_size=30,
)
_shares = st.floats(0.05, 0.45)
_multi_label_rows = st.lists(
    st.builds(MultiLabelText, text=st.sampled_from("aAbcdefgh"), labels=st.sets(st.sampled_from("xyz")).map(tuple)),
    max_size=30,
)
_grouped_rows = st.lists(
    st.builds(
        LabelledText, text=st.sampled_from("abcdef"), label=st.sampled_from("xyz"), group=st.sampled_from("ghijk")
    ),
    min_size=1,
    max_size=30,
)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_times = st.integers(0, 8).map(lambda hours: _START + timedelta(hours=hours))
_timed_rows = st.lists(
    st.builds(LabelledText, text=st.sampled_from("abcdef"), label=st.sampled_from("xyz"), time=_times), max_size=30
)


def _counted(rows):
    return sorted((row.text, row.label) for row in rows)


@given(_rows, _shares, st.integers(0, 3))
def test_every_row_is_on_exactly_one_side(rows, share, seed):
    kept, held_out = split_rows(rows, held_out_share=share, seed=seed)
    assert _counted(kept + held_out) == _counted(rows)


@given(_rows, _shares)
def test_every_label_with_two_texts_is_on_both_sides(rows, share):
    kept, held_out = split_rows(rows, held_out_share=share, seed=0)
    for label in {row.label for row in rows}:
        num_texts = len({row.text.casefold() for row in rows if row.label == label})
        assert label in {row.label for row in kept}
        assert (label in {row.label for row in held_out}) == (num_texts > 1)


@given(_rows, _shares)
def test_equal_texts_of_a_label_are_on_one_side(rows, share):
    kept, held_out = split_rows(rows, held_out_share=share, seed=0)
    assert not {(row.text.casefold(), row.label) for row in kept} & {
        (row.text.casefold(), row.label) for row in held_out
    }


@given(_rows, _shares)
def test_a_text_under_several_labels_is_held_out_only_where_a_label_has_no_other(rows, share):
    _, held_out = split_rows(rows, held_out_share=share, seed=0)
    labels_of = {}
    for row in rows:
        labels_of.setdefault(row.text.casefold(), set()).add(row.label)
    for row in held_out:
        own = {r.text.casefold() for r in rows if r.label == row.label and len(labels_of[r.text.casefold()]) == 1}
        assert len(labels_of[row.text.casefold()]) == 1 or not own


@given(_rows, _shares, st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(rows, share, random):
    shuffled = random.sample(rows, len(rows))
    for one, other in zip(
        split_rows(rows, held_out_share=share, seed=0), split_rows(shuffled, held_out_share=share, seed=0), strict=True
    ):
        assert _counted(one) == _counted(other)


def test_the_share_holds_for_every_label_and_the_seed_matters():
    rows = [LabelledText(f"{label} {i}", label) for label in "xy" for i in range(50)]
    sides = [split_rows(rows, held_out_share=0.2, seed=seed)[1] for seed in (0, 0, 1)]
    assert [sum(row.label == label for row in sides[0]) for label in "xy"] == [10, 10]
    assert sides[0] == sides[1] != sides[2]


def test_rows_with_one_label_or_a_single_example_are_refused():
    with pytest.raises(TrainingDataError, match=r"found 1: \['x'\]"):
        check_training_rows([LabelledText("a", "x"), LabelledText("b", "x")])
    with pytest.raises(TrainingDataError, match="1 of 2 labels have a single example: 'y'"):
        check_training_rows([LabelledText("a", "x"), LabelledText("b", "x"), LabelledText("c", "y")])
    check_training_rows([LabelledText(text, label) for text in "ab" for label in "xy"])


def _split_or_skip(rows, share, by):
    try:
        return split_rows(rows, held_out_share=share, seed=0, by=by)
    except TrainingDataError:
        assume(False)


@given(_multi_label_rows, _shares)
def test_rows_with_several_labels_are_all_on_one_side_and_every_label_keeps_one(rows, share):
    kept, held_out = split_rows(rows, held_out_share=share, seed=0)
    assert Counter(kept + held_out) == Counter(rows)
    assert {label for row in rows for label in row.labels} == {label for row in kept for label in row.labels}
    assert not {row.text.casefold() for row in kept} & {row.text.casefold() for row in held_out}


@given(_multi_label_rows, _shares, st.randoms(use_true_random=False))
def test_the_order_of_rows_with_several_labels_makes_no_difference(rows, share, random):
    shuffled = random.sample(rows, len(rows))
    one, other = (split_rows(some, held_out_share=share, seed=0) for some in (rows, shuffled))
    assert Counter(one[1]) == Counter(other[1])


def test_the_share_holds_for_rare_labels_beside_frequent_ones():
    rows = [MultiLabelText(f"text {i}", ("often", "rare") if i % 10 == 0 else ("often",)) for i in range(200)]
    _, held_out = split_rows(rows, held_out_share=0.2, seed=0)
    assert Counter(label for row in held_out for label in row.labels) == {"often": 40, "rare": 4}


@given(_grouped_rows, _shares)
def test_no_group_is_on_both_sides_and_every_label_keeps_a_row(rows, share):
    kept, held_out = _split_or_skip(rows, share, "group")
    assert Counter(kept + held_out) == Counter(rows)
    assert held_out
    assert not {row.group for row in kept} & {row.group for row in held_out}
    assert {row.label for row in kept} == {row.label for row in rows}


@given(_grouped_rows, _shares, st.randoms(use_true_random=False))
def test_the_order_of_grouped_rows_makes_no_difference(rows, share, random):
    _, held_out = _split_or_skip(rows, share, "group")
    assert Counter(_split_or_skip(random.sample(rows, len(rows)), share, "group")[1]) == Counter(held_out)


def test_the_share_of_rows_in_held_out_groups_is_the_one_asked_for():
    rows = [LabelledText(f"text {i}", "xy"[i % 2], group=str(i // 5)) for i in range(200)]
    sides = [split_rows(rows, held_out_share=0.2, seed=seed, by="group")[1] for seed in (0, 0, 1)]
    assert [len(side) for side in sides] == [40, 40, 40]
    assert sides[0] == sides[1] != sides[2]


@given(_timed_rows, _shares)
def test_held_out_rows_are_later_than_all_others(rows, share):
    kept, held_out = _split_or_skip(rows, share, "time")
    assert Counter(kept + held_out) == Counter(rows)
    assert min(row.time for row in held_out) > max(row.time for row in kept)


def test_times_of_other_zones_are_compared_as_instants():
    early = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=8)))
    rows = [LabelledText("b", "x", time=datetime(2026, 1, 1, 2)), LabelledText("a", "x", time=early)]
    assert split_rows(rows, held_out_share=0.5, seed=0, by="time") == ([rows[1]], [rows[0]])


@pytest.mark.parametrize(
    ("rows", "by", "reason"),
    [
        ([LabelledText("a", "x"), LabelledText("b", "x", group="g")], "group", "1 of 2 rows have no group"),
        ([LabelledText("a", "x", group="g"), LabelledText("b", "x", group="g")], "group", "at least two groups"),
        ([LabelledText("a", "x", group="g"), LabelledText("b", "y", group="h")], "group", "every row of some label"),
        ([LabelledText("a", "x"), LabelledText("b", "x")], "time", r"2 of 2 rows have no time.*time_column"),
        ([LabelledText("a", "x", time=_START), LabelledText("b", "x", time=_START)], "time", "at least two times"),
    ],
)
def test_a_split_that_is_not_possible_is_refused_with_what_is_missing(rows, by, reason):
    with pytest.raises(TrainingDataError, match=reason):
        split_rows(rows, held_out_share=0.2, seed=0, by=by)


def test_an_impossible_share_and_an_unknown_rule_are_refused():
    rows = [LabelledText("a", "x"), LabelledText("b", "x")]
    with pytest.raises(OptionValueError, match="held_out_share"):
        split_rows(rows, held_out_share=20, seed=0)
    with pytest.raises(OptionValueError, match="'author'"):
        split_rows(rows, held_out_share=0.2, seed=0, by="author")
