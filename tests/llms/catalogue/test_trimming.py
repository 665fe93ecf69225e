"""A smaller copy of an encoder, for some languages, with the same vectors of their texts."""

import json

import numpy as np
import pytest

from llms import LocalEmbeddings
from llms.catalogue import add_model, find_missing, list_added, trim_model
from llms.catalogue.trimming import write_trimmed
from llms.errors import ModelFileError, ModelFolderError, OptionValueError
from llms.loading import resolve_model

WORDS = {
    "en": ["▁the", "▁card", "lost", "ing"],
    "zh": ["退货", "包裹", "卡"],
    "other": ["▁карта", "für", "ですか", "ñ"],
}
LETTERS = [*"abcdefghijklmnopqrstuvwxyzABCQ:?!.,0123456789", "怎", "么", "退", "货", "к", "а", "ü", "か", "？", "😀"]
TEXTS = ["the lost card?", "怎么退货？", "lost 卡 42 😀!", "ABC", "退", ""]
NAME = "multilingual-e5-small"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path):
    """An encoder of one layer with a Unigram tokenizer, as multilingual-e5 has, added as "many"."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "▁query",
        "▁q",
        *WORDS["other"],
        *WORDS["zh"],
        *WORDS["en"],
        *LETTERS,
    ]
    vocabulary = [(piece, 0.0 if number < 4 else -1.0 - 0.1 * number) for number, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram([*vocabulary, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=special)
    target = tmp_path / "many"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=64,
    ).save_pretrained(target)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces) + 8,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=1,
        initializer_range=0.3,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(target)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])
    ]
    files = {
        "modules.json": modules,
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": "für: "}},
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    }
    for name, content in files.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(json.dumps(content))
    return add_model(target).folder


def _pieces(folder):
    return [piece for piece, _ in json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]]


def test_texts_of_the_languages_keep_their_vectors_and_the_rest_is_gone(folder):
    trimmed = trim_model("many", ["zh", "en"])
    assert trimmed.name == "many-zh-en"
    assert trimmed.source == "many trimmed to zh, en"
    whole, small = (LocalEmbeddings(name, engine="torch") for name in ("many", "many-zh-en"))
    for role in ("query", "document"):
        np.testing.assert_allclose(
            small.embed_array(TEXTS, role=role), whole.embed_array(TEXTS, role=role), atol=1e-3, rtol=0
        )
    kept = set(_pieces(trimmed.folder))
    assert {"▁the", "退货", "怎", "？", "😀", "<mask>", "<unk>"} <= kept
    assert not kept & {"▁карта", "ですか", "ñ", "к"}
    assert "für" in kept  # a prompt has it, and prompts stand before every text
    assert trimmed.disk_bytes < folder.stat().st_size + sum(p.stat().st_size for p in folder.rglob("*"))
    config = json.loads((trimmed.folder / "config.json").read_text("utf-8"))
    assert config["vocab_size"] == len(kept)
    assert {model.name for model in list_added()} == {"many", "many-zh-en"}


def test_a_copy_has_the_licence_of_the_whole_one_and_says_its_languages(folder):
    record = folder / "tunechain_model.json"
    record.write_text(json.dumps({**json.loads(record.read_text("utf-8")), "licence": "MIT"}), "utf-8")
    trim_model("many", ["zh", "en"])
    found = {model.name: model for model in list_added()}
    assert found["many-zh-en"].licence == "MIT"
    assert found["many-zh-en"].languages == ("zh", "en")


def test_a_record_that_names_no_languages_is_read(folder):
    record = folder / "tunechain_model.json"
    content = json.loads(record.read_text("utf-8"))
    content.pop("languages")
    record.write_text(json.dumps(content), "utf-8")
    assert [model.languages for model in list_added()] == [()]


def test_trimming_again_gives_the_same_and_another_of_that_name_is_refused(folder):
    first = trim_model("many", ["zh", "en"])
    assert trim_model("many", ["zh", "en"]) == first
    with pytest.raises(ModelFolderError, match="trimmed to zh, en"):
        trim_model("many", ["zh"], name=first.name)


def test_what_cannot_be_trimmed_is_said(folder, encoder_folder, tmp_path):
    with pytest.raises(OptionValueError, match="'xx'"):
        trim_model("many", ["zh", "xx"])
    with pytest.raises(OptionValueError, match="zh,en"):
        trim_model("many", [])
    with pytest.raises(ModelFileError, match="Unigram"):
        trim_model(encoder_folder, ["en"])
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    with pytest.raises(ModelFileError, match="several files"):
        write_trimmed(folder, tmp_path / "out", ["en"])


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"model": []}', '{"model": {"type": "Unigram"}}', "\xff"])
def test_a_tokenizer_that_is_missing_or_damaged_is_said(folder, tmp_path, content):
    path = folder / "tokenizer.json"
    path.unlink() if content is None else path.write_text(content, "latin-1")
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        write_trimmed(folder, tmp_path / "out", ["en"])


@pytest.mark.parametrize("change", ["unk_id", "added_tokens"])
def test_a_tokenizer_with_tokens_beyond_its_pieces_is_refused(folder, tmp_path, change):
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    if change == "unk_id":
        content["model"]["unk_id"] = None
    else:
        content["added_tokens"].append({**content["added_tokens"][0], "content": "<extra>", "id": 10_000})
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelFileError, match="tokens beyond"):
        write_trimmed(folder, tmp_path / "out", ["en"])


@pytest.mark.real
def test_the_real_encoder_is_half_as_large_and_reads_chinese_and_english_as_before(monkeypatch, tmp_path):
    from safetensors import safe_open

    monkeypatch.delenv("XDG_DATA_HOME")
    if find_missing(NAME):
        pytest.skip(f"{NAME} is not on this machine; add it with: tunechain models add {NAME}")
    folder = resolve_model(NAME)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    trimmed = trim_model(folder, ["zh", "en"])
    with safe_open(trimmed.folder / "model.safetensors", "numpy") as weights:
        size = sum(np.prod(weights.get_slice(name).get_shape()) for name in list(weights.keys()))
    assert size < 65e6
    texts = [
        "怎么退货？我的包裹到哪里了",
        "Where is my Voltaro order VT-204918?",
        "把 iPhone 14 Pro 換成 Pixel，退貨免運費嗎？",
        "Q3 营收 +8.5%（同比），see page 12…",
    ]
    whole, small = (LocalEmbeddings(path, engine="torch") for path in (folder, trimmed.folder))
    np.testing.assert_allclose(small.embed_array(texts), whole.embed_array(texts), atol=1e-3, rtol=0)
