"""Training on vectors that lie close together, as those of some encoders do, gives what others give."""

import numpy as np
import pytest

from llms.classifier.head import ScoreParts
from llms.classifier.out_of_scope import ScopeModel
from llms.encoder.adapters import body_of
from llms.encoder.cosine_floor import vector_spread
from llms.encoder.sentence_encoder import open_sentence_transformer
from llms.finetuning import ClassifierOptions, finetune_classifier
from llms.finetuning.classifier.evaluation import AccuracyTarget, fit_calibration
from llms.finetuning.classifier.head import fit_linear_layer
from llms.finetuning.data.hard_negatives import nearest_negatives
from llms.finetuning.data.pair_relations import KnownPositives
from llms.finetuning.data.pairs import TextPair
from llms.finetuning.labelling.diversity import ChosenRows
from llms.finetuning.trainer.adapted_models import apply_to_body
from tests import tiny_models

LABELS = ("a", "b", "c")


def _vectors(num_rows, seed):
    """Three noisy groups of unit vectors, and which group each is of."""
    rng = np.random.default_rng(seed)
    ids = np.arange(num_rows) % 3
    centers = np.random.default_rng(0).standard_normal((3, 24))
    vectors = centers[ids] + 1.2 * rng.standard_normal((num_rows, 24))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), ids


def _lift(vectors, lift):
    shared = np.full((len(vectors), 1), np.sqrt(lift))
    return np.hstack([np.sqrt(1 - lift) * vectors, shared]).astype(np.float32)


@pytest.mark.parametrize("lift", [0.5, 0.8])
def test_a_linear_layer_tells_labels_apart_where_vectors_lie_close_together(lift):
    (train, ids), (test, wanted) = _vectors(60, 1), _vectors(90, 2)
    right = []
    for vectors, asked in ((train, test), (_lift(train, lift), _lift(test, lift))):
        weight, bias = fit_linear_layer(vectors, ids, 3)
        right.append(np.mean((asked @ weight.T + bias).argmax(axis=1) == wanted))
    assert right[1] >= right[0] - 0.03


@pytest.mark.parametrize("lift", [0.8, 0.95])
def test_thresholds_and_scope_are_fitted_alike(lift):
    rng = np.random.default_rng(0)
    targets = np.arange(15) % 3
    scores = rng.normal(0, 1, (15, 3)).astype(np.float32)
    cosines = (0.4 + 0.2 * np.eye(3)[targets] + rng.normal(0, 0.1, (15, 3))).astype(np.float32)
    fitted = []
    for room in (1.0, 1 - lift):
        near = (1 - (1 - cosines) * room).astype(np.float32)
        signs = np.stack([near.max(axis=1), near.max(axis=1) * 0, scores.max(axis=1), scores.max(axis=1)], axis=1)
        parts = ScoreParts(scores, scores, near, signs.astype(np.float32))
        fitted.append((fit_calibration(parts, targets, AccuracyTarget(), LABELS), room))
    (plain, _), (lifted, room) = fitted
    assert lifted.scales[2] * room == pytest.approx(plain.scales[2], rel=0.05)
    assert lifted.scales[:2] == pytest.approx(plain.scales[:2], rel=0.05)
    assert lifted.min_probability == pytest.approx(plain.min_probability, abs=0.02)
    assert lifted.scope.spreads[0] / room == pytest.approx(plain.scope.spreads[0], rel=0.05)


def test_with_few_rows_a_text_unlike_all_others_is_out_of_scope_with_every_encoder():
    signs = np.zeros((5, 4), dtype=np.float32)
    signs[:, 0] = [0.93, 0.94, 0.95, 0.94, 0.93]
    strange = np.array([[0.80, 0, 0, 0]], dtype=np.float32)
    model = ScopeModel.fit(signs)
    assert model.score(strange)[0] < 0.5 * model.score(signs).min()


def test_negatives_are_as_hard_with_every_encoder():
    pairs = [TextPair("q1", "a1"), TextPair("q2", "a2")]
    vectors = {"q1": [1, 0, 0], "a1": [0.9, 0.3, 0], "q2": [0, 1, 0], "a2": [0.4, 0.8, 0.1]}
    plain = {name: np.array(value) / np.linalg.norm(value) for name, value in vectors.items()}
    found = []
    for lift in (0.0, 0.9):

        def embed(texts, _role, lift=lift):
            return _lift(np.array([plain[text] for text in texts]), lift)

        found.append(
            nearest_negatives(pairs, KnownPositives.from_pairs(pairs), embed=embed, count=1, max_similarity=0.9)
        )
    assert found[0] == found[1] == [("a2",), ("a1",)]


def test_what_is_nearly_equal_is_told_by_how_far_all_texts_lie_apart():
    vectors, _ = _vectors(30, 3)
    for lift in (0.0, 0.8, 0.95):
        lifted = _lift(vectors, lift)
        chosen = ChosenRows([], lifted[:0], spread=vector_spread(lifted))
        assert sum(chosen.take(f"text {row}", vector) for row, vector in enumerate(lifted)) == 30
        assert not chosen.take("again", lifted[0])


@pytest.mark.parametrize(
    ("words", "chosen", "is_trained"), [(50, None, True), (9000, None, False), (9000, True, True), (50, False, False)]
)
def test_word_vectors_stay_as_they_are_where_they_are_most_of_the_weights(
    tmp_path, encoder_folder, words, chosen, is_trained
):
    model = open_sentence_transformer(encoder_folder, device="cpu")
    body = body_of(model)
    body.resize_token_embeddings(words)
    apply_to_body(model, ClassifierOptions(train_word_vectors=chosen), num_steps=10)
    assert body.get_input_embeddings().weight.requires_grad == is_trained
    assert all(p.requires_grad for name, p in body.named_parameters() if "word_embeddings" not in name)


def test_word_vectors_are_kept_when_that_is_asked_for(tmp_path, encoder_folder, labelled_texts):
    from safetensors.numpy import load_file

    options = ClassifierOptions(
        base=str(encoder_folder), train_word_vectors=False, epochs=1, device="cpu", show_progress=False, track="none"
    )
    folder = finetune_classifier(labelled_texts, tmp_path / "model", options).folder
    name = "embeddings.word_embeddings.weight"
    before, after = (load_file(path / "model.safetensors") for path in (encoder_folder, folder))
    np.testing.assert_array_equal(after[name], before[name])
    changed = [key for key in before if key in after and not np.array_equal(before[key], after[key])]
    assert changed


def test_an_encoder_whose_cosines_lie_close_to_one_learns_labels(tmp_path, labelled_texts):
    encoder = tiny_models.build_sentence_encoder(tmp_path / "encoder", shared=3.0)
    options = ClassifierOptions(
        base=str(encoder), method="head", device="cpu", show_progress=False, track="none", learn_names=False
    )
    trained = finetune_classifier(labelled_texts, tmp_path / "model", options)
    assert trained.metrics["held_out_accuracy"] > 0.6
