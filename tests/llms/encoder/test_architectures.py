"""Encoders of newer kinds give the vectors of sentence-transformers, in as many dimensions as are wanted."""

import numpy as np
import pytest

from llms import LocalEmbeddings, LocalReranker
from llms.errors import ModelFolderError, OptionValueError
from tests.tiny_models import build_chat_tokenizer

TEXTS = ["hello there", "退货要多久", "a much longer text about parcels and refunds " * 4]
PROMPTS = {"query": "Instruct: find an answer\nQuery:", "document": ""}


def _qwen3():
    from transformers import Qwen3Config, Qwen3Model

    return Qwen3Model(
        Qwen3Config(
            vocab_size=len(build_chat_tokenizer()),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=512,
        )
    )


def _modern_bert():
    from transformers import ModernBertConfig, ModernBertModel

    tokenizer = build_chat_tokenizer()
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    return ModernBertModel(
        ModernBertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=512,
            local_attention=16,
            pad_token_id=tokenizer.pad_token_id,
            cls_token_id=begin,
            bos_token_id=begin,
            sep_token_id=end,
            eos_token_id=end,
        )
    )


@pytest.fixture(scope="module", params=["last token, left padding, prompts", "ModernBERT"])
def encoder(request, tmp_path_factory):
    """A folder and the model of sentence-transformers that wrote it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    is_modern = request.param == "ModernBERT"
    torch.manual_seed(0)
    body, folder = tmp_path_factory.mktemp("body"), tmp_path_factory.mktemp("encoder")
    tokenizer = build_chat_tokenizer()
    tokenizer.model_max_length = 256
    tokenizer.padding_side = "right" if is_modern else "left"
    tokenizer.save_pretrained(body)
    (_modern_bert() if is_modern else _qwen3()).save_pretrained(body)
    pooling = Pooling(32, pooling_mode="mean" if is_modern else "lasttoken")
    prompts = None if is_modern else PROMPTS
    model = SentenceTransformer(modules=[Transformer(str(body)), pooling, Normalize()], prompts=prompts, device="cpu")
    model.save(str(folder))
    return folder, model


def test_vectors_are_those_of_sentence_transformers_for_both_roles(encoder):
    folder, model = encoder
    embeddings = LocalEmbeddings(str(folder), engine="torch", device="cpu", precision="float32")
    for found, expected in (
        (embeddings.embed_array(TEXTS), model.encode_document(TEXTS)),
        (embeddings.embed_array(TEXTS, role="query"), model.encode_query(TEXTS)),
    ):
        assert np.allclose(found, expected, atol=1e-4)


def test_the_first_dimensions_are_unit_vectors_again(encoder):
    folder, model = encoder
    embeddings = LocalEmbeddings(str(folder), engine="torch", device="cpu", precision="float32", dimensions=8)
    expected = model.encode_document(TEXTS)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(embeddings.embed_array(TEXTS), expected, atol=1e-4)
    assert (embeddings.dimension, len(embeddings.embed_query("hi"))) == (8, 8)
    assert embeddings.embed_array([]).shape[0] == 0


def test_dimensions_that_the_model_has_not_are_refused(encoder):
    folder, _ = encoder
    with pytest.raises(OptionValueError, match="at least 1"):
        LocalEmbeddings(str(folder), dimensions=0)
    with pytest.raises(OptionValueError, match="gives 32 dimensions, got dimensions=33"):
        LocalEmbeddings(str(folder), engine="torch", device="cpu", dimensions=33).embed_query("hi")


def test_a_reranker_that_answers_yes_or_no_is_refused_by_name(tmp_path):
    from langchain_core.documents import Document
    from transformers import Qwen3ForCausalLM

    Qwen3ForCausalLM(_qwen3().config).save_pretrained(tmp_path)
    build_chat_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelFolderError, match="is a Qwen3ForCausalLM, which writes texts"):
        LocalReranker(model=str(tmp_path)).compress_documents([Document("a"), Document("b")], "c")
