"""Decoders of many architectures, small and random: their answers differ from prompt to prompt and never end."""

from llms.engines.calls import run_requests
from llms.engines.requests import GenerationRequest
from llms.options import GenerationOptions

__all__ = ["ARCHITECTURES", "build_decoder", "expected_ids", "greedy_ids", "prompts"]

_VOCABULARY = 259
_COMMON = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
_GPT2 = {
    "vocab_size": _VOCABULARY,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
}
# name -> (configuration class, arguments); the last three have caches that cannot be padded, or no positions
ARCHITECTURES = {
    "llama": ("LlamaConfig", {**_COMMON, "num_key_value_heads": 2}),
    "qwen3": ("Qwen3Config", {**_COMMON, "num_key_value_heads": 2, "head_dim": 16}),
    "gpt_neox": ("GPTNeoXConfig", _COMMON),
    "phi3": ("Phi3Config", {**_COMMON, "num_key_value_heads": 2}),
    "mistral": ("MistralConfig", {**_COMMON, "num_key_value_heads": 2, "sliding_window": None}),
    "gpt2": ("GPT2Config", _GPT2),
    "gemma3": (
        "Gemma3TextConfig",
        {**_COMMON, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 16, "tie_word_embeddings": False},
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": _VOCABULARY, "hidden_size": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.2},
    ),
    "mamba": (
        "MambaConfig",
        {
            "vocab_size": _VOCABULARY,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "state_size": 8,
            "initializer_range": 0.5,
        },
    ),
}


def build_decoder(name, *, seed=1):
    """Return a random decoder in float32; its end token is one it never chooses."""
    import torch
    import transformers

    config_class, arguments = ARCHITECTURES[name]
    config = getattr(transformers, config_class)(**arguments)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    return model.eval()


def prompts(*sizes, seed=0):
    """Return random prompts of these lengths."""
    import numpy as np

    random = np.random.default_rng(seed)
    return [random.integers(3, 250, size=size).tolist() for size in sizes]


def expected_ids(model, prompt, num_tokens=12):
    """Return what transformers' own `generate` answers greedily."""
    import torch

    answer = model.generate(
        input_ids=torch.tensor([prompt]),
        attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
        max_new_tokens=num_tokens,
        min_new_tokens=num_tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return answer[0, len(prompt) :].tolist()


def greedy_ids(engine, prompt_list, num_tokens=12, **request):
    """Return what an engine answers greedily to all prompts at once."""
    options = GenerationOptions(max_new_tokens=num_tokens)
    requests = [GenerationRequest(prompt_ids=prompt, options=options, **request) for prompt in prompt_list]
    return [list(event.ids) for event in run_requests(engine, requests)]
