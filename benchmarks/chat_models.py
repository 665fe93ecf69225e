"""Random chat models of a given size, made on the spot: what is measured is speed, not sense."""

import shutil
from pathlib import Path

__all__ = ["SIZES", "build_chat_model", "long_conversations"]

# name -> shape of a Qwen3, deep and narrow as the small models people run are (SmolLM2-135M: 30 layers of 576)
SIZES = {
    "30M": {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 17,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "150M": {
        "hidden_size": 640,
        "intermediate_size": 1728,
        "num_hidden_layers": 32,
        "num_attention_heads": 10,
        "num_key_value_heads": 5,
    },
    "1.5B": {  # 1.3 billion, as wide and deep as Qwen2.5-1.5B
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
    },
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_chat_model(
    folder: Path, size: str, *, dtype: str = "bfloat16", seed: int = 0, context_tokens: int = 4096
) -> Path:
    """Write a Qwen3 with random weights that never ends by itself, and a tokenizer trained on this repository."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    if (folder / "model.safetensors").is_file():
        return folder
    tokenizer = _build_tokenizer(context_tokens)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        head_dim=64,
        max_position_embeddings=context_tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        **SIZES[size],
    )
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config).to(getattr(torch, dtype))
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder


def long_conversations(num: int, *, seed: int = 0, words: tuple[int, int] = (29, 272)) -> list[str]:
    """Return questions of very different length, each of them unlike the others from its first word on."""
    import random

    source = random.Random(seed)
    vocabulary = [word for word in Path(__file__).read_text("utf-8").split() if word.isalpha()]
    low, high = words
    sizes = [low + (high - low) * index // max(num - 1, 1) for index in range(num)]
    source.shuffle(sizes)
    return [f"{index} " + " ".join(source.choices(vocabulary, k=size)) for index, size in enumerate(sizes)]


def _build_tokenizer(context_tokens):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [path.read_text("utf-8") for path in sorted(Path(__file__).parents[1].glob("**/*.py")) if _is_ours(path)]
    texts += [path.read_text("utf-8") for path in sorted(Path(__file__).parents[1].glob("apps/samples/**/*.md"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=8192,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=_TEMPLATE,
        model_max_length=context_tokens,
    )


def _is_ours(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(Path(__file__).parents[1]).parts)
