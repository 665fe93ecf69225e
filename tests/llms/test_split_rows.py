"""Splitting rows: nothing lost, nothing leaked, always the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import TrainingDataError
from llms.finetuning.records import LabelledText, check_training_rows, split_rows

_rows = st.lists(
    st.builds(LabelledText, text=st.sampled_from(["a", "A", "b", "c", "d", "e", "f"]), label=st.sampled_from("xyz")),
    max_size=30,
)
_shares = st.floats(0.05, 0.45)


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
