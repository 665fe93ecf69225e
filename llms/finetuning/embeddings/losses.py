"""Contrastive losses on sentence vectors, which need not be of length 1."""

import torch
from torch import nn


def ranking_loss(
    queries: torch.Tensor, documents: torch.Tensor, excluded: torch.Tensor, *, scale: float
) -> torch.Tensor:
    """Return how badly each query finds its document among all of the batch, and each document its query.

    Args:
        queries: (queries, dimension).
        documents: (documents, dimension); document i answers query i, those behind the last query answer none.
        excluded: (queries, documents) bool; true for answers of a query other than its own document i, which would
            be false negatives.
        scale: what the cosines are multiplied by, the inverse of the temperature.

    References:
        Henderson et al., "Efficient natural language response suggestion for Smart Reply", 2017, section 4.4; both
        directions as in Radford et al., "Learning transferable visual models from natural language supervision",
        ICML 2021.
    """
    cosines = scale * _unit(queries) @ _unit(documents).T  # (queries, documents)
    targets = torch.arange(len(queries), device=cosines.device)
    logits = cosines.masked_fill(excluded, -torch.inf)
    forward = nn.functional.cross_entropy(logits, targets)
    backward = nn.functional.cross_entropy(logits[:, : len(queries)].T, targets)
    return (forward + backward) / 2


def supervised_contrastive_loss(
    vectors: torch.Tensor, labels: torch.Tensor, texts: torch.Tensor, *, scale: float
) -> torch.Tensor:
    """Return how badly each text is nearer to the texts of its label than to all others of the batch.

    Args:
        vectors: (texts, dimension).
        labels: (texts,) ids.
        texts: (texts,) ids; equal texts have equal ids and are neither positive nor negative for each other.

    References:
        Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2.
    """
    unit = _unit(vectors)
    is_itself = texts[:, None] == texts[None, :]
    logits = (scale * unit @ unit.T).masked_fill(is_itself, -torch.inf)  # (texts, texts)
    is_positive = (labels[:, None] == labels[None, :]) & ~is_itself
    has_positive = is_positive.any(dim=1)
    if not has_positive.any():
        return 0.0 * vectors.sum()  # nothing to learn here, but a gradient there must be
    log_shares = logits[has_positive] - logits[has_positive].logsumexp(dim=1, keepdim=True)
    positive = is_positive[has_positive]
    # masked before the sum: -inf times 0 is no number
    per_text = log_shares.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1)
    return -per_text.mean()


def cosent_loss(queries: torch.Tensor, documents: torch.Tensor, scores: torch.Tensor, *, scale: float) -> torch.Tensor:
    """Return how far pairs with a lower score have a higher cosine than pairs with a higher score.

    Args:
        queries: (pairs, dimension).
        documents: (pairs, dimension).
        scores: (pairs,); only their order counts.

    References:
        Su, "CoSENT: a more efficient sentence vector scheme than Sentence-BERT", 2022, kexue.fm/archives/8847.
    """
    cosines = scale * nn.functional.cosine_similarity(queries, documents)  # (pairs,)
    differences = cosines[:, None] - cosines[None, :]  # first minus second
    wrong_way = scores[:, None] < scores[None, :]  # the first shall be the lower one
    return torch.cat([differences[wrong_way], torch.zeros(1, device=cosines.device)]).logsumexp(dim=0)


def cosine_loss(queries: torch.Tensor, documents: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference between cosines and scores, (pairs,) each."""
    return nn.functional.mse_loss(nn.functional.cosine_similarity(queries, documents), scores)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return nn.functional.normalize(vectors.float(), dim=-1)
