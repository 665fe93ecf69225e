"""The starter chat model: small, untrained but for copying, with a tokenizer learnt from given texts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llms.engines.torch_backend.loading import open_causal_model
from llms.errors import ModelFolderError, OptionValueError
from llms.finetuning.trainer.saving import refuse_foreign_folder, replace_folder
from llms.loading import quiet_loading
from llms.manifest import MANIFEST_NAME, load_chat_manifest, save_manifest
from llms.model_folder import EXPORT_FOLDER

_HEAD_SIZE = 32
_ROPE_THETA = 1e6  # at 10,000 too few pairs of so small a head stay comparable over a thousand tokens
_SCALE = 0.1  # of embeddings: a token's logit after itself is then about 13
_LOOK_BACK = 8.0
_MATCH = 2.5
_COPY_GAIN = 0.2

_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UntrainedChatOptions:
    """How large an untrained chat model is.

    Attributes:
        vocabulary_size: tokens, of which 259 are bytes and control tokens; with few, each is seen often.
        hidden_size: a multiple of 128; attention heads have 32 dimensions, feed-forward layers twice as many as these.
        num_layers: at least 2, which copying takes.
        context_tokens: the longest conversation.
    """

    vocabulary_size: int = 1024
    hidden_size: int = 256
    num_layers: int = 4
    context_tokens: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        smallest = {"vocabulary_size": 300, "num_layers": 2, "context_tokens": 16}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                msg = f"{name} must be at least {least}, got {getattr(self, name)}"
                raise OptionValueError(msg)
        if self.hidden_size < 128 or self.hidden_size % 128:
            msg = f"hidden_size must be a multiple of 128, got {self.hidden_size}"
            raise OptionValueError(msg)


def save_untrained_chat(texts: Iterable[str], folder: Path, options: UntrainedChatOptions | None = None) -> None:
    """Write a small Qwen2, a byte-pair tokenizer learnt from `texts`, and a ChatML template.

    Every text can be encoded; each digit is a token of its own, so that numbers are copied digit by digit. The first
    weights are random but for two layers that repeat: after a token that stood before they propose what followed it
    there. Small models need millions of tokens to find that by themselves, and all answering from texts rests on it.

    Raises:
        ModelFolderError: if something that is no model lies in the folder's place.

    References:
        Olsson et al., "In-context learning and induction heads", 2022, for the two layers; Trockman and Kolter,
        "Mimetic initialization of self-attention layers", ICML 2023, for beginning with such structure.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    options = options or UntrainedChatOptions()
    refuse_foreign_folder(folder)
    tokenizer = _learn_tokenizer(texts, options)
    num_heads = options.hidden_size // _HEAD_SIZE
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=options.hidden_size,
        intermediate_size=2 * options.hidden_size,
        num_hidden_layers=options.num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        max_position_embeddings=options.context_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(options.seed)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        _wire_copying(model)
    with quiet_loading():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _wire_copying(model: Any) -> None:
    """Let the first layer note each token's two predecessors, and the second look for where they stood before.

    Tokens live in one half of the dimensions; the first layer writes their predecessors into quarters of the other.
    """
    import torch

    size = model.config.hidden_size
    quarter = size // 4
    basis = torch.linalg.qr(torch.randn(size, size))[0]
    own, one, two = basis[: 2 * quarter], basis[2 * quarter : 3 * quarter], basis[3 * quarter :]  # (part, dimension)
    embeddings = model.get_input_embeddings().weight
    embeddings.copy_(_SCALE * torch.randn(len(embeddings), 2 * quarter) @ own)
    for layer in model.model.layers:  # these add nothing at first, but learn from the first step on
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.o_proj.weight.zero_()
    first, second = (model.model.layers[index].self_attn for index in (0, 1))
    gain = _SCALE / math.sqrt(2)  # the first layer sees tokens alone, in half of the dimensions, so they are larger
    for back, noted in ((1, one), (2, two)):
        used = slice((back - 1) * quarter, back * quarter)
        _look_back(first, used, back)
        _copy_values(first, used, own[:quarter], to=noted, gain=gain)
    _match(second, [(own[:quarter], one), (one, two)])
    _copy_values(second, slice(0, 2 * quarter), own, to=own, gain=_COPY_GAIN)


def _look_back(attention: Any, used: slice, back: int) -> None:
    """Let the heads with the dimensions `used` see the token `back` positions before only, whatever it is."""
    import torch

    num_heads, half = (used.stop - used.start) // _HEAD_SIZE, _HEAD_SIZE // 2
    angles = _ROPE_THETA ** (-torch.arange(half) / half)  # turned by one position, in each pair of dimensions
    near = torch.where(angles > 0.05, _LOOK_BACK, 0.0)  # slow pairs tell no neighbours apart
    attention.q_proj.weight[used] = attention.k_proj.weight[used] = 0.0
    attention.k_proj.bias[used] = torch.cat([near, torch.zeros(half)]).repeat(num_heads)
    turned = torch.cat([near * (back * angles).cos(), -near * (back * angles).sin()])
    attention.q_proj.bias[used] = turned.repeat(num_heads)


def _copy_values(attention: Any, used: slice, read: Any, *, to: Any, gain: float) -> None:
    """Let heads carry what stands in the dimensions `read` into the dimensions `to`."""
    attention.v_proj.weight[used] = read
    attention.o_proj.weight[:, used] = gain * to.T


def _match(attention: Any, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Let each head compare its share of each pair (query, key), in the dimensions that positions hardly turn."""
    import torch

    half = _HEAD_SIZE // 2
    share = half // len(pairs)
    slow = torch.arange(half // 2, half)
    indices = torch.stack([slow, slow + half], dim=1).flatten()  # with the other dimension of each turning pair
    attention.q_proj.weight.zero_()
    attention.k_proj.weight.zero_()
    for head in range(attention.q_proj.weight.shape[0] // _HEAD_SIZE):
        for index, (query, key) in enumerate(pairs):
            rows = head * _HEAD_SIZE + indices[index * share : (index + 1) * share]
            part = torch.arange(head * share, (head + 1) * share) % len(key)
            attention.q_proj.weight[rows] = _MATCH * query[part]
            attention.k_proj.weight[rows] = _MATCH * key[part]


def _learn_tokenizer(texts: Iterable[str], options: UntrainedChatOptions) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary_size - 3,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    settings: dict[str, Any] = {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "extra_special_tokens": ["<|im_start|>"],
        "chat_template": _TEMPLATE,
        "model_max_length": options.context_tokens,
        "clean_up_tokenization_spaces": False,
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)  # type: ignore[no-untyped-call]


def store_in_bfloat16(folder: Path) -> None:
    """Store the weights of the chat model in `folder`, which was trained here, in 16 bits; all else stays.

    Its reference output stays, too, so that loading finds out if the rounding changed what the model says.

    Raises:
        ModelFolderError: if the folder holds an adapter or no model that was trained here.
    """
    import torch

    manifest = load_chat_manifest(folder)
    if manifest.adapter:
        msg = f"{folder} holds an adapter, which is small already; train with keep_adapter=False for a whole model"
        raise ModelFolderError(msg)
    model: Any = open_causal_model(folder)
    model.to(torch.bfloat16)
    with replace_folder(folder) as new:
        with quiet_loading():
            model.save_pretrained(new)
        for path in folder.iterdir():
            is_kept = path.suffix != ".safetensors" and path.name not in (MANIFEST_NAME, EXPORT_FOLDER, "config.json")
            if is_kept and path.is_file():
                (new / path.name).write_bytes(path.read_bytes())
        save_manifest(manifest, new)
