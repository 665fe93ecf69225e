"""Explanations of labels: integrated gradients through the encoder, words left out of the n-grams, near examples."""

import importlib.util
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray
from llms.classifier.head import ClassifierHead
from llms.classifier.results import NearExample, WordWeight
from llms.encoder.adapters import body_of
from llms.encoder.sentence_encoder import SentenceEncoder
from llms.errors import UnsupportedOptionError
from llms.texts.scripts import HAN, KANA

if TYPE_CHECKING:
    import torch


# a Chinese or Japanese character is a word of its own, for no space tells where one ends
_WORDS = re.compile(rf"[{KANA}{HAN}]|[^\s{KANA}{HAN}]+")
_STEPS_AT_ONCE = 16


def weigh_words(
    head: ClassifierHead, encoder: SentenceEncoder, text: str, label_id: int, *, num_steps: int
) -> tuple[tuple[WordWeight, ...], float]:
    """Return the weight of each word for a label, in logits, and the gap of the integration.

    The weights from the encoder add up to how far its logit lies above that of an empty text of the same length;
    those from the n-grams are what their score loses without the word.

    Args:
        encoder: the head's encoder on torch, for gradients.
        num_steps: points of the integral; more are more exact and take longer.

    Raises:
        UnsupportedOptionError: if captum is not installed, or the encoder's tokens have no positions in the text.

    References:
        Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017.
    """
    spans, weights, gap = _weigh_tokens(encoder, text, head.weight[label_id], num_steps=num_steps)
    words = [(match.group(), match.start(), match.end()) for match in _WORDS.finditer(text)]
    by_encoder = np.zeros(len(words))
    for (start, end), weight in zip(spans, weights, strict=True):
        for index, (_, begin, stop) in enumerate(words):
            if start < stop and begin < end:
                by_encoder[index] += weight
                break
    by_ngrams = _losses_without(head, text, words, label_id)
    total = head.scales[0] * by_encoder + head.scales[1] * by_ngrams
    return tuple(
        WordWeight(word=word, start=start, end=end, weight=round(float(weight), 4))
        for (word, start, end), weight in zip(words, total, strict=True)
    ), gap


def find_near_examples(head: ClassifierHead, vector: FloatArray, *, num_examples: int) -> tuple[NearExample, ...]:
    """Return the training texts nearest to a vector, (dimension,); none for a folder without their texts."""
    if not head.example_texts:
        return ()
    cosines = head.examples @ vector
    return tuple(
        NearExample(
            text=head.example_texts[index],
            label=head.labels[head.example_labels[index]] if head.example_labels[index] >= 0 else None,
            similarity=round(float(cosines[index]), 4),
        )
        for index in np.argsort(-cosines, kind="stable")[:num_examples]
    )


def _losses_without(
    head: ClassifierHead, text: str, words: Sequence[tuple[str, int, int]], label_id: int
) -> npt.NDArray[np.float64]:
    if not words or not head.scales[1]:
        return np.zeros(len(words))
    without = [text[:start] + text[end:] for _, start, end in words]
    scores = head.lexical.scores([text, *without])[:, label_id].astype(np.float64)
    losses: npt.NDArray[np.float64] = scores[0] - scores[1:]
    return losses


def _weigh_tokens(
    encoder: SentenceEncoder, text: str, direction: FloatArray, *, num_steps: int
) -> tuple[list[tuple[int, int]], FloatArray, float]:
    """Return the spans of the tokens in the text, the weight of each, and the gap of the integration."""
    if importlib.util.find_spec("captum") is None:
        msg = "explanations need captum, which is not installed; run: pip install captum"
        raise UnsupportedOptionError(msg)
    import torch
    from captum.attr import LayerIntegratedGradients

    model = encoder.model.eval()
    tokens, spans = _tokens(model, text)
    baseline = tokens["input_ids"].clone()
    is_text = torch.tensor([[end > start for start, end in spans]])
    baseline[is_text] = _blank_id(model.tokenizer)
    toward = torch.from_numpy(np.ascontiguousarray(direction))

    def logit(ids: "torch.Tensor") -> "torch.Tensor":
        features = {name: value.expand(len(ids), -1) for name, value in tokens.items()} | {"input_ids": ids}
        vectors = model(features)["sentence_embedding"]
        scores: torch.Tensor = torch.nn.functional.normalize(vectors, dim=-1) @ toward
        return scores

    layer = body_of(model).get_input_embeddings()
    attributions, delta = LayerIntegratedGradients(logit, layer).attribute(
        tokens["input_ids"],
        baselines=baseline,
        n_steps=num_steps,
        internal_batch_size=_STEPS_AT_ONCE,
        return_convergence_delta=True,
    )
    with torch.inference_mode():
        change = float(logit(tokens["input_ids"])[0] - logit(baseline)[0])
    weights: FloatArray = attributions.sum(dim=-1)[0].detach().numpy()
    return spans, weights, round(abs(float(delta)) / max(abs(change), 1e-6), 4)


def _tokens(model: Any, text: str) -> tuple[dict[str, "torch.Tensor"], list[tuple[int, int]]]:
    if not getattr(model.tokenizer, "is_fast", False):
        msg = (
            "the encoder's tokenizer does not tell where its tokens stand in the text; explanations need one that does"
        )
        raise UnsupportedOptionError(msg)
    encoded = model.tokenizer(
        text, truncation=True, max_length=model.max_seq_length, return_offsets_mapping=True, return_tensors="pt"
    )
    spans = [(int(start), int(end)) for start, end in encoded.pop("offset_mapping")[0]]
    return dict(encoded), spans


def _blank_id(tokenizer: Any) -> int:
    for id_ in (tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id):
        if isinstance(id_, int):
            return id_
    return 0
