"""Suggestions: new texts, each for another reason, the same every time, and better than chance."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llms.errors import InputTextError, OptionValueError
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.labelling.active_learning import (
    RememberingEncoder,
    fit_draft_head,
    predict_in_blocks,
    suggest_rows,
)
from llms.finetuning.labelling.diversity import find_farthest_rows, find_typical_rows
from tests.llms.finetuning.planted_texts import PlantedEncoder, plant_texts
from tests.waiting import cpu_seconds

SIZES = [60, 40, 30, 20, 12, 8]


def _label(texts, groups, places):
    return [LabelledText(texts[place], f"group {groups[place]}") for place in places]


def test_the_first_texts_show_every_group_and_stand_for_the_others():
    texts, groups, encoder = plant_texts(SIZES, spread=0.1)
    suggestions = suggest_rows([], texts, num_rows=len(SIZES), encoder=encoder)
    assert sorted(groups[row.place] for row in suggestions) == list(range(len(SIZES)))
    assert [row.reason for row in suggestions] == [f"stands for {size - 1} similar texts" for size in SIZES]
    assert all(row.predicted is None and row.probability is None and row.likeliest == () for row in suggestions)


def test_one_label_is_as_good_as_none_but_its_region_is_left_alone():
    texts, groups, encoder = plant_texts(SIZES, spread=0.1)
    known = _label(texts, groups, [0])
    suggestions = suggest_rows(known, texts, num_rows=len(SIZES) - 1, encoder=encoder)
    assert {groups[row.place] for row in suggestions} == {1, 2, 3, 4, 5}
    assert all(row.reason.startswith("unlike anything labelled so far, stands for") for row in suggestions)


def test_with_labels_come_guesses_doubts_and_what_is_new():
    texts, groups, encoder = plant_texts(SIZES)
    known = _label(texts, groups, [0, 1, 2, 60, 61, 62, 100])  # groups 0, 1 and 2; the last met once
    suggestions = suggest_rows(known, texts, num_rows=10, encoder=encoder)
    assert len(suggestions) == 10
    exploring = [row for row in suggestions if "unlike anything labelled so far" in row.reason]
    assert suggestions[: len(exploring)] == exploring
    assert len(exploring) == round(10 / 7)
    assert all(row.predicted == row.likeliest[0] and 0 < row.probability <= 1 for row in suggestions)
    for row in suggestions[len(exploring) :]:
        assert row.reason.startswith(("between 'group", "probably 'group"))
        assert repr(row.predicted) in row.reason


def test_a_label_without_an_example_gets_the_text_nearest_to_its_name():
    texts, groups, encoder = plant_texts(SIZES)
    encoder.vectors["lost card"] = encoder.vectors[texts[-1]]
    known = _label(texts, groups, [0, 1, 60, 61])
    suggestions = suggest_rows(known, texts, num_rows=4, encoder=encoder, labels=["lost_card", "group 0"])
    assert (suggestions[0].text, suggestions[0].reason) == (texts[-1], "may be the first 'lost_card'")
    assert suggestions[0].predicted == "lost_card"


def test_near_equal_texts_are_suggested_once_and_labelled_ones_never():
    texts, groups, encoder = plant_texts(SIZES)
    for place, text in enumerate(texts[:20]):  # twins by spelling, and twins by meaning
        encoder.vectors[text.upper() + "!"] = -encoder.vectors[text]
        encoder.vectors[f"again {place}"] = encoder.vectors[text]
    pool = list(encoder.vectors)
    known = _label(texts, groups, [0, 1, 60, 61])
    suggestions = suggest_rows(known, pool, num_rows=len(pool), encoder=encoder)
    chosen = encoder.encode([row.text for row in [*known, *suggestions]])
    cosines = chosen @ chosen.T - np.eye(len(chosen))
    assert cosines[len(known) :].max() < 0.95
    keys = Counter(row.text.casefold().strip("!") for row in suggestions)
    assert max(keys.values()) == 1
    assert not keys.keys() & {row.text for row in known}
    assert all(pool[row.place] == row.text for row in suggestions)


@settings(max_examples=10)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    num_labelled=st.integers(0, 12),
    num_rows=st.integers(1, 40),
    seed=st.integers(0, 3),
)
def test_suggestions_are_unlabelled_texts_each_once(sizes, num_labelled, num_rows, seed):
    texts, groups, encoder = plant_texts(sizes, seed=seed)
    known = _label(texts, groups, range(min(num_labelled, len(texts))))
    suggestions = suggest_rows(known, texts, num_rows=num_rows, encoder=encoder, seed=seed)
    places = [row.place for row in suggestions]
    assert len(places) == len(set(places)) <= num_rows
    assert all(texts[row.place] == row.text for row in suggestions)
    assert not {row.text for row in suggestions} & {row.text for row in known}
    assert suggestions == suggest_rows(known, texts, num_rows=num_rows, encoder=encoder, seed=seed)


def test_there_are_as_many_as_asked_for_unless_they_would_repeat():
    texts, _, encoder = plant_texts(SIZES)
    assert len(suggest_rows([], texts, num_rows=100, encoder=encoder)) == 100
    same = PlantedEncoder({f"text {place}": np.eye(4)[0] for place in range(9)})
    assert len(suggest_rows([], list(same.vectors), num_rows=5, encoder=same)) == 1
    assert suggest_rows([], [], num_rows=5, encoder=same) == []


def test_suggested_labels_teach_more_than_random_ones():
    texts, groups, encoder = plant_texts([300, 200, 60, 20, 10, 6, 4], spread=0.15)
    asked, truth = encoder.encode(texts), [f"group {group}" for group in groups]

    def accuracy(places):
        head = fit_draft_head(_label(texts, groups, places), encoder=encoder, options=ClassifierOptions())
        best = predict_in_blocks(head, texts, asked).argmax(axis=1)
        scores = [
            np.mean([head.labels[found] == want for found, want in zip(best, truth, strict=True) if want == label])
            for label in set(truth)
        ]
        return np.mean(scores)  # each group counts the same, rare ones too

    for seed in range(2):
        chosen = []
        for _ in range(4):
            known = _label(texts, groups, chosen)
            chosen += [row.place for row in suggest_rows(known, texts, num_rows=7, encoder=encoder, seed=seed)]
        at_random = np.random.default_rng(seed).permutation(len(texts))[: len(chosen)]
        assert accuracy(chosen) > accuracy(at_random) + 0.1


def test_bad_input_is_refused():
    texts, _, encoder = plant_texts(SIZES)
    with pytest.raises(OptionValueError, match="num_rows must be at least 1, got 0"):
        suggest_rows([], texts, num_rows=0, encoder=encoder)
    with pytest.raises(InputTextError, match="NUL"):
        suggest_rows([], ["a\x00b"], num_rows=1, encoder=encoder)
    with pytest.raises(InputTextError, match="expected a text, got int"):
        suggest_rows([], [7], num_rows=1, encoder=encoder)


def test_vectors_are_made_once():
    texts, _, planted = plant_texts(SIZES)
    encoder = RememberingEncoder(planted)
    first = encoder.encode([*texts, texts[0]])
    assert np.array_equal(first, encoder.encode([*texts, texts[0]]))
    assert planted.num_asked == len(texts)
    encoder.encode(texts[:3], role="query")  # another prompt is another vector
    assert planted.num_asked == len(texts) + 3
    assert encoder.encode([]).shape == (0, 16)


def test_rows_far_apart_come_first_and_each_comes_once():
    _, _, encoder = plant_texts(SIZES)
    vectors = np.array(list(encoder.vectors.values()), dtype=np.float32)
    order = list(find_farthest_rows(vectors, vectors[:3]))
    assert sorted(order) == list(range(len(vectors)))
    nearest = (vectors @ vectors[:3].T).max(axis=1)
    assert order[0] == nearest.argmin()
    assert set(order[-3:]) == {0, 1, 2}


def test_typical_rows_are_in_the_middle_of_their_group():
    _, groups, encoder = plant_texts([40, 40], spread=0.2)
    vectors = np.array(list(encoder.vectors.values()), dtype=np.float32)
    for row in find_typical_rows(vectors, vectors[:0], 2, seed=0):
        own = vectors[groups == groups[row.place]]
        middle = own.mean(axis=0)
        assert (own @ middle > vectors[row.place] @ middle).mean() < 0.3


@pytest.mark.slow
def test_ten_thousand_texts_take_less_than_a_minute():
    texts, groups, planted = plant_texts([130] * 77, dimension=384)
    known = _label(texts, groups, range(0, len(texts), 20))
    found = []
    seconds = cpu_seconds(lambda: found.extend(suggest_rows(known, texts, num_rows=100, encoder=planted)))
    assert len(found) == 100
    assert seconds < 60
