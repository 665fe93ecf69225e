"""Hashed n-grams: to the last bit those of scikit-learn, with which older models were trained."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llms.classifier.lexical import _NGRAM_LENGTHS, _NUM_FEATURES, _count_ngrams, _weigh
from llms.classifier.ngrams import count_ngrams

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["", " ", "a", "退货 iPhone 坏了", "İstanbul Straße", "x" * 50, "\x1c a\u2028b\t c", "😀 🏳️‍🌈"]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXTS, max_size=4))
def test_counts_and_weights_are_those_of_scikit_learn(texts):
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=_NGRAM_LENGTHS,
        n_features=_NUM_FEATURES,
        norm=None,
        alternate_sign=False,
        dtype=np.float32,
    )
    if not texts:
        assert _count_ngrams(texts).shape == (0, _NUM_FEATURES)
        return
    expected, found = vectorizer.transform(texts), _count_ngrams(texts)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    idf = np.random.default_rng(0).uniform(1, 9, _NUM_FEATURES).astype(np.float32)
    weighted = expected.astype(np.float32)
    weighted.data = (1 + np.log(weighted.data)) * idf[weighted.indices]
    np.testing.assert_array_equal(_weigh(found, idf).data, normalize(weighted).data)


def test_a_short_word_counts_once():
    assert count_ngrams(["a"], lengths=(3, 5), num_features=2**16).sum() == 1
