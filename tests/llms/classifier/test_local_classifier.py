"""Trained folders and plain transformers folders as classifiers."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from llms import LocalClassifier
from llms.errors import ModelFolderError, ModelNotFoundError, OptionValueError, TuneChainError
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from tests.contracts import ClassifierContract
from tests.waiting import wait_until


class TestTrainedClassifier(ClassifierContract):
    @pytest.fixture
    def classifier(self, trained):
        return LocalClassifier(trained.folder, device="cpu", batch_size=2)


class TestSequenceClassifier(ClassifierContract):
    @pytest.fixture
    def classifier(self, sequence_classifier_folder):
        return LocalClassifier(sequence_classifier_folder, device="cpu", batch_size=2)


def test_the_labels_are_those_of_the_training_rows(trained):
    assert LocalClassifier(trained.folder).labels == ("card", "money", "parcel")


def test_a_training_text_is_in_scope_and_recognised(trained):
    reply = LocalClassifier(trained.folder, min_probability=0.0).invoke("refund my money")
    assert (reply.label, reply.accepted) == ("money", True)
    assert reply.in_scope > 0.8


def test_threads_that_ask_at_once_are_answered_in_fewer_passes_each_with_its_own(trained, monkeypatch):
    classifier = LocalClassifier(trained.folder)
    texts = ["refund my money", "my card is lost", "where is my parcel", "something else"] * 8
    alone = classifier.batch(texts)
    passes = []
    predict = classifier.head.predict

    def counted(texts, **options):
        passes.append(len(texts))
        if len(passes) == 1:
            wait_until(lambda: len(classifier._gatherer._waiting) > 1)  # others come meanwhile
        return predict(texts, **options)

    monkeypatch.setattr(type(classifier.head), "predict", lambda _, texts, **options: counted(texts, **options))
    with ThreadPoolExecutor(len(texts)) as pool:
        replies = list(pool.map(classifier.invoke, texts))
    assert [reply.label for reply in replies] == [reply.label for reply in alone]
    assert [reply.probability for reply in replies] == pytest.approx([reply.probability for reply in alone], abs=1e-5)
    assert len(passes) < len(texts)


def test_a_reply_below_the_minimum_is_not_accepted(trained):
    strict = LocalClassifier(trained.folder, min_probability=1.0)
    assert not strict.invoke("refund my money").accepted
    assert LocalClassifier(trained.folder).min_probability == strict.manifest.min_probability


def test_a_reloaded_model_predicts_the_same(trained, trained_copy):
    texts = ["refund", "card", "parcel", "something else"]
    first = LocalClassifier(trained.folder).batch(texts)
    again = LocalClassifier(trained_copy).batch(texts)
    assert [r.probabilities for r in first] == [r.probabilities for r in again]


def test_a_model_trained_anew_into_the_same_folder_is_the_one_used(trained_copy, labelled_texts, training_options):
    LocalClassifier(trained_copy).invoke("refund")  # now the old one is in memory
    swapped = LabelledTexts([LabelledText(row.text[::-1], row.label) for row in labelled_texts.rows])
    finetune_classifier(swapped, trained_copy, training_options)
    moved = shutil.copytree(trained_copy, trained_copy.parent / "moved")
    texts = ["refund", "drac ym"]
    here, there = (LocalClassifier(folder).batch(texts) for folder in (trained_copy, moved))
    assert [r.probabilities for r in here] == [r.probabilities for r in there]


@pytest.mark.parametrize("name", ["model.safetensors", "classifier.safetensors"])
def test_a_changed_byte_in_the_weights_is_refused_with_the_files_name(trained_copy, name):
    content = bytearray((trained_copy / name).read_bytes())
    content[-1] ^= 1
    (trained_copy / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=rf"{name} has changed since training"):
        LocalClassifier(trained_copy)


@pytest.mark.parametrize("name", ["classifier.safetensors", "1_Pooling/config.json"])
def test_a_missing_file_is_refused_with_its_name(trained_copy, name):
    (trained_copy / name).unlink()
    with pytest.raises(ModelFolderError, match=rf"lacks {name}"):
        LocalClassifier(trained_copy)


@pytest.mark.parametrize("name", ["/etc/hostname", "../elsewhere.txt", "1_Pooling/../../elsewhere.txt"])
def test_a_manifest_that_lists_a_file_elsewhere_is_refused_and_the_file_not_read(trained_copy, name):
    (trained_copy.parent / "elsewhere.txt").write_text("secret")
    manifest = json.loads((trained_copy / "manifest.json").read_text("utf-8"))
    manifest["files"][name] = "0" * 64
    (trained_copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="lies outside of the folder"):
        LocalClassifier(trained_copy)


@pytest.mark.parametrize("manifest", ["{", "[]", "{}", '{"schema_version": 2}'])
def test_a_manifest_that_cannot_be_read_is_refused(trained_copy, manifest):
    (trained_copy / "manifest.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(ModelFolderError, match=r"manifest\.json"):
        LocalClassifier(trained_copy)


def test_an_encoder_without_a_classification_head_is_refused(encoder_folder):
    with pytest.raises(ModelFolderError, match="lacks the weights of a classifier"):
        LocalClassifier(encoder_folder).invoke("card")


def test_cut_weights_are_refused_with_a_typed_error(sequence_classifier_folder, tmp_path):
    folder = shutil.copytree(sequence_classifier_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelFolderError, match="cannot be loaded as a classifier"):
        LocalClassifier(folder).invoke("card")


def test_a_text_longer_than_the_model_reads_is_cut_not_an_error(sequence_classifier_folder, trained):
    long_text = "refund my money " * 200
    for folder in (sequence_classifier_folder, trained.folder):
        assert LocalClassifier(folder).invoke(long_text).label


def test_the_labels_of_a_plain_folder_are_those_of_its_configuration(sequence_classifier_folder):
    assert LocalClassifier(sequence_classifier_folder).labels == ("bad", "good", "neutral")


def test_a_missing_folder_is_refused_at_construction(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        LocalClassifier(tmp_path / "nothing")


def test_an_unknown_precision_is_refused(trained):
    with pytest.raises(OptionValueError, match="float16"):
        LocalClassifier(trained.folder, precision="float16").invoke("card")


def test_a_text_that_is_no_text_is_a_typed_error(trained):
    with pytest.raises(TuneChainError, match="got NoneType"):
        LocalClassifier(trained.folder).invoke(None)


def test_callbacks_see_a_call(trained):
    from langchain_core.callbacks import BaseCallbackHandler

    class Listener(BaseCallbackHandler):
        def __init__(self):
            self.outputs = []

        def on_chain_end(self, outputs, **kwargs):
            self.outputs.append(outputs)

    listener = Listener()
    reply = LocalClassifier(trained.folder).invoke("card", {"callbacks": [listener]})
    assert listener.outputs == [reply]
