"""Every method trains what it says, saves what it learnt, and predicts the same after loading."""

import dataclasses
import json

import numpy as np
import pytest

from llms import LocalClassifier
from llms.errors import ModelFolderError, OptionValueError, UnsupportedOptionError
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import MultiLabelText, MultiLabelTexts
from llms.finetuning.trainer.methods import METHODS
from llms.finetuning.trainer.options import TrainingOptions

TEXTS = ["refund please", "my card", "parcel late", "完全别的"]
ADDING = ("lora", "dora", "adalora", "ia3", "adapter", "prefix")


def _probabilities(classifier):
    return np.array([[reply.probabilities[label] for label in classifier.labels] for reply in classifier.batch(TEXTS)])


@pytest.fixture(scope="module")
def by_method(labelled_texts, training_options, tmp_path_factory):
    """A function method, keep_adapter -> folder trained so, each once."""
    folders = {}

    def train(method, *, keep_adapter=False):
        key = f"{method}-{keep_adapter}"
        if key not in folders:
            folder = tmp_path_factory.mktemp("methods") / key
            options = dataclasses.replace(
                training_options, method=method, keep_adapter=keep_adapter, precision="float32", track="none"
            )
            folders[key] = finetune_classifier(labelled_texts, folder, options).folder
        return folders[key]

    return train


@pytest.mark.parametrize("method", TrainingOptions.methods)
def test_a_method_trains_and_its_model_predicts_the_same_after_loading(by_method, method, tmp_path):
    folder = by_method(method)
    first, again = (LocalClassifier(folder, precision="float32") for _ in range(2))
    assert _probabilities(first) == pytest.approx(_probabilities(again), abs=1e-6)
    manifest = first.manifest
    assert manifest.method == method
    assert 0 < manifest.trained_parameters <= manifest.total_parameters
    assert (manifest.trained_parameters == manifest.total_parameters) == (method == "full")


@pytest.mark.parametrize("method", ADDING)
def test_a_method_that_adds_to_the_base_changes_the_vectors(by_method, method, encoder_folder):
    from llms.encoder.sentence_encoder import load_encoder

    vectors = LocalClassifier(by_method(method), precision="float32").head.encoder.encode(TEXTS)
    assert np.abs(vectors - load_encoder(encoder_folder, precision="float32").encode(TEXTS)).max() > 1e-6


@pytest.mark.parametrize("method", [method for method in ADDING if METHODS[method].can_merge])
def test_a_merged_model_says_what_the_kept_adapter_says(by_method, method):
    merged = LocalClassifier(by_method(method), precision="float32")
    kept = LocalClassifier(by_method(method, keep_adapter=True), precision="float32")
    assert _probabilities(merged) == pytest.approx(_probabilities(kept), abs=1e-3)


@pytest.mark.parametrize("method", ["head", *ADDING])
def test_a_kept_adapter_holds_nothing_of_the_base(by_method, method):
    folder = by_method(method, keep_adapter=True)
    assert not (folder / "model.safetensors").exists()
    assert json.loads((folder / "manifest.json").read_text())["adapter"] is True


def test_adapters_of_one_base_share_its_weights(by_method):
    bodies = [
        LocalClassifier(by_method(method, keep_adapter=True), device="cpu", precision="float32").head.encoder.model
        for method in ("lora", "adapter", "prefix")
    ]
    tables = [next(p for name, p in body.named_parameters() if "word_embeddings" in name) for body in bodies]
    assert len({table.data_ptr() for table in tables}) == 1


def test_heads_of_one_base_share_the_encoder_itself(by_method, labelled_texts, training_options, tmp_path):
    options = dataclasses.replace(training_options, method="head", keep_adapter=True, seed=7)
    other = finetune_classifier(labelled_texts, tmp_path / "other", options).folder
    first, second = (LocalClassifier(f) for f in (by_method("head", keep_adapter=True), other))
    assert first.head.encoder is second.head.encoder


def test_an_adapter_is_refused_over_another_base(by_method, tmp_path):
    import shutil

    folder = shutil.copytree(by_method("lora", keep_adapter=True), tmp_path / "copy")
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["base_fingerprint"], "0" * 16))
    with pytest.raises(ModelFolderError, match="was trained on another"):
        LocalClassifier(folder).invoke("card")


def test_an_adapter_does_not_run_on_openvino_and_says_what_to_do(by_method):
    with pytest.raises(UnsupportedOptionError, match="keep_adapter=False"):
        LocalClassifier(by_method("prefix"), engine="openvino").invoke("card")


def test_full_training_leaves_no_adapter_to_keep():
    with pytest.raises(OptionValueError, match="keep_adapter"):
        ClassifierOptions(method="full", keep_adapter=True)


@pytest.mark.parametrize("changes", [{"rank": 0}, {"batch_size": 10, "gradient_accumulation": 4}, {"learning_rate": 2}])
def test_impossible_options_are_refused(changes):
    with pytest.raises(OptionValueError):
        TrainingOptions(**changes)


def test_accumulated_passes_learn_what_one_pass_learns(labelled_texts, training_options, tmp_path):
    whole = dataclasses.replace(training_options, precision="float32", track="none")
    folders = [
        finetune_classifier(labelled_texts, tmp_path / str(parts), options).folder
        for parts, options in ((1, whole), (2, dataclasses.replace(whole, gradient_accumulation=2)))
    ]
    one, two = (_probabilities(LocalClassifier(folder, precision="float32")) for folder in folders)
    assert one == pytest.approx(two, abs=2e-2)  # where cosines lie close together, their scale magnifies rounding


def test_gradient_checkpointing_changes_nothing(labelled_texts, training_options, tmp_path):
    plain = dataclasses.replace(training_options, precision="float32", track="none")
    folders = [
        finetune_classifier(labelled_texts, tmp_path / name, options).folder
        for name, options in (("plain", plain), ("saved", dataclasses.replace(plain, gradient_checkpointing=True)))
    ]
    one, two = (_probabilities(LocalClassifier(folder, precision="float32")) for folder in folders)
    assert one == pytest.approx(two, abs=1e-5)


def test_contrastive_tuning_changes_the_encoder_and_leaves_nothing_behind(
    labelled_texts, training_options, encoder_folder, tmp_path
):
    from llms.encoder.sentence_encoder import load_encoder

    options = dataclasses.replace(training_options, method="head", contrastive_epochs=2, track="none")
    folder = finetune_classifier(labelled_texts, tmp_path / "model", options).folder
    vectors = LocalClassifier(folder, precision="float32").head.encoder.encode(TEXTS)
    assert np.abs(vectors - load_encoder(encoder_folder, precision="float32").encode(TEXTS)).max() > 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("changes", [{"contrastive_epochs": -1}, {"contrastive_epochs": 2, "keep_adapter": True}])
def test_contrastive_tuning_that_makes_no_sense_is_refused(changes):
    with pytest.raises(OptionValueError, match="contrastive_epochs"):
        ClassifierOptions(method="head", **changes)


class TestSeveralLabels:
    """Texts with several labels, one, or none."""

    @pytest.fixture(scope="class")
    def folder(self, labelled_texts, training_options, tmp_path_factory):
        rows = [
            MultiLabelText(row.text, (row.label, "lost") if "lost" in row.text else (row.label,))
            for row in labelled_texts.rows
        ]
        rows += [MultiLabelText(f"nothing of that {number}") for number in range(6)]
        options = dataclasses.replace(training_options, epochs=6, learning_rate=1e-2, track="none")
        return finetune_classifier(MultiLabelTexts(rows), tmp_path_factory.mktemp("several") / "model", options).folder

    def test_each_label_has_a_probability_of_its_own(self, folder):
        reply = LocalClassifier(folder).invoke("my card is lost")
        assert set(reply.probabilities) == {"card", "money", "parcel", "lost"}
        assert {"card", "lost"} <= set(reply.labels)

    def test_a_text_may_have_no_label(self, folder):
        assert LocalClassifier(folder).invoke("nothing of that 3").labels == ()

    def test_the_labels_are_those_above_the_threshold_best_first(self, folder):
        classifier = LocalClassifier(folder)
        for reply in classifier.batch(TEXTS):
            above = [label for label, p in reply.probabilities.items() if p >= classifier.min_probability]
            assert list(reply.labels) == above
