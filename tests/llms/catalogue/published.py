"""Small published models as the catalogue meets them: GGUF files, 4-bit files, wheels of a local index."""

import hashlib
import struct
import zipfile

import numpy as np

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LETTERS = [chr(code) for code in range(33, 127)]
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}


def tokens():
    """Return the byte-level tokens of a tokenizer with a few merges, and the merges."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    single = list(bytes_to_unicode().values())
    merges = ["h e", "l l", "he ll"]
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *single, "he", "ll", "hell"], merges


def llama(**changes):
    """Return a random Llama model for the tokens above."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    settings = {**SIZES, "num_key_value_heads": 2, "vocab_size": len(tokens()[0]), "max_position_embeddings": 128}
    config = LlamaConfig(**{**settings, **changes}, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
    return LlamaForCausalLM(config).eval()


def write_gguf(path, model, *, architecture="llama", kind="F16"):
    """Write a Llama model as llama.cpp's converter does: names, permuted queries and keys, tokenizer, template."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize

    config = model.config
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    names, merges = tokens()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(names)
    writer.add_token_types([3] * 3 + [1] * (len(names) - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, values in _llama_tensors(model):
        chosen = GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
        writer.add_tensor(name, quantize(values, chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _llama_tensors(model):
    layers = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output_norm.weight", state["model.norm.weight"]
    for layer in range(model.config.num_hidden_layers):
        for name, short in layers.items():
            values = state[f"model.layers.{layer}.{name}.weight"]
            if short in ("attn_q", "attn_k"):
                heads = model.config.num_attention_heads if short == "attn_q" else model.config.num_key_value_heads
                values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
            yield f"blk.{layer}.{short}.weight", np.ascontiguousarray(values)


def write_wheel(folder, name, version, files):
    """Write a package of data files into a folder that pip can take packages from."""
    module = name.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def sha256(content):
    """Return the sum of some bytes."""
    return hashlib.sha256(content).hexdigest()


def e5_file():
    """Return a 4-bit encoder file of one layer, and its word vectors as they are meant: bytes, (pieces, hidden)."""
    hidden, inner, pieces = 32, 64, ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS, "▁he", "llo"]
    shapes = {"emb.word": (len(pieces), hidden), "emb.pos": (40, hidden), "emb.type": (2, hidden)}
    shapes |= {f"l0.{part}.w": (hidden, hidden) for part in ("q", "k", "v", "ao")}
    shapes |= {"l0.fi.w": (inner, hidden), "l0.fo.w": (hidden, inner)}
    random = np.random.default_rng(0)
    tensors, words = {}, None
    for name, shape in shapes.items():
        nibbles = random.integers(0, 16, (int(np.prod(shape)) // 32, 32), dtype=np.uint8)
        scales = random.uniform(0.01, 0.05, (len(nibbles), 1)).astype("<f2")
        packed = nibbles[:, :16] | (nibbles[:, 16:] << 4)
        tensors[name] = (1, int(np.prod(shape)), np.concatenate([scales.view(np.uint8), packed], axis=1).tobytes())
        if name == "emb.word":
            words = ((nibbles.astype(np.float32) - 8) * scales.astype(np.float32)).reshape(shape)
    vectors = {"emb.ln.w": hidden, "emb.ln.b": hidden, "l0.fi.b": inner}
    vectors |= {f"l0.{part}.b": hidden for part in ("q", "k", "v", "ao", "fo")}
    vectors |= {f"l0.{part}.{end}": hidden for part in ("aln", "oln") for end in "wb"}
    for name, size in vectors.items():
        values = np.ones(size, "<f4") if name.endswith("n.w") else np.zeros(size, "<f4")
        tensors[name] = (0, size, values.tobytes())
    return _pack_e5((hidden, 1, 2, inner, len(pieces), 40, 2), pieces, tensors), words


def _pack_e5(sizes, pieces, tensors):
    blobs = [piece.encode() for piece in pieces]
    ends = np.cumsum([0, *map(len, blobs)])
    data = b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, 32) + struct.pack("<5i", len(pieces), 0, 2, 1, 3)
    data += struct.pack("<Q", ends[-1]) + ends.astype("<u4").tobytes()
    data += np.array([0.0] * 4 + [-float(n) for n in range(4, len(pieces))], "<f4").tobytes() + b"".join(blobs)
    data += struct.pack("<iI", 0, 0) + struct.pack("<i", len(tensors))
    start = len(data) + sum(2 + len(name) + 21 for name in tensors)
    for name, (kind, count, raw) in tensors.items():
        data += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, start, len(raw))
        start += len(raw)
    return data + b"".join(raw for _, _, raw in tensors.values())
