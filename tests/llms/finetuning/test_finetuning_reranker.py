"""Trained rerankers: better than before, the same after loading, and never taught that an answer is none."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest

from llms import LocalReranker
from llms.errors import ModelFolderError, OptionValueError, TrainingDataError
from llms.finetuning.data.pairs import TextPair, TextPairs
from llms.finetuning.reranker import training as reranker_training
from llms.finetuning.reranker.data import CandidateList, prepare_lists
from llms.finetuning.reranker.evaluation import fit_score_scale, measure_lists
from llms.finetuning.reranker.finetune import finetune_reranker
from llms.finetuning.reranker.options import RerankerOptions
from llms.manifest import RerankerManifest, load_manifest_of, save_manifest
from tests.tiny_models import build_chat_model, build_cross_encoder, build_sequence_classifier

# an answer says its question's word again; any other document has another one
_WORDS = ("refund", "money", "card", "lost", "stolen", "parcel", "late", "order")
PAIRS = TextPairs(
    [
        TextPair(f"where is {first} {second}", f"the {second} {first} back")
        for first, second in itertools.combinations(_WORDS, 2)
    ]
)
QUERY, TEXTS = "where is card late", ["the late card back", "the order money back", "card", ""]


@pytest.fixture(scope="module")
def cross_encoder_folder(tmp_path_factory):
    """A cross-encoder with random weights; do not change it."""
    return build_cross_encoder(tmp_path_factory.mktemp("models") / "tiny-cross-encoder")


@pytest.fixture(scope="module")
def options(cross_encoder_folder):
    return RerankerOptions(
        base=str(cross_encoder_folder),
        epochs=2,
        batch_size=8,
        held_out_share=0.2,
        learning_rate=0.003,
        max_tokens=24,
        device="cpu",
        precision="float32",
        track="none",
        show_progress=False,
    )


@pytest.fixture(scope="module")
def trained_reranker(options, tmp_path_factory):
    """What training returned; do not change the folder."""
    return finetune_reranker(PAIRS, tmp_path_factory.mktemp("trained") / "reranker", options)


def _scores(folder):
    return LocalReranker(folder, device="cpu", precision="float32").score(QUERY, TEXTS)


@pytest.mark.parametrize("loss", ["bce", "listwise"])
def test_training_learns_its_pairs(loss, options, tmp_path):
    # wrong documents always hold the same word, which a tiny network can learn
    pairs = [dataclasses.replace(row, hard_negatives=("order order", "order late order")) for row in PAIRS.rows]
    pairs = [row for row in pairs if "order" not in row.query]
    changed = dataclasses.replace(options, loss=loss, epochs=8, num_negatives=0, learning_rate=0.01, patience=8)
    result = finetune_reranker(TextPairs(pairs), tmp_path / "model", changed)
    scores = LocalReranker(result.folder).score("where is card money", ["the money card back", "order late order"])
    assert scores[0] > scores[1]
    assert max(row["held_out_mrr_at_10"] for row in result.history) >= result.history[0]["held_out_mrr_at_10"]


def test_the_manifest_says_what_was_trained(trained_reranker, options):
    manifest = load_manifest_of(trained_reranker.folder, RerankerManifest)
    assert (manifest.task, manifest.base_model, manifest.method) == ("reranker", options.base, "full")
    assert (manifest.data_sha256, manifest.loss, manifest.max_tokens) == (PAIRS.sha256, "bce", 24)
    assert manifest.metrics == trained_reranker.metrics
    assert set(trained_reranker.metrics) == {"held_out_mrr_at_10", "held_out_accuracy_at_1"}


@pytest.mark.parametrize("method", RerankerOptions.methods)
def test_the_method_of_the_options_is_applied(method, options, encoder_folder, tmp_path, applied_method):
    changed = dataclasses.replace(options, base=str(encoder_folder), method=method)
    assert applied_method(lambda: finetune_reranker(PAIRS, tmp_path / "model", changed)) == method


# each way a folder can be written; what each method learns is tested with the classifier
@pytest.mark.parametrize(
    ("method", "keep_adapter"), [("full", False), ("lora", False), ("lora", True), ("prefix", False)]
)
def test_every_kind_of_folder_loads(method, keep_adapter, options, encoder_folder, tmp_path):
    changed = dataclasses.replace(
        options, base=str(encoder_folder), method=method, keep_adapter=keep_adapter, epochs=1, loss="listwise"
    )
    result = finetune_reranker(PAIRS, tmp_path / "model", changed)
    manifest = load_manifest_of(result.folder, RerankerManifest)
    assert manifest.adapter == (keep_adapter or method in ("adapter", "prefix"))
    assert (result.folder / "model.safetensors").exists() != manifest.adapter
    for output in manifest.reference_outputs:
        found = LocalReranker(result.folder, device="cpu", precision="float32").score(output.query, [output.document])
        assert found == pytest.approx([output.score], abs=1e-4)


def test_the_outputs_after_loading_are_those_before_saving(options, tmp_path, monkeypatch):
    base = shutil.copytree(options.base, tmp_path / "base")
    settings = json.loads((base / "tokenizer_config.json").read_text("utf-8"))
    settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (base / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    kept = []
    train = reranker_training.train_cross_encoder

    def keep(*args, **kwargs):
        kept.append(train(*args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(reranker_training, "train_cross_encoder", keep)
    for method in ("lora", "prefix", "adapter", "head"):
        changed = dataclasses.replace(options, base=str(base), method=method, keep_adapter=True, epochs=1)
        folder = finetune_reranker(PAIRS, tmp_path / method, changed).folder
        tokens = kept[-1].tokenizer([QUERY] * 3, TEXTS[:3], padding=True, return_tensors="pt")
        if method == "prefix":
            del tokens["token_type_ids"]  # a prefix leaves no place for them
        expected = kept[-1].model(**tokens).logits[:, 0].tolist()
        reranker = LocalReranker(folder, device="cpu", precision="float32")
        assert reranker._logits(QUERY, TEXTS[:3]) == pytest.approx(expected, abs=1e-4)


def test_adapters_share_the_weights_of_their_base(options, tmp_path):
    changed = dataclasses.replace(options, method="lora", keep_adapter=True, epochs=1)
    folders = [finetune_reranker(PAIRS, tmp_path / name, changed).folder for name in ("one", "two")]
    models = [LocalReranker(folder, device="cpu")._cross_encoder.model for folder in folders]
    assert models[0].bert.get_input_embeddings().weight is not models[0].classifier.weight
    assert len({model.bert.get_input_embeddings().weight.data_ptr() for model in models}) == 1
    assert len({model.classifier.weight.data_ptr() for model in models}) == 2
    assert _scores(folders[0]).tolist() == _scores(folders[1]).tolist()


def test_loading_an_adapter_draws_no_random_numbers(options, encoder_folder, tmp_path):
    import torch

    base = shutil.copytree(encoder_folder, tmp_path / "base")
    changed = dataclasses.replace(options, base=str(base), method="head", keep_adapter=True, epochs=1)
    folder = finetune_reranker(PAIRS, tmp_path / "model", changed).folder
    state = torch.random.get_rng_state()
    _scores(folder)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_same_seed_gives_the_same_scores(trained_reranker, options, tmp_path):
    again = finetune_reranker(PAIRS, tmp_path / "again", options)
    assert _scores(again.folder).tolist() == _scores(trained_reranker.folder).tolist()


def test_a_training_that_was_cut_off_goes_on_to_the_same_model(trained_reranker, options, tmp_path, monkeypatch):
    forward, calls = reranker_training._Network.forward, []

    def stop(self, labels, tokens, sizes=None):
        calls.append(sizes is not None)
        if sum(calls) > 4:  # in the second epoch
            raise KeyboardInterrupt
        return forward(self, labels, tokens, sizes)

    with monkeypatch.context() as patch:
        patch.setattr(reranker_training._Network, "forward", stop)
        with pytest.raises(KeyboardInterrupt):
            finetune_reranker(PAIRS, tmp_path / "cut", options)
    assert not (tmp_path / "cut").exists()
    assert list(tmp_path.glob(".cut-checkpoints/checkpoint-*"))
    cut = finetune_reranker(PAIRS, tmp_path / "cut", options)
    assert _scores(cut.folder).tolist() == _scores(trained_reranker.folder).tolist()
    assert not list(tmp_path.glob(".*-checkpoints"))


def test_lists_hold_an_answer_first_and_never_another_one(options):
    rows = [*PAIRS.rows, TextPair("where is refund money", "second answer"), TextPair("nobody knows", "x", score=0.0)]
    asked = []

    def mine(query):
        asked.append(query)
        return ["The MONEY refund back", "second answer", "found by the search", query]

    prepared = prepare_lists(TextPairs(rows), options, mine=mine)
    answers = {}
    for row in rows:
        answers.setdefault(row.query, set()).add(row.document)
    for each in prepared.train:
        if each.query == "nobody knows":
            assert (each.documents, each.targets) == (("x",), (0.0,))
            continue
        assert each.targets == (1.0, 0.0, 0.0, 0.0, 0.0)
        assert each.documents[0] in answers[each.query]
        assert not answers[each.query] & set(each.documents[1:])
        assert each.query not in each.documents
        assert "found by the search" in each.documents
    assert len(asked) == len(set(asked))
    assert not {each.query for each in prepared.train} & {each.query for each in prepared.held_out}
    assert all(sum(each.targets) == len(answers[each.query]) for each in prepared.held_out)


def test_a_list_without_an_answer_is_nothing_to_rank(options):
    rows = [*PAIRS.rows, TextPair("nobody knows", "x", score=0.0)]
    prepared = prepare_lists(TextPairs(rows), dataclasses.replace(options, loss="listwise"))
    assert "nobody knows" not in {each.query for each in prepared.train}


def test_figures_of_lists():
    lists = [
        CandidateList(query="q", documents=("a", "b"), targets=(1.0, 0.0)),
        CandidateList(query="p", documents=("c", "d", "e"), targets=(0.0, 1.0, 0.0)),
    ]
    figures = measure_lists(lists, np.array([2.0, 1.0, 5.0, 4.0, 3.0], dtype=np.float32))
    assert figures == {"mrr_at_10": 0.75, "accuracy_at_1": 0.5}


def test_scaled_outputs_say_how_often_a_candidate_is_an_answer():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=4000).astype(np.float32)
    targets = (generator.random(4000) < 1 / (1 + np.exp(-(2 * logits - 1)))).astype(np.float32)
    scale, shift = fit_score_scale(logits, targets)
    assert (scale, shift) == (pytest.approx(2, abs=0.2), pytest.approx(-1, abs=0.2))
    assert fit_score_scale(-logits, targets)[0] > 0  # a useless model keeps its order


def test_scores_follow_the_fitted_scale(trained_reranker):
    reranker = LocalReranker(trained_reranker.folder, device="cpu", precision="float32")
    manifest = load_manifest_of(trained_reranker.folder, RerankerManifest)
    expected = 1 / (1 + np.exp(-(manifest.scale * reranker._logits(QUERY, TEXTS) + manifest.shift)))
    assert reranker.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


def test_longer_pairs_are_cut_as_in_training(trained_reranker):
    tokenizer = LocalReranker(trained_reranker.folder, device="cpu")._cross_encoder._tokenizer
    assert len(tokenizer.encode("card " * 50, "order " * 50).ids) == 24


def test_training_prints_nothing(options, tmp_path, capfd):
    finetune_reranker(PAIRS, tmp_path / "quiet", dataclasses.replace(options, epochs=1))
    assert capfd.readouterr() == ("", "")


def test_a_changed_file_is_refused_at_construction(trained_reranker, tmp_path):
    folder = shutil.copytree(trained_reranker.folder, tmp_path / "copy")
    (folder / "config.json").write_text((folder / "config.json").read_text("utf-8") + " ", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="has changed since training"):
        LocalReranker(folder)


def test_a_model_that_scores_otherwise_is_refused_at_the_first_call(trained_reranker, tmp_path):
    folder = shutil.copytree(trained_reranker.folder, tmp_path / "copy")
    manifest = load_manifest_of(folder, RerankerManifest)
    output = manifest.reference_outputs[0]
    wrong = output.model_copy(update={"score": (output.score + 0.5) % 1})
    save_manifest(manifest.model_copy(update={"reference_outputs": (wrong,)}), folder)
    with pytest.raises(ModelFolderError, match="does not answer as it did"):
        LocalReranker(folder).score("card", ["lost"])


def test_a_model_that_writes_texts_is_refused_before_training(options, tmp_path):
    base = build_chat_model(tmp_path / "base")
    with pytest.raises(ModelFolderError, match="which writes texts"):
        finetune_reranker(PAIRS, tmp_path / "never", dataclasses.replace(options, base=str(base)))
    assert not (tmp_path / "never").exists()


def test_a_classifier_with_more_labels_gets_a_new_head(options, tmp_path):
    base = build_sequence_classifier(tmp_path / "base")
    result = finetune_reranker(PAIRS, tmp_path / "model", dataclasses.replace(options, base=str(base), epochs=1))
    assert _scores(result.folder).shape == (len(TEXTS),)


@pytest.mark.parametrize(
    "train", [TextPairs([]), TextPairs([*PAIRS.rows, TextPair("q", "a"), TextPair("q", "a", score=0.0)])]
)
def test_rows_nothing_can_be_learnt_from_are_refused_before_training(train, options, tmp_path):
    with pytest.raises(TrainingDataError):
        finetune_reranker(train, tmp_path / "never", options)
    assert not (tmp_path / "never").exists()


def test_impossible_options_are_refused():
    with pytest.raises(OptionValueError, match="'hinge'"):
        RerankerOptions(loss="hinge")
    with pytest.raises(OptionValueError, match="num_negatives"):
        RerankerOptions(num_negatives=-1)


@pytest.mark.parametrize("method", ["full", "lora", "adapter"])
def test_passes_and_recomputed_activations_save_memory_and_still_train(method, options, tmp_path):
    changed = dataclasses.replace(
        options, method=method, epochs=1, gradient_accumulation=2, gradient_checkpointing=True
    )
    assert finetune_reranker(PAIRS, tmp_path / "model", changed).history[-1]["step"] == 3
