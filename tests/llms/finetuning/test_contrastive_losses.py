"""Losses have the values worked out by hand, and never take an answer for a negative."""

import math

import pytest
import torch

from llms.finetuning.embeddings.losses import cosent_loss, cosine_loss, ranking_loss, supervised_contrastive_loss
from llms.finetuning.reranker.training import listwise_loss

X, Y = [1.0, 0.0], [0.0, 2.0]  # any length
NONE = torch.zeros(2, 2, dtype=torch.bool)


def test_ranking_loss_of_two_orthogonal_pairs():
    vectors = torch.tensor([X, Y])
    expected = -math.log(math.e**2 / (math.e**2 + 1))
    assert ranking_loss(vectors, vectors, NONE, scale=2.0).item() == pytest.approx(expected, abs=1e-6)


def test_equal_documents_are_no_negatives():
    queries, documents = torch.tensor([X, Y]), torch.tensor([X, X])
    excluded = torch.tensor([[False, True], [True, False]])
    assert ranking_loss(queries, documents, excluded, scale=20.0).item() == 0.0
    assert ranking_loss(queries, documents, NONE, scale=20.0).item() > 1


def test_hard_negatives_count_for_queries_only():
    queries, negative = torch.tensor([X, Y]), torch.tensor([X, Y, X])
    excluded = torch.zeros(2, 3, dtype=torch.bool)
    row = [-math.log(math.e / (2 * math.e + 1)), -math.log(math.e / (math.e + 2))]
    column = -math.log(math.e / (math.e + 1))
    expected = (sum(row) / 2 + column) / 2
    assert ranking_loss(queries, negative, excluded, scale=1.0).item() == pytest.approx(expected, abs=1e-6)


def test_supervised_contrastive_loss_pulls_texts_of_one_label_together():
    labels, texts = torch.tensor([0, 0, 1, 1]), torch.arange(4)
    near = supervised_contrastive_loss(torch.tensor([X, X, Y, Y]), labels, texts, scale=5.0)
    far = supervised_contrastive_loss(torch.tensor([X, Y, X, Y]), labels, texts, scale=5.0)
    assert near.item() == pytest.approx(math.log(math.e**5 + 2) - 5, abs=1e-5)
    assert far.item() == pytest.approx(math.log(math.e**5 + 2), abs=1e-5)


def test_a_text_that_comes_twice_is_neither_like_nor_unlike_itself():
    labels, texts = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1])
    vectors = torch.tensor([X, X, Y], requires_grad=True)
    loss = supervised_contrastive_loss(vectors, labels, texts, scale=5.0)
    loss.backward()
    assert loss.item() == 0.0
    assert vectors.grad.abs().sum().item() == 0.0


def test_cosent_loss_follows_the_order_of_scores_only():
    queries, documents = torch.tensor([X, X]), torch.tensor([X, Y])  # cosines 1 and 0
    right, wrong = torch.tensor([0.9, 0.2]), torch.tensor([0.2, 0.9])
    assert cosent_loss(queries, documents, right, scale=3.0).item() == pytest.approx(math.log(1 + math.exp(-3)))
    assert cosent_loss(queries, documents, wrong, scale=3.0).item() == pytest.approx(math.log(1 + math.exp(3)))
    assert cosent_loss(queries, documents, torch.ones(2), scale=3.0).item() == 0.0


def test_cosine_loss_is_the_squared_error():
    queries, documents = torch.tensor([X, X]), torch.tensor([X, Y])
    assert cosine_loss(queries, documents, torch.tensor([0.5, 0.0])).item() == pytest.approx(0.125)


def test_listwise_loss_takes_lists_of_different_lengths():
    logits = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    expected = (-math.log(math.e / (math.e + 2)) + math.log(2)) / 2
    assert listwise_loss(logits, [3, 2]).item() == pytest.approx(expected, abs=1e-6)
