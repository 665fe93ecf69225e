"""Evaluation of taggers on held-out texts: the temperature of their probabilities, and the figures of their spans."""

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from llms.finetuning.tagger.data import TaggedText
from llms.metrics import expected_calibration_error
from llms.tagger.metrics import entity_report
from llms.tagger.scheme import TagScheme
from llms.tagger.token_tagger import WordLogits, find_spans

_TEMPERATURES = (0.25, 8.0)  # few held-out words must not lead to absurd certainty


def fit_temperature(words: Sequence[WordLogits], rows: Sequence[TaggedText], scheme: TagScheme) -> float:
    """Return what the outputs are to be divided by for the least log loss on the held-out words.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    from llms.finetuning.tagger.training import word_tags

    logits = np.concatenate([word.logits for word in words])  # (words, tags)
    tags = np.concatenate([word_tags(word.text, row, scheme) for word, row in zip(words, rows, strict=True)])
    rows_of = np.arange(len(tags))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax((logits / np.exp(log_temperature)).astype(np.float32), axis=-1)[rows_of, tags].mean())

    best = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    return float(np.exp(best.x))


def measure_spans(
    words: Sequence[WordLogits], rows: Sequence[TaggedText], scheme: TagScheme, temperature: float
) -> dict[str, float]:
    """Return precision, recall and F1 of the spans found in held-out texts, and how honest their probabilities are."""
    found = [find_spans(scheme, word, temperature=temperature) for word in words]
    expected = [[(span.start, span.end, span.label) for span in row.spans] for row in rows]
    predicted = [[(span.start, span.end, span.label) for span in spans] for spans in found]
    averages = entity_report(expected, predicted)["averages"]
    right = [
        (span.start, span.end, span.label) in wanted
        for spans, wanted in zip(found, expected, strict=True)
        for span in spans
    ]
    metrics = {f"held_out_entity_{name}": averages["micro"][name] for name in ("precision", "recall", "f1")}
    metrics["held_out_entity_macro_f1"] = averages["macro"]["f1"]
    if right:
        probabilities = [span.probability for spans in found for span in spans]
        metrics["held_out_entity_ece"] = expected_calibration_error(probabilities, right)
    return metrics
