"""Trained embeddings: better than before, the same after loading, and nothing is trained on what cannot be learnt."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest

from llms import LocalEmbeddings
from llms.errors import (
    ModelFolderError,
    OptionValueError,
    TrainingDataError,
    UnsupportedOptionError,
)
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.data.pair_relations import KnownPositives
from llms.finetuning.data.pairs import TextPair, TextPairs
from llms.finetuning.embeddings import training as embeddings_training
from llms.finetuning.embeddings.data import ContrastiveExample, ContrastiveRows
from llms.finetuning.embeddings.finetune import finetune_embeddings
from llms.finetuning.embeddings.options import EmbeddingsOptions
from llms.manifest import EmbeddingsManifest, load_manifest_of, save_manifest
from tests.tiny_models import build_chat_model, build_sequence_classifier

# a language of eight words and its translation: what no random encoder knows, and averages of words can learn
_TRANSLATION = dict(zip("abcdefgh", "退货要多久我的卡", strict=True))
PAIRS = TextPairs(
    [
        TextPair(" ".join(words), " ".join(_TRANSLATION[word] for word in words))
        for words in itertools.combinations("abcdefgh", 3)
    ]
)
TEXTS = ["a b c", "退 货 要", "where is my card", ""]
RANKING_FIGURES = {f"{on}_{of}" for on in ("base", "held_out") for of in ("mrr_at_10", "accuracy_at_1")}
METHODS = EmbeddingsOptions.methods


@pytest.fixture(scope="module")
def options(encoder_folder):
    return EmbeddingsOptions(
        base=str(encoder_folder),
        epochs=2,
        batch_size=16,
        held_out_share=0.2,
        learning_rate=0.01,
        max_tokens=16,
        device="cpu",
        precision="float32",
        track="none",
        show_progress=False,
    )


@pytest.fixture(scope="module")
def trained_embeddings(options, tmp_path_factory):
    """What training returned; do not change the folder."""
    changed = dataclasses.replace(options, epochs=8, learning_rate=0.02, patience=8)
    return finetune_embeddings(PAIRS, tmp_path_factory.mktemp("trained") / "embeddings", changed)


def _vectors(folder):
    return LocalEmbeddings(folder, device="cpu", precision="float32").embed_array(TEXTS)


def test_training_finds_held_out_translations(trained_embeddings):
    assert trained_embeddings.metrics["base_mrr_at_10"] < 0.15
    assert trained_embeddings.metrics["held_out_mrr_at_10"] > 0.25
    assert set(trained_embeddings.metrics) == RANKING_FIGURES
    assert {"epoch", "held_out_mrr_at_10"} <= set(trained_embeddings.history[0])


def test_the_best_weights_are_kept(trained_embeddings):
    best = max(row["held_out_mrr_at_10"] for row in trained_embeddings.history)
    assert trained_embeddings.metrics["held_out_mrr_at_10"] == pytest.approx(best, abs=0.02)


def test_the_manifest_says_what_was_trained(trained_embeddings, options):
    manifest = LocalEmbeddings(trained_embeddings.folder).manifest
    assert (manifest.task, manifest.base_model, manifest.method) == ("embeddings", options.base, "full")
    assert (manifest.data_sha256, manifest.loss, manifest.dimension) == (PAIRS.sha256, "ranking", 32)
    assert (manifest.max_tokens, manifest.metrics) == (16, trained_embeddings.metrics)
    assert [output.role for output in manifest.reference_outputs] == ["query", "document"]


@pytest.mark.parametrize("method", METHODS)
def test_the_method_of_the_options_is_applied(method, options, tmp_path, applied_method):
    changed = dataclasses.replace(options, method=method)
    assert applied_method(lambda: finetune_embeddings(PAIRS, tmp_path / "model", changed)) == method


# each way a folder can be written; what each method learns is tested with the classifier
@pytest.mark.parametrize(
    ("method", "keep_adapter"), [("full", False), ("lora", False), ("lora", True), ("prefix", False)]
)
def test_every_kind_of_folder_loads(method, keep_adapter, options, encoder_folder, tmp_path):
    changed = dataclasses.replace(options, method=method, keep_adapter=keep_adapter, epochs=1)
    result = finetune_embeddings(PAIRS, tmp_path / "model", changed)
    manifest = load_manifest_of(result.folder, EmbeddingsManifest)
    assert manifest.adapter == (keep_adapter or method in ("adapter", "prefix"))
    assert (result.folder / "model.safetensors").exists() != manifest.adapter
    vectors = _vectors(result.folder)
    assert vectors.shape == (len(TEXTS), 32)
    assert np.abs(vectors - _vectors(encoder_folder)).max() > 1e-4
    for output in manifest.reference_outputs:
        embeddings = LocalEmbeddings(result.folder, device="cpu", precision="float32")
        found = embeddings.embed_array([output.text], role=output.role)[0][:8]
        assert found == pytest.approx(output.numbers, abs=1e-4)


def test_an_adapter_leaves_its_base_as_it_is_and_shares_its_weights(options, encoder_folder, tmp_path):
    before = _vectors(encoder_folder)
    changed = dataclasses.replace(options, method="lora", keep_adapter=True, epochs=1)
    first, second = (finetune_embeddings(PAIRS, tmp_path / name, changed).folder for name in ("one", "two"))
    assert _vectors(first).tolist() == _vectors(second).tolist()
    one, two = (LocalEmbeddings(folder, device="cpu", precision="float32") for folder in (first, second))
    embedded = [each._encoder.model[0].model.get_input_embeddings().weight.data_ptr() for each in (one, two)]
    assert embedded[0] == embedded[1]
    assert _vectors(encoder_folder).tolist() == before.tolist()
    assert "adapter" in one.engine_reason
    with pytest.raises(UnsupportedOptionError, match="run on torch"):
        LocalEmbeddings(first, engine="openvino")


def test_the_same_seed_gives_the_same_vectors(options, tmp_path):
    folders = [finetune_embeddings(PAIRS, tmp_path / name, options).folder for name in ("one", "two")]
    assert _vectors(folders[0]).tolist() == _vectors(folders[1]).tolist()


def test_a_training_that_was_cut_off_goes_on_to_the_same_model(options, tmp_path, monkeypatch):
    whole = finetune_embeddings(PAIRS, tmp_path / "whole", options)
    forward, calls = embeddings_training._Network._loss, []

    def stop(self, *args):
        calls.append(1)
        if len(calls) > 4:  # in the second epoch
            raise KeyboardInterrupt
        return forward(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(embeddings_training._Network, "_loss", stop)
        with pytest.raises(KeyboardInterrupt):
            finetune_embeddings(PAIRS, tmp_path / "cut", options)
    assert not (tmp_path / "cut").exists()
    assert list(tmp_path.glob(".cut-checkpoints/checkpoint-*"))
    cut = finetune_embeddings(PAIRS, tmp_path / "cut", options)
    assert _vectors(cut.folder).tolist() == _vectors(whole.folder).tolist()
    assert not list(tmp_path.glob(".*-checkpoints"))


def test_labelled_texts_are_pulled_together(options, tmp_path):
    words = list(_TRANSLATION.items())[:4]  # a label has two words that the encoder does not know to be alike
    rows = [LabelledText(f"{word} {i}", both[0]) for both in words for word in both for i in range(8)]
    changed = dataclasses.replace(options, epochs=6, learning_rate=0.02, patience=6)
    result = finetune_embeddings(LabelledTexts(rows), tmp_path / "labels", changed)
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < 0.9 * losses[0]
    assert set(result.metrics) == RANKING_FIGURES
    assert LocalEmbeddings(result.folder).manifest.loss == "labels"


@pytest.mark.parametrize(("loss", "used"), [("auto", "cosent"), ("cosent", "cosent"), ("cosine", "cosine")])
def test_scores_are_learnt(loss, used, options, tmp_path):
    pairs = TextPairs([dataclasses.replace(row, score=i % 5 / 4) for i, row in enumerate(PAIRS.rows)])
    result = finetune_embeddings(pairs, tmp_path / "scores", dataclasses.replace(options, loss=loss, epochs=1))
    assert set(result.metrics) == {f"{on}_{of}" for on in ("base", "held_out") for of in ("spearman", "mean_error")}
    assert LocalEmbeddings(result.folder).manifest.loss == used


def test_mining_is_part_of_training(options, tmp_path):
    result = finetune_embeddings(PAIRS, tmp_path / "mined", dataclasses.replace(options, hard_negatives=2, epochs=1))
    assert result.metrics["held_out_mrr_at_10"] >= 0


def test_the_prompts_of_the_base_are_kept_and_used(encoder_folder, options, tmp_path):
    base = shutil.copytree(encoder_folder, tmp_path / "base")
    config = {"prompts": {"query": "where is ", "document": "refund "}, "default_prompt_name": None}
    (base / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    model = LocalEmbeddings(base)._encoder.model
    examples = [ContrastiveExample(query="card", document="lost")] * 2
    rows = ContrastiveRows(examples=examples, loss="ranking", known=KnownPositives.from_pairs([]))
    batch = embeddings_training._Collator(model, rows)(examples)
    decoded = [model.tokenizer.decode(batch[side]["input_ids"][0]) for side in ("queries", "documents")]
    assert decoded == ["[CLS] where is card [SEP]", "[CLS] refund lost [SEP]"]
    result = finetune_embeddings(PAIRS, tmp_path / "model", dataclasses.replace(options, base=str(base), epochs=1))
    embeddings = LocalEmbeddings(result.folder)
    assert embeddings.embed_query("card") != pytest.approx(embeddings.embed_documents(["card"])[0], abs=1e-3)


def test_training_prints_nothing(options, tmp_path, capfd):
    finetune_embeddings(PAIRS, tmp_path / "quiet", dataclasses.replace(options, epochs=1))
    assert capfd.readouterr() == ("", "")


def test_a_changed_file_is_refused_at_construction(trained_embeddings, tmp_path):
    folder = shutil.copytree(trained_embeddings.folder, tmp_path / "copy")
    (folder / "config.json").write_text((folder / "config.json").read_text("utf-8") + " ", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="has changed since training"):
        LocalEmbeddings(folder)


def test_a_model_that_gives_other_vectors_is_refused_at_the_first_text(trained_embeddings, tmp_path):
    folder = shutil.copytree(trained_embeddings.folder, tmp_path / "copy")
    manifest = load_manifest_of(folder, EmbeddingsManifest)
    wrong = manifest.reference_outputs[0].model_copy(
        update={"numbers": tuple(-x for x in manifest.reference_outputs[0].numbers)}
    )
    save_manifest(manifest.model_copy(update={"reference_outputs": (wrong,)}), folder)
    embeddings = LocalEmbeddings(folder)
    with pytest.raises(ModelFolderError, match=r"a cosine of at least 0\.99 to what it was, now -\d"):
        embeddings.embed_query("card")


def test_an_adapter_on_another_base_is_refused(encoder_folder, options, tmp_path):
    base = shutil.copytree(encoder_folder, tmp_path / "base")
    changed = dataclasses.replace(options, base=str(base), method="lora", keep_adapter=True, epochs=1)
    folder = finetune_embeddings(PAIRS, tmp_path / "model", changed).folder
    (base / "config_sentence_transformers.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="was trained on another"):
        LocalEmbeddings(folder).embed_query("card")


def test_a_folder_trained_for_another_task_still_gives_vectors(trained_copy):
    assert LocalEmbeddings(trained_copy).manifest is None
    assert len(LocalEmbeddings(trained_copy).embed_query("card")) == 32


@pytest.mark.parametrize("build", [build_chat_model, build_sequence_classifier])
def test_a_base_of_another_kind_is_refused_before_training(build, options, tmp_path):
    base = build(tmp_path / "base")
    with pytest.raises(ModelFolderError, match="no sentence encoder"):
        finetune_embeddings(PAIRS, tmp_path / "never", dataclasses.replace(options, base=str(base)))
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "train",
    [
        TextPairs([]),
        TextPairs([*PAIRS.rows, TextPair("a b c", "退 货 要", score=0.0)]),
        LabelledTexts([LabelledText("a", "x"), LabelledText("b", "x")]),
    ],
)
def test_rows_nothing_can_be_learnt_from_are_refused_before_training(train, options, tmp_path):
    with pytest.raises(TrainingDataError):
        finetune_embeddings(train, tmp_path / "never", options)
    assert not (tmp_path / "never").exists()


def test_a_folder_that_holds_something_else_is_never_replaced(options, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="is no model trained here"):
        finetune_embeddings(PAIRS, tmp_path, options)


def test_labelled_texts_take_no_options_of_pairs(labelled_texts, options, tmp_path):
    for changes in ({"hard_negatives": 1}, {"loss": "cosine"}):
        with pytest.raises(OptionValueError):
            finetune_embeddings(labelled_texts, tmp_path / "never", dataclasses.replace(options, **changes))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"method": "head"}, UnsupportedOptionError),
        ({"loss": "triplet"}, OptionValueError),
        ({"temperature": 0.0}, OptionValueError),
        ({"hard_negatives": -1}, OptionValueError),
        ({"max_negative_similarity": 1.5}, OptionValueError),
        ({"hard_negatives": 1, "loss": "cosent"}, OptionValueError),
    ],
)
def test_impossible_options_are_refused(changes, error):
    with pytest.raises(error):
        EmbeddingsOptions(**changes)


def test_a_merged_model_runs_on_openvino(options, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    folder = finetune_embeddings(PAIRS, tmp_path / "m", dataclasses.replace(options, method="lora", epochs=1)).folder
    embeddings = LocalEmbeddings(folder, engine="openvino", precision="float32")
    assert embeddings.embed_array(TEXTS) == pytest.approx(_vectors(folder), abs=1e-3)
    assert "openvino" in embeddings.engine_reason


@pytest.mark.parametrize("method", ["full", "lora", "adapter"])
def test_passes_and_recomputed_activations_save_memory_and_still_train(method, options, tmp_path):
    changed = dataclasses.replace(
        options, method=method, epochs=1, gradient_accumulation=2, gradient_checkpointing=True, hard_negatives=1
    )
    assert finetune_embeddings(PAIRS, tmp_path / "model", changed).history[-1]["step"] == 3
