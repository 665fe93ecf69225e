"""Explanations: words add up to the answer, and examples are training texts."""

import dataclasses
import sys

import pytest

from llms import LocalClassifier
from llms.errors import OptionValueError, UnsupportedOptionError
from llms.finetuning.classifier.finetune import finetune_classifier

TEXT = "where is my parcel, it is late"


@pytest.fixture(scope="module")
def explanation(trained):
    return LocalClassifier(trained.folder, device="cpu").explain(TEXT)


def test_every_word_stands_where_it_says(explanation):
    assert [TEXT[word.start : word.end] for word in explanation.words] == TEXT.split()
    assert [word.word for word in explanation.words] == TEXT.split()


def test_a_chinese_character_is_a_word(trained):
    words = LocalClassifier(trained.folder, device="cpu").explain("我的 parcel 退货").words
    assert [word.word for word in words] == ["我", "的", "parcel", "退", "货"]


def test_the_weights_add_up_to_the_change_of_the_score(explanation):
    assert explanation.convergence_gap < 0.1


def test_the_label_is_the_answer_unless_another_is_asked_for(trained):
    classifier = LocalClassifier(trained.folder, device="cpu")
    assert classifier.explain(TEXT).label == classifier.invoke(TEXT).label
    other = classifier.explain(TEXT, label="card")
    assert other.label == "card"
    assert other.probability == pytest.approx(classifier.invoke(TEXT).probabilities["card"], abs=5e-3)


def test_the_word_that_tells_weighs_more_than_one_that_does_not(trained):
    words = {
        word.word: word.weight for word in LocalClassifier(trained.folder).explain("the parcel", label="parcel").words
    }
    assert words["parcel"] > words["the"]


def test_the_examples_are_training_texts_nearest_first(explanation, labelled_texts):
    known = {(row.text, row.label) for row in labelled_texts.rows}
    known |= {(row.label, row.label) for row in labelled_texts.rows}  # few rows: the names were learnt, too
    assert [(example.text, example.label) in known for example in explanation.examples] == [True] * 3
    similarities = [example.similarity for example in explanation.examples]
    assert similarities == sorted(similarities, reverse=True)


def test_texts_that_shall_not_be_kept_are_not_there(labelled_texts, training_options, tmp_path):
    options = dataclasses.replace(training_options, method="head", keep_examples=False)
    folder = finetune_classifier(labelled_texts, tmp_path / "model", options).folder
    assert LocalClassifier(folder).explain(TEXT).examples == ()
    assert "refund my money" not in "".join(path.read_text("utf-8", "ignore") for path in folder.glob("*.json"))


def test_a_label_that_is_none_is_refused(trained):
    with pytest.raises(OptionValueError, match="'lost'"):
        LocalClassifier(trained.folder).explain(TEXT, label="lost")


def test_a_model_trained_elsewhere_does_not_explain_itself(sequence_classifier_folder):
    with pytest.raises(UnsupportedOptionError, match="fine-tune it"):
        LocalClassifier(sequence_classifier_folder).explain(TEXT)


def test_a_missing_library_is_named(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedOptionError, match="captum"):
        LocalClassifier(trained.folder).explain(TEXT)
