"""The method of a training is chosen by held-out rows, and said."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms import LocalClassifier
from llms.errors import UnsupportedOptionError
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.method_choice import choose_method, compare_answers
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, MultiLabelText
from llms.finetuning.embeddings.options import EmbeddingsOptions


def rights(num_texts, *, num_gained, num_lost=0):
    """Return texts of which the costlier method gains some on the head, and loses some."""
    return [(f"text {i}", i >= num_gained, i < num_gained or i >= num_gained + num_lost) for i in range(num_texts)]


@pytest.mark.parametrize("candidate", ["full", "lora"])
def test_what_is_right_clearly_more_often_is_taken(candidate):
    choice = compare_answers(rights(300, num_gained=30, num_lost=5), candidate)
    assert choice.method == candidate
    assert choice.gain == pytest.approx(25 / 300)
    assert 0 < choice.lower < choice.gain
    assert choice.reason.startswith(f"{candidate}, because")
    assert "300" in choice.reason
    assert "+8.3%" in choice.reason


@pytest.mark.parametrize(("num_gained", "num_lost"), [(0, 0), (1, 0), (12, 10), (5, 30)])
def test_what_chance_explains_is_no_reason_to_train_more(num_gained, num_lost):
    assert compare_answers(rights(300, num_gained=num_gained, num_lost=num_lost), "full").method == "head"


def test_a_text_asked_several_times_counts_once():
    once = rights(60, num_gained=8, num_lost=1)
    assert compare_answers(once * 3, "full") == compare_answers(once, "full")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.booleans(), st.booleans()), max_size=30))
def test_any_answers_give_a_choice_and_the_same_in_any_order(found):
    choice = compare_answers(found, "full")
    assert choice.method == ("full" if choice.lower > 0 else "head")
    assert choice.lower <= choice.gain + 1e-12
    shuffled = random.Random(0).sample(found, len(found))
    assert compare_answers(shuffled, "full").gain == pytest.approx(choice.gain)


class Trainings:
    """Trainings that are noted instead of done: the head knows half of the labels, the other methods all."""

    def __init__(self, monkeypatch):
        self.done = []
        monkeypatch.setattr("llms.finetuning.classifier.method_choice.LocalClassifier", self.open)
        monkeypatch.setattr("llms.finetuning.classifier.method_choice.find_manifest_of", self.find)
        self.methods = {}

    def train(self, rows, folder, options):
        self.done.append((options.method, len(rows.rows)))
        self.methods[folder] = options.method

    def find(self, folder, _kind):
        return self.methods.get(folder)

    def open(self, folder, **_options):
        return self.Model(self.methods[folder])

    @dataclasses.dataclass
    class Model:
        method: str

        def batch(self, texts):
            even = [int(text.split()[1]) % 2 == 0 for text in texts]
            labels = ["even" if is_even and self.method != "head" else "odd" for is_even in even]
            return [dataclasses.make_dataclass("Reply", ["label"])(label) for label in labels]


ROWS = [LabelledText(f"row {i}", ("even", "odd")[i % 2]) for i in range(120)]


def test_few_rows_are_split_three_times_and_many_cut(tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    options = ClassifierOptions(method="auto", track="none")
    assert choose_method(ROWS, tmp_path / "model", options, train=trainings.train).method == "full"
    assert trainings.done == [("head", 80), ("full", 80)] * 3
    trainings.done.clear()
    many = [LabelledText(f"row {i}", ("even", "odd")[i % 2]) for i in range(7_000)]
    choice = choose_method(many, tmp_path / "model", options, train=trainings.train)
    assert trainings.done == [("head", 2_000), ("full", 2_000)]
    assert choice.num_rows == 2_000


def test_trials_that_are_done_are_not_repeated(tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    options = ClassifierOptions(method="auto", track="none")
    first = choose_method(ROWS, tmp_path / "model", options, train=trainings.train)
    trainings.done.clear()
    assert choose_method(ROWS, tmp_path / "model", options, train=trainings.train) == first
    assert trainings.done == []
    choose_method(ROWS, tmp_path / "model", dataclasses.replace(options, epochs=2), train=trainings.train)
    assert trainings.done, "trials of other options say nothing"


def test_lora_is_asked_where_the_adapter_is_kept(tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch)
    options = ClassifierOptions(method="auto", keep_adapter=True, track="none")
    assert choose_method(ROWS, tmp_path / "model", options, train=trainings.train).method == "lora"


def test_rows_with_several_labels_are_refused(tmp_path):
    rows = [MultiLabelText(f"row {i}", ("a", "b")) for i in range(20)]
    with pytest.raises(UnsupportedOptionError, match="name a method"):
        choose_method(rows, tmp_path / "model", ClassifierOptions(method="auto", track="none"), train=print)


def test_other_tasks_say_that_they_have_no_such_choice():
    with pytest.raises(UnsupportedOptionError, match="auto"):
        EmbeddingsOptions(method="auto")


def test_a_training_says_what_it_chose_and_leaves_no_trials(labelled_texts, training_options, tmp_path):
    options = dataclasses.replace(training_options, method="auto", track="none")
    trained = finetune_classifier(labelled_texts, tmp_path / "model", options)
    method = LocalClassifier(trained.folder).manifest.method
    assert method in ("head", "full")
    assert trained.method_reason.startswith(f"{method}, because")
    assert [path.name for path in tmp_path.iterdir() if "trial" in path.name] == []
