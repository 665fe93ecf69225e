"""Trained folders, plain transformers folders and the fake as taggers."""

import asyncio
import itertools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from llms import LocalTagger, Span, Tagging
from llms.errors import (
    InputTextError,
    ModelFolderError,
    ModelNotFoundError,
    OptionValueError,
    UnknownOptionError,
    UnsupportedOptionError,
)
from llms.fakes import FixedTagger
from llms.finetuning.tagger.finetune import finetune_tagger
from llms.openvino_export import read_manifest
from tests.contracts import LONE_SURROGATE
from tests.llms.finetuning.tagged_rows import build_base, build_tagged_texts, quick_options
from tests.tiny_models import build_token_classifier

TEXT = "where is my card 4711 lost"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What training returned; do not change the folder."""
    folder = tmp_path_factory.mktemp("trained")
    base = build_base(folder / "base")
    return finetune_tagger(build_tagged_texts(), folder / "tagger", quick_options(base))


@pytest.fixture
def trained_copy(trained, tmp_path):
    return shutil.copytree(trained.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("openvino"))


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory):
    return build_token_classifier(tmp_path_factory.mktemp("models") / "tiny-token-classifier")


def _found(tagging):
    return [(span.start, span.end, span.label) for span in tagging.spans]


class TaggerContract:
    """Subclasses provide `tagger`: a fixture, any tagger that finds a span in TEXT."""

    texts = (TEXT, "", "  ", "parcel 17 退货 and [SEP] 😀", "refund " * 150 + TEXT, "a\nb", "card")

    def test_the_text_between_the_offsets_is_the_spans(self, tagger):
        for text, tagging in zip(self.texts, tagger.batch(list(self.texts)), strict=True):
            assert isinstance(tagging, Tagging)
            assert tagging.text == text
            ends = [0, *(span.end for span in tagging.spans)]
            for end, span in zip(ends, tagging.spans, strict=False):
                assert isinstance(span, Span)
                assert end <= span.start < span.end
                assert text[span.start : span.end] == span.text == span.text.strip()
                assert 0 < span.probability <= 1
        assert tagger.invoke(TEXT).spans

    def test_a_batch_answers_in_order_and_as_single_calls_do(self, tagger):
        together = tagger.batch(list(self.texts))
        for text, tagging in zip(self.texts, together, strict=True):
            alone = tagger.invoke(text)
            assert _found(alone) == _found(tagging)
            assert [s.probability for s in alone.spans] == pytest.approx(
                [s.probability for s in tagging.spans], abs=2e-2
            )

    def test_an_empty_batch_has_no_replies(self, tagger):
        assert tagger.batch([]) == []

    def test_a_call_option_is_refused_and_named(self, tagger):
        with pytest.raises(UnknownOptionError, match="threshold"):
            tagger.invoke("card", threshold=0.5)

    def test_a_refused_text_does_not_take_the_others_with_it(self, tagger):
        replies = tagger.batch(["card", LONE_SURROGATE, "pin"], return_exceptions=True)
        assert [type(reply) for reply in replies] == [Tagging, InputTextError, Tagging]
        with pytest.raises(InputTextError, match="surrogate"):
            tagger.batch(["card", LONE_SURROGATE])

    async def test_async_equals_sync(self, tagger):
        reply, replies = await asyncio.gather(tagger.ainvoke(TEXT), tagger.abatch([TEXT, "card"]))
        assert _found(reply) == _found(replies[0]) == _found(tagger.invoke(TEXT))

    def test_calls_of_many_threads_get_their_own_answers(self, tagger):
        texts = [f"where is my card {number} lost" for number in range(20)]
        expected = [_found(tagging) for tagging in tagger.batch(texts)]
        with ThreadPoolExecutor(8) as pool:
            assert [_found(tagging) for tagging in pool.map(tagger.invoke, texts)] == expected


class TestTrainedTagger(TaggerContract):
    @pytest.fixture(scope="class")
    def tagger(self, trained):
        return LocalTagger(trained.folder, device="cpu", batch_size=2, precision="float32")


class TestTokenClassifier(TaggerContract):
    @pytest.fixture(scope="class")
    def tagger(self, plain_folder):
        return LocalTagger(plain_folder, device="cpu", batch_size=2, precision="float32")


class TestFixedTagger(TaggerContract):
    @pytest.fixture(scope="class")
    def tagger(self):
        return FixedTagger({"card": "thing", "my card": "thing", "退货": "wish"})


class TestOpenVinoTagger(TaggerContract):
    @pytest.fixture(scope="class")
    def tagger(self, trained, tmp_path_factory):
        pytest.importorskip("openvino")
        pytest.importorskip("nncf")
        folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("openvino") / "tagger")
        tagger = LocalTagger(folder, engine="openvino", precision="float32", batch_size=2)
        tagger.invoke(TEXT)
        assert read_manifest(folder / "openvino" / "tagger-float32")["verified"]["agreement"] >= 0.999
        return tagger


def test_openvino_finds_what_torch_finds(trained_copy, plain_folder, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    for folder in (trained_copy, shutil.copytree(plain_folder, tmp_path / "plain")):
        torch = LocalTagger(folder, engine="torch", precision="float32").batch([TEXT, "parcel 17 退货"])
        openvino = LocalTagger(folder, engine="openvino", precision="float32").batch([TEXT, "parcel 17 退货"])
        assert [_found(tagging) for tagging in torch] == [_found(tagging) for tagging in openvino]


def test_a_fake_takes_the_longest_term(trained):
    tagging = FixedTagger({"card": "a", "my card": "b"}).invoke("My CARD, discard")
    assert [(span.text, span.label) for span in tagging.spans] == [("My CARD", "b")]


def test_what_was_learnt_is_found(trained):
    tagger = LocalTagger(trained.folder)
    assert tagger.labels == ("number", "state")
    assert [(span.text, span.label) for span in tagger.invoke(TEXT).spans] == [("4711", "number")]
    assert [(span.text, span.label) for span in tagger.invoke("my parcel late").spans] == [("parcel late", "state")]
    assert tagger.invoke("where is my money lost").spans == ()


def test_nothing_of_a_long_text_is_lost(trained):
    text = "where is my money lost " * 40 + TEXT + " where is my money lost" * 40
    (span,) = LocalTagger(trained.folder).invoke(text).spans
    assert (span.text, span.start) == ("4711", text.index("4711"))


def test_spans_below_the_minimum_are_left_out(plain_folder):
    spans = LocalTagger(plain_folder).invoke(TEXT).spans
    least = min(span.probability for span in spans)
    strict = LocalTagger(plain_folder, min_probability=least + 1e-4)
    assert strict.invoke(TEXT).spans == tuple(span for span in spans if span.probability >= least + 1e-4)


def test_a_copied_folder_finds_the_same(trained, trained_copy):
    first, second = (LocalTagger(folder).batch([TEXT, "parcel 1 2"]) for folder in (trained.folder, trained_copy))
    assert first == second


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_changed_byte_is_refused_with_the_files_name(trained_copy, name):
    content = bytearray((trained_copy / name).read_bytes())
    content[-1] ^= 1
    (trained_copy / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=name):
        LocalTagger(trained_copy)


def test_a_model_that_finds_something_else_than_when_it_was_saved_is_refused(trained_copy):
    path = trained_copy / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["canaries"][0]["spans"] = [[0, 5, "state"]]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="does not answer as it did"):
        LocalTagger(trained_copy).invoke(TEXT)


def test_a_model_without_tags_is_refused_at_construction(encoder_folder, sequence_classifier_folder):
    for folder in (encoder_folder, sequence_classifier_folder):
        with pytest.raises(ModelFolderError, match="holds no tagger"):
            LocalTagger(folder)


def test_an_encoder_whose_head_is_missing_is_refused(encoder_folder, tmp_path):
    folder = shutil.copytree(encoder_folder, tmp_path / "headless")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["id2label"] = {"0": "O", "1": "B-x", "2": "I-x"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="lacks the weights of a tagger"):
        LocalTagger(folder).invoke(TEXT)


def test_labels_of_words_become_spans(tmp_path):
    folder = build_token_classifier(tmp_path / "io", tags=("O", "PER", "LOC"))
    tagger = LocalTagger(folder)
    assert tagger.labels == ("LOC", "PER")
    spans = tagger.invoke(TEXT).spans
    pairs = itertools.pairwise(spans)
    assert all(before.end + 1 < after.start or before.label != after.label for before, after in pairs)


def test_impossible_options_are_refused_at_construction(trained, tmp_path):
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        LocalTagger(tmp_path / "nothing")
    with pytest.raises(OptionValueError, match="float16"):
        LocalTagger(trained.folder, precision="float16")
    with pytest.raises(OptionValueError, match="batch_size"):
        LocalTagger(trained.folder, batch_size=0)


def test_an_adapter_does_not_run_on_openvino(encoder_folder, tmp_path):
    options = quick_options(encoder_folder, method="head", keep_adapter=True, epochs=1)
    folder = finetune_tagger(build_tagged_texts(16), tmp_path / "head", options).folder
    with pytest.raises(UnsupportedOptionError, match="adapter"):
        LocalTagger(folder, engine="openvino").invoke(TEXT)
