"""Self-training: what is learnt from unlabelled texts never shows among the held-out rows, and never does harm."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from llms import LocalClassifier
from llms.errors import InputTextError, ModelFolderError, OptionValueError, TrainingDataError
from llms.finetuning.classifier.finetune import TrainedClassifier, finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.labelling import self_training
from llms.finetuning.labelling.self_training import self_train

ENDINGS = ["now", "today", "please", "help", "thanks", "again", "quick", "soon", "urgent", "hello"]


@pytest.fixture(scope="module")
def unlabelled(labelled_texts):
    """Forty texts much like the labelled ones, two of which are labelled ones."""
    texts = [f"{row.text} {ending}" for row, ending in zip(labelled_texts.rows * 3, ENDINGS * 4, strict=False)]
    return [*texts[:38], labelled_texts.rows[0].text, labelled_texts.rows[1].text.upper() + "!"]


@pytest.fixture(scope="module")
def options(encoder_folder):
    """The frozen tiny encoder, and a threshold that this little data reaches."""
    return ClassifierOptions(
        base=str(encoder_folder),
        method="head",
        held_out_share=0.3,
        accepted_accuracy=0.5,
        device="cpu",
        track="none",
        show_progress=False,
    )


@pytest.fixture
def trainings(monkeypatch):
    """The rows of each training, in order."""
    seen = []

    def record(train, folder, options):
        seen.append((train, options))
        return finetune_classifier(train, folder, options)

    monkeypatch.setattr(self_training, "finetune_classifier", record)
    return seen


def test_both_models_are_judged_by_the_same_rows_that_people_labelled(
    labelled_texts, unlabelled, options, tmp_path, trainings
):
    outcome = self_train(labelled_texts, unlabelled, tmp_path / "model", options, min_probability=0.4)
    (first, by_time), (labelling, by_label), (second, _) = trainings
    assert (by_time.split_by, by_label.split_by) == ("time", "label")
    latest = max(row.time for row in first.rows)
    held_out = [row for row in first.rows if row.time == latest]
    assert 3 <= len(held_out) < len(first.rows)
    assert held_out == [row for row in second.rows if row.time == latest]
    assert labelling.rows == [row for row in first.rows if row.time < latest]
    assert {(row.text, row.label) for row in first.rows} == {(row.text, row.label) for row in labelled_texts.rows}
    added = [row for row in second.rows if row not in first.rows]
    assert outcome.num_sure == len(added) > 0
    assert {row.text for row in added} <= set(unlabelled[:38])


def test_the_score_never_falls_and_the_folder_holds_the_better_model(labelled_texts, unlabelled, options, tmp_path):
    outcome = self_train(labelled_texts, unlabelled, tmp_path / "model", options, min_probability=0.4)
    assert outcome.score >= outcome.score_before
    assert outcome.trained.folder == tmp_path / "model"
    assert outcome.trained.metrics["held_out_accuracy"] == outcome.score
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text("utf-8"))
    assert manifest["metrics"]["held_out_accuracy"] == outcome.score
    assert LocalClassifier(tmp_path / "model").invoke("my card is lost").label in ("card", "money", "parcel")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("second_score", "is_kept"), [(0.4, False), (0.5, True), (0.6, True)])
def test_pseudo_labels_stay_only_where_the_score_does_not_fall(
    labelled_texts, unlabelled, options, tmp_path, monkeypatch, second_score, is_kept
):
    scores = iter([0.5, 0.9, second_score])  # that of the model in the middle, which labels, is not asked for

    def judge(train, folder, options):
        trained = finetune_classifier(train, folder, options)
        return TrainedClassifier(folder, trained.metrics | {"held_out_accuracy": next(scores)})

    monkeypatch.setattr(self_training, "finetune_classifier", judge)
    outcome = self_train(labelled_texts, unlabelled, tmp_path / "model", options, min_probability=0.4)
    assert (outcome.score_before, outcome.score_after) == (0.5, second_score)
    assert outcome.num_pseudo_labels == (outcome.num_sure if is_kept else 0)
    assert outcome.score == outcome.trained.metrics["held_out_accuracy"] == max(0.5, second_score)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_easy_label_does_not_swamp_the_others(labelled_texts, options, tmp_path, trainings):
    swarm = [f"my card is lost {place} {ending}" for place in range(5) for ending in ENDINGS]
    self_train(labelled_texts, swarm, tmp_path / "model", options, min_probability=0.01)
    (first, _), _, (second, _) = trainings
    added = Counter(row.label for row in second.rows if row not in first.rows)
    assert 0 < max(added.values()) <= 12  # twice the six rows of a label


def test_of_a_rare_label_every_row_is_learnt(labelled_texts, unlabelled, options, tmp_path, trainings):
    rows = [*labelled_texts.rows, LabelledText("hello there", "other"), LabelledText("good day", "other")]
    self_train(LabelledTexts(rows), unlabelled, tmp_path / "model", options, min_probability=0.4)
    labelling, _ = trainings[1]
    assert sum(row.label == "other" for row in labelling.rows) == 2


@pytest.mark.parametrize("num_known", [0, 5])
def test_nothing_new_leaves_the_first_model(labelled_texts, options, tmp_path, num_known):
    known = [row.text.upper() for row in labelled_texts.rows[:num_known]]
    outcome = self_train(labelled_texts, known, tmp_path / "model", options)
    assert (outcome.num_sure, outcome.num_pseudo_labels, outcome.score_after) == (0, 0, None)
    assert outcome.score == outcome.score_before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_bad_input_is_refused_before_any_training(labelled_texts, options, tmp_path, trainings):
    with pytest.raises(OptionValueError, match="min_probability must lie between 0 and 1, got 1"):
        self_train(labelled_texts, [], tmp_path / "model", options, min_probability=1)
    with pytest.raises(InputTextError, match="NUL"):
        self_train(labelled_texts, ["a\x00"], tmp_path / "model", options)
    with pytest.raises(TrainingDataError, match="single example"):
        self_train(LabelledTexts([LabelledText("a", "x"), LabelledText("b", "y")]), ["c"], tmp_path / "model", options)
    pairs = [LabelledText(f"{label} {place}", label) for label in "xy" for place in range(2)]
    with pytest.raises(TrainingDataError, match="no rows are left to stop and calibrate by"):
        self_train(LabelledTexts(pairs), ["c"], tmp_path / "model", options)
    by_group = [LabelledText(row.text, row.label, group=row.text[-1]) for row in pairs]
    with pytest.raises(TrainingDataError, match="2 examples of each label beside the held-out ones, 'x' has fewer"):
        self_train(LabelledTexts(by_group), ["c"], tmp_path / "model", replace(options, split_by="group"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="no model"):
        self_train(labelled_texts, ["c"], tmp_path / "mine", options)
    assert trainings == []
