"""Batches hold every text once and stay within their size."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llms.encoder.token_batches import pad_rows, plan_batches


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 8), st.integers(1, 120))
def test_batches_hold_each_text_once_and_stay_within_their_size(lengths, max_texts, max_tokens):
    batches = plan_batches(lengths, max_texts=max_texts, max_tokens=max_tokens)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_texts
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= max_tokens
    longest = [lengths[batch[0]] for batch in batches]
    assert longest == sorted(longest, reverse=True)


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=5), st.booleans())
def test_padding_changes_no_token(rows, pads_left):
    ids, mask = pad_rows([np.array(row, dtype=np.int64) for row in rows], pad_id=0, pads_left=pads_left)
    assert ids.shape == mask.shape == (len(rows), max(len(row) for row in rows))
    assert [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)] == rows
    assert (ids[mask == 0] == 0).all()
