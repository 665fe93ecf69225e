"""Training a tagger: every method, repeatable, and never at the cost of what was there before."""

import dataclasses
import os

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from llms import LocalTagger
from llms.errors import ModelFolderError, TrainingDataError
from llms.finetuning.tagger import finetune as training
from llms.finetuning.tagger.data import LabelledSpan, TaggedText, TaggedTexts
from llms.finetuning.tagger.finetune import finetune_tagger
from llms.finetuning.tagger.options import TaggerOptions
from llms.finetuning.tagger.training import train_network, window_examples
from llms.tagger.scheme import TagScheme
from llms.tagger.tokenizer import TaggerTokenizer
from tests.llms.finetuning.tagged_rows import build_base, build_tagged_texts, quick_options

TEXTS = ["where is my card 4711 lost", "my parcel late", "where is my money lost", "退货"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def rows():
    return build_tagged_texts()


def _answers(folder):
    return LocalTagger(folder, precision="float32").batch(TEXTS)


# each way a folder can be written; what each method learns is tested with the classifier
@pytest.mark.parametrize(
    ("method", "keep_adapter"), [("full", False), ("lora", False), ("lora", True), ("prefix", False), ("head", True)]
)
def test_each_kind_of_folder_finds_what_the_trained_network_found(
    rows, base, tmp_path, method, keep_adapter, monkeypatch
):
    seen = []

    def spy(*args, **kwargs):
        seen.append(train_network(*args, **kwargs))
        return seen[0]

    monkeypatch.setattr("llms.finetuning.tagger.training.train_network", spy)
    options = quick_options(base, method=method, keep_adapter=keep_adapter, epochs=1, precision="float32", max_tokens=8)
    result = finetune_tagger(rows, tmp_path / "tagger", options)
    tagger = LocalTagger(result.folder, precision="float32")
    assert [tagging.text for tagging in tagger.batch(TEXTS)] == TEXTS
    ours, saved = (network.word_logits(TEXTS) for network in (seen[0].tagger, tagger._network))
    for one, other in zip(ours, saved, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
    has_whole_model = (result.folder / "model.safetensors").exists()
    assert has_whole_model == (not keep_adapter and method not in ("adapter", "prefix"))
    assert tagger.manifest.trained_parameters <= tagger.manifest.total_parameters
    assert os.listdir(tmp_path) == ["tagger"]  # noqa: PTH208  # no checkpoint is left, hidden ones too


@pytest.mark.parametrize("method", TaggerOptions.methods)
def test_the_method_of_the_options_is_applied(rows, base, tmp_path, method, applied_method):
    assert applied_method(lambda: finetune_tagger(rows, tmp_path / "m", quick_options(base, method=method))) == method


def test_adapters_of_one_base_share_its_weights(rows, base, tmp_path):
    folders = [
        finetune_tagger(
            rows,
            tmp_path / str(seed),
            quick_options(base, method="lora", keep_adapter=True, seed=seed, epochs=1),
        ).folder
        for seed in (0, 1)
    ]
    models = [LocalTagger(folder)._network.model for folder in folders]
    words = [next(tensor for name, tensor in model.named_parameters() if "word_embeddings" in name) for model in models]
    assert words[0].data_ptr() == words[1].data_ptr()
    assert not (folders[0] / "model.safetensors").exists()


def test_the_same_seed_gives_the_same_weights(rows, base, tmp_path):
    options = quick_options(base, epochs=2)
    first, second = (finetune_tagger(rows, tmp_path / name, options) for name in ("one", "two"))
    ours, theirs = (load_file(result.folder / "model.safetensors") for result in (first, second))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert first.metrics == second.metrics
    other = finetune_tagger(rows, tmp_path / "three", dataclasses.replace(options, seed=1))
    assert _answers(other.folder) != _answers(first.folder)


def test_the_manifest_says_what_was_trained(rows, base, tmp_path):
    result = finetune_tagger(rows, tmp_path / "tagger", quick_options(base))
    manifest = LocalTagger(result.folder).manifest
    assert (manifest.task, manifest.labels, manifest.method) == ("tagger", ("number", "state"), "full")
    assert manifest.data_sha256 == rows.sha256
    assert manifest.reads_shapes
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= set(manifest.files)
    assert len(manifest.reference_outputs) == 3
    assert manifest.reference_outputs[0].spans
    assert manifest.temperature == manifest.calibration["temperature"]
    assert result.metrics["held_out_entity_f1"] > 0.9
    assert [entry["epoch"] for entry in result.history] == [1.0, 2.0, 3.0, 4.0]
    assert {"held_out_entity_f1", "loss"} <= set(result.history[0])


def test_a_folder_is_an_ordinary_transformers_model(rows, base, tmp_path):
    from transformers import AutoModelForTokenClassification

    folder = finetune_tagger(rows, tmp_path / "tagger", quick_options(base, epochs=1)).folder
    model = AutoModelForTokenClassification.from_pretrained(folder)
    assert tuple(model.config.id2label.values()) == TagScheme.of_labels(["number", "state"]).tags


def test_training_prints_nothing(rows, base, tmp_path, capfd):
    finetune_tagger(rows, tmp_path / "quiet", quick_options(base, epochs=1))
    assert capfd.readouterr() == ("", "")


def test_a_tagger_can_be_the_base_of_another(rows, base, tmp_path):
    first = finetune_tagger(rows, tmp_path / "first", quick_options(base, epochs=1)).folder
    states = TaggedTexts([row for row in rows.rows if not any(span.label == "number" for span in row.spans)])
    second = finetune_tagger(states, tmp_path / "second", quick_options(first, epochs=1)).folder
    assert LocalTagger(second).labels == ("state",)


def test_every_word_of_a_long_text_is_learnt_once(base):
    source = AutoTokenizer.from_pretrained(base)
    tokenizer = TaggerTokenizer.take(source, max_tokens=9, input_names=("input_ids", "attention_mask"))
    scheme = TagScheme.of_labels(["number"])
    text = "card 4711 lost " * 5 + "my card"
    row = TaggedText(text, tuple(LabelledSpan(place, place + 4, "number") for place in range(5, 75, 15)))
    examples = window_examples([row], tokenizer, scheme)
    assert max(len(example.ids) for example in examples) == 9
    learnt = np.concatenate([example.labels[example.labels >= 0] for example in examples])
    assert learnt.tolist() == [0, 1, 0] * 5 + [0, 0]


def test_an_error_while_writing_leaves_the_old_model(rows, base, tmp_path, monkeypatch):
    options = quick_options(base, epochs=1)
    folder = finetune_tagger(rows, tmp_path / "tagger", options).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_manifest", fail)
    with pytest.raises(OSError, match="No space left"):
        finetune_tagger(rows, folder, options)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_rows_without_spans_are_refused_before_training(rows, base, tmp_path):
    bare = TaggedTexts([row for row in rows.rows if not row.spans])
    with pytest.raises(TrainingDataError, match="spans in at least two texts"):
        finetune_tagger(bare, tmp_path / "never", quick_options(base))
    assert not (tmp_path / "never").exists()


def test_a_folder_that_holds_something_else_is_never_replaced(rows, base, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        finetune_tagger(rows, tmp_path, quick_options(base))


def test_a_base_that_continues_texts_is_refused(rows, chat_folder, tmp_path):
    with pytest.raises(ModelFolderError, match="encoder"):
        finetune_tagger(rows, tmp_path / "never", quick_options(chat_folder))


def test_the_rate_is_the_methods_own_unless_given():
    assert TaggerOptions(method="head").peak_learning_rate == 1e-2
    assert TaggerOptions(method="lora").peak_learning_rate > TaggerOptions().peak_learning_rate
    assert TaggerOptions(method="head", learning_rate=1e-3).peak_learning_rate == 1e-3
