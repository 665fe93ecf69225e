"""Training: repeatable, silent, and never at the cost of what was there before."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from llms import LocalClassifier
from llms.errors import ModelFolderError, OptionValueError, TrainingDataError
from llms.finetuning.classifier import finetune as training
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts, MultiLabelText, MultiLabelTexts

TEXTS = ["refund please", "my card", "parcel", "完全别的"]


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def head_options(training_options):
    return dataclasses.replace(training_options, method="head")


def test_the_same_seed_gives_the_same_predictions(trained, labelled_texts, training_options, tmp_path):
    again = finetune_classifier(labelled_texts, tmp_path / "again", training_options)
    first, second = (LocalClassifier(folder).batch(TEXTS) for folder in (trained.folder, again.folder))
    assert [r.probabilities for r in first] == [r.probabilities for r in second]
    assert again.metrics == trained.metrics


def test_training_changes_the_encoder_and_reports_every_epoch(trained, encoder_folder):
    assert (trained.folder / "model.safetensors").read_bytes() != (encoder_folder / "model.safetensors").read_bytes()
    assert [entry["epoch"] for entry in trained.history] == [1.0, 2.0]
    assert set(trained.metrics) == {"held_out_accuracy", "held_out_macro_f1", "held_out_ece"}


def test_the_manifest_says_what_was_trained(trained, training_options, labelled_texts):
    manifest = LocalClassifier(trained.folder).manifest
    assert (manifest.base_model, manifest.method, manifest.seed) == (training_options.base, "full", 0)
    assert manifest.data_sha256 == labelled_texts.sha256
    assert {"torch", "transformers"} <= set(manifest.versions)
    assert {"model.safetensors", "classifier.safetensors", "tokenizer.json"} <= set(manifest.files)


def test_method_head_leaves_the_encoder_as_it_was(labelled_texts, head_options, encoder_folder, tmp_path):
    result = finetune_classifier(labelled_texts, tmp_path / "head", head_options)
    from safetensors.numpy import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (encoder_folder, result.folder))
    assert all((before[name] == after[name]).all() for name in before)
    assert result.history == []
    assert LocalClassifier(result.folder).invoke("refund my money").label == "money"


def test_two_labels_are_enough(labelled_texts, head_options, tmp_path):
    rows = [row for row in labelled_texts.rows if row.label != "parcel"]
    result = finetune_classifier(LabelledTexts(rows), tmp_path / "two", head_options)
    assert LocalClassifier(result.folder).labels == ("card", "money")
    assert LocalClassifier(result.folder).invoke("refund my money").label == "money"


def test_training_prints_nothing(labelled_texts, training_options, tmp_path, capfd):
    options = dataclasses.replace(training_options, epochs=1)
    finetune_classifier(labelled_texts, tmp_path / "quiet", options)
    assert capfd.readouterr() == ("", "")


def test_an_error_while_writing_leaves_the_old_model(trained_copy, labelled_texts, head_options, monkeypatch):
    before = _files(trained_copy)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_manifest", fail)
    with pytest.raises(OSError, match="No space left"):
        finetune_classifier(labelled_texts, trained_copy, head_options)
    assert _files(trained_copy) == before
    assert os.listdir(trained_copy.parent) == [trained_copy.name]  # noqa: PTH208  # hidden ones too


def test_an_error_at_the_last_rename_leaves_the_old_model(trained_copy, labelled_texts, head_options, monkeypatch):
    before = _files(trained_copy)
    rename = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Permission denied"):
        finetune_classifier(labelled_texts, trained_copy, head_options)
    assert _files(trained_copy) == before


def test_a_folder_that_holds_something_else_is_never_replaced(labelled_texts, head_options, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        finetune_classifier(labelled_texts, tmp_path, head_options)
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        finetune_classifier(labelled_texts, tmp_path / "thesis.txt", head_options)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "three years of work"


def test_an_empty_folder_is_filled(labelled_texts, head_options, tmp_path):
    assert LocalClassifier(finetune_classifier(labelled_texts, tmp_path, head_options).folder).labels


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "at least two labels, found 0"),
        ([("a", "x"), ("b", "x")], "at least two labels, found 1"),
        ([("a", "x"), ("b", "x"), ("c", "y")], "single example: 'y'"),
        ([("a", "x"), ("a", "x"), ("b", "y"), ("b", "y")], "no rows are left"),
    ],
)
def test_rows_nothing_can_be_learnt_from_are_refused_before_training(rows, reason, head_options, tmp_path):
    train = LabelledTexts([LabelledText(text, label) for text, label in rows])
    with pytest.raises(TrainingDataError, match=reason):
        finetune_classifier(train, tmp_path / "never", head_options)
    assert not (tmp_path / "never").exists()


_OUTSIDE = ["what is the weather", "sing a song", "who won the match", "tell me a joke", "how tall is the tower"]


@pytest.fixture(scope="module")
def with_outside(labelled_texts, head_options, tmp_path_factory):
    """A classifier that was shown texts of no label, under the first label of the alphabet."""
    rows = [*labelled_texts.rows, *(LabelledText(text, "any") for text in _OUTSIDE)]
    options = dataclasses.replace(head_options, outside_label="any")
    return finetune_classifier(LabelledTexts(rows), tmp_path_factory.mktemp("outside") / "model", options).folder


def test_texts_of_no_label_are_known_and_never_accepted(with_outside):
    classifier = LocalClassifier(with_outside, min_probability=0.0)
    assert classifier.labels == ("card", "money", "parcel", "any")
    replies = classifier.batch(_OUTSIDE)
    assert [(reply.label, reply.accepted) for reply in replies] == [("any", False)] * len(_OUTSIDE)
    inside = classifier.invoke("refund my money")
    assert (inside.label, inside.accepted) == ("money", True)
    assert max(reply.in_scope for reply in replies) < inside.in_scope
    # it is their label that decides, also where they look familiar
    classifier.manifest = classifier.manifest.model_copy(update={"min_in_scope": 0.0})
    assert not any(reply.accepted for reply in classifier.batch(_OUTSIDE))


def test_examples_of_no_label_do_not_make_a_text_look_familiar(with_outside):
    """Closeness to an outside example is no sign of being in scope; its probability lowers the score further."""
    head = LocalClassifier(with_outside).head
    texts = [*_OUTSIDE, "refund my money"]
    vectors = head.encoder.encode(texts)
    inside = head.example_labels < 3
    nearest = np.sort(vectors @ head.examples[inside].T, axis=1)[:, -5:].mean(axis=1)
    assert head.score_parts(texts, vectors).signs[:, 0] == pytest.approx(nearest, abs=1e-5)
    probabilities, in_scope = head.predict(texts, batch_size=8)
    assert (in_scope <= 1 - probabilities[:, -1] + 1e-6).all()


@pytest.mark.parametrize(
    ("labels", "outside", "reason"),
    [
        (["x", "x", "y", "y"], "z", "'z' needs rows with that label"),
        (["x", "x", "y", "y"], "y", "and with two others"),
    ],
)
def test_a_label_for_texts_of_no_label_needs_rows_beside_two_others(labels, outside, reason, head_options, tmp_path):
    train = LabelledTexts([LabelledText(f"text {place}", label) for place, label in enumerate(labels)])
    with pytest.raises(TrainingDataError, match=reason):
        finetune_classifier(train, tmp_path / "never", dataclasses.replace(head_options, outside_label=outside))


def test_texts_with_several_labels_have_no_label_for_those_of_none(head_options, tmp_path):
    rows = [MultiLabelText("a b", ("x", "y")), MultiLabelText("b c", ("y", "z")), MultiLabelText("c a", ("z", "x"))]
    options = dataclasses.replace(head_options, outside_label="x")
    with pytest.raises(OptionValueError, match="give such rows none"):
        finetune_classifier(MultiLabelTexts(rows), tmp_path / "never", options)


@pytest.mark.parametrize("changes", [{"held_out_share": 0.5}, {"epochs": 0}, {"batch_size": 0}, {"max_tokens": 1}])
def test_impossible_training_options_are_refused(changes):
    with pytest.raises(OptionValueError):
        ClassifierOptions(**changes)


def test_an_unknown_method_is_refused():
    with pytest.raises(OptionValueError, match="'half'"):
        ClassifierOptions(method="half")
