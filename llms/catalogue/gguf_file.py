"""GGUF files of chat models as model folders: weights to bfloat16 safetensors, tokenizer and template kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.errors import ModelFileError
from llms.loading import FROM_FOLDER, quiet_loading

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3", "phi3", "mistral")
TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
_MAGIC = b"GGUF"
_SHARD_BYTES = 500 * 2**20  # one shard is held in memory at a time


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model in a GGUF file into `folder` as transformers reads it.

    Tensors are read, dequantised and written one after the other, so that no more than a shard of 500 MiB is held.

    Raises:
        ModelFileError: if the file is no GGUF file, is cut off, or holds an architecture or a type of weights that is
            not offered.
    """
    reader = _open(file)
    config, tokenizer = _config_and_tokenizer(file)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_loading():
        _write_weights(reader, file, config, folder)
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _generation_settings(config, tokenizer).save_pretrained(folder)


def _open(file: Path) -> "GGUFReader":
    from gguf import GGUFReader

    with file.open("rb") as opened:
        if opened.read(4) != _MAGIC:
            msg = f"{file} is no GGUF file (it does not begin with 'GGUF'); give a .gguf file or a model folder"
            raise ModelFileError(msg)
    try:
        reader = GGUFReader(str(file))
        end = max(int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors)
    except (ValueError, IndexError, KeyError, OverflowError, OSError, UnicodeDecodeError, MemoryError) as error:
        msg = f"{file} is no complete GGUF file ({error}); download it again"
        raise ModelFileError(msg) from error
    if end > file.stat().st_size:
        msg = f"{file} is cut off: its weights end at byte {end:,}, it has {file.stat().st_size:,}; download it again"
        raise ModelFileError(msg)
    _refuse_unknown(file, reader)
    return reader


def _refuse_unknown(file: Path, reader: "GGUFReader") -> None:
    field = reader.get_field("general.architecture")
    architecture = str(field.contents()) if field else "none"
    if architecture not in ARCHITECTURES:
        msg = f"{file} holds a model of the architecture {architecture!r}; offered are {', '.join(ARCHITECTURES)}"
        raise ModelFileError(msg)
    if foreign := sorted({tensor.tensor_type.name for tensor in reader.tensors} - set(TYPES)):
        msg = f"{file} holds weights of the type {foreign[0]}; offered are {', '.join(TYPES)}"
        raise ModelFileError(msg)


def _config_and_tokenizer(file: Path) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer

    try:
        with quiet_loading():
            config: Any = AutoConfig.from_pretrained(file.parent, gguf_file=file.name, **FROM_FOLDER)
            tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, **FROM_FOLDER)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, ImportError) as error:
        msg = f"configuration or tokenizer in {file} cannot be read: {error!r}"
        raise ModelFileError(msg) from error
    config.dtype = "bfloat16"
    return config, tokenizer


def _generation_settings(config: Any, tokenizer: Any) -> Any:
    from transformers import GenerationConfig

    ends = {config.eos_token_id, tokenizer.eos_token_id} - {None}
    for name in ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"):
        token_id = tokenizer.convert_tokens_to_ids(name)
        if isinstance(token_id, int) and token_id != tokenizer.unk_token_id and name in str(tokenizer.chat_template):
            ends.add(token_id)
    settings: Any = GenerationConfig
    return settings(bos_token_id=tokenizer.bos_token_id, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id)


def _write_weights(reader: "GGUFReader", file: Path, config: Any, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        auto: Any = AutoModelForCausalLM
        skeleton = auto.from_config(config)
    expected = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    shard: dict[str, torch.Tensor] = {}
    shards: list[dict[str, torch.Tensor]] = []
    homes: dict[str, int] = {}
    num_bytes = size = 0
    for name, tensor in _tensors(reader, skeleton, config):
        if expected.get(name) != tuple(tensor.shape):
            msg = f"{file}: the weights {name} have the shape {tuple(tensor.shape)}, expected {expected.get(name)}"
            raise ModelFileError(msg)
        if size + tensor.nbytes > _SHARD_BYTES and shard:
            save_file(shard, folder / f"shard-{len(shards)}.safetensors", metadata={"format": "pt"})
            shards.append({})
            shard, size = {}, 0
        shard[name] = tensor
        homes[name] = len(shards)
        size += tensor.nbytes
        num_bytes += tensor.nbytes
    save_file(shard, folder / f"shard-{len(shards)}.safetensors", metadata={"format": "pt"})
    if missing := sorted(set(expected) - set(homes)):
        msg = f"{file} lacks the weights {missing[0]} and {len(missing) - 1} others"
        raise ModelFileError(msg)
    _name_shards(folder, homes, len(shards) + 1, num_bytes)


def _name_shards(folder: Path, homes: dict[str, int], num_shards: int, num_bytes: int) -> None:
    if num_shards == 1:
        (folder / "shard-0.safetensors").rename(folder / "model.safetensors")
        return
    names = [f"model-{n:05}-of-{num_shards:05}.safetensors" for n in range(1, num_shards + 1)]
    for number, name in enumerate(names):
        (folder / f"shard-{number}.safetensors").rename(folder / name)
    index = {"metadata": {"total_size": num_bytes}, "weight_map": {name: names[home] for name, home in homes.items()}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), "utf-8")


def _tensors(reader: "GGUFReader", skeleton: Any, config: Any) -> "Iterator[tuple[str, torch.Tensor]]":
    """Yield transformers' name and the bfloat16 weights of each tensor."""
    import numpy as np
    import torch
    from gguf import dequantize
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    architecture = str(reader.get_field("general.architecture").contents())  # type: ignore[union-attr]
    kind: Any = TENSOR_PROCESSORS.get(architecture, TensorProcessor)
    processor = kind(config=config.to_dict())
    names = get_gguf_hf_weights_map(skeleton, processor)
    for tensor in reader.tensors:
        weights = dequantize(tensor.data, tensor.tensor_type)
        result = processor.process(weights=weights, name=tensor.name, tensor_key_mapping=names, parsed_parameters={})
        if result.name in names:  # others, such as tables of rotary positions, are computed and not stored
            yield names[result.name], torch.from_numpy(np.array(result.weights)).to(torch.bfloat16)
