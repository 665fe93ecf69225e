"""Tags to spans and back, and the best legal tags."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import ModelFolderError
from llms.tagger.scheme import TagScheme

SCHEME = TagScheme.of_labels(["LOC", "PER"])


def _is_legal(path):
    tags = ["O", *(SCHEME.tags[tag] for tag in path)]
    return all(tag[0] != "I" or before[2:] == tag[2:] for before, tag in itertools.pairwise(tags))


@given(st.integers(1, 4), st.integers(0, 10_000))
def test_the_best_path_is_the_best_of_all_legal_ones(num_words, seed):
    logits = np.random.default_rng(seed).normal(size=(num_words, 5)).astype(np.float32)
    paths = [path for path in itertools.product(range(5), repeat=num_words) if _is_legal(path)]
    best = max(paths, key=lambda path: logits[np.arange(num_words), path].sum())
    assert tuple(SCHEME.best_path(logits)) == best


def test_no_words_have_no_tags():
    assert SCHEME.best_path(np.zeros((0, 5), dtype=np.float32)) == []
    assert SCHEME.spans([]) == []


@given(st.lists(st.sampled_from(range(5)), max_size=8))
def test_spans_come_back_from_their_tags(tag_ids):
    spans = list(SCHEME.spans(tag_ids))
    assert list(SCHEME.spans(SCHEME.tag_ids(spans, len(tag_ids)).tolist())) == spans


def test_a_foreign_model_may_begin_a_span_with_i():
    scheme = TagScheme.of_foreign(["I-PER", "O", "B-PER"])
    logits = np.eye(3, dtype=np.float32)[[1, 0, 0, 2]]
    assert list(scheme.spans(scheme.best_path(logits))) == [(1, 3, "PER"), (3, 4, "PER")]


@pytest.mark.parametrize("names", [["LABEL_0", "LABEL_1"], ["O"], ["O", "S-PER", "E-PER"], ["O", "B-PER", "PER"], []])
def test_outputs_of_another_scheme_are_refused(names):
    with pytest.raises(ModelFolderError, match="output"):
        TagScheme.of_foreign(names)
