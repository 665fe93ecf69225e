"""Generation with transformers: every architecture it knows, on CPU and GPU."""

import functools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from llms.device import choose_device
from llms.encoder import quiet_loading
from llms.engines.engine import Engine
from llms.errors import ModelFolderError
from llms.loading import folder_stamp
from llms.options import GenerationOptions

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["TorchEngine", "load_torch_engine"]


class TorchEngine(Engine):
    """One causal language model; concurrent callers take turns token by token."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self.model = model
        self.context_tokens = int(getattr(model.config, "max_position_embeddings", 0) or 2**31)
        self._end_ids = _end_token_ids(model)
        self._lock = threading.Lock()

    @override
    def generate(self, prompt_ids: Sequence[int], options: GenerationOptions) -> Iterator[int]:
        import torch

        choose = _sampler(options, device=self.model.device)
        ids = torch.tensor([list(prompt_ids)], device=self.model.device)  # (1, tokens)
        cache: Any = None
        for _ in range(options.max_new_tokens):
            with self._lock, torch.inference_mode():
                output = self.model(input_ids=ids, past_key_values=cache, use_cache=True)
                token_id = choose(output.logits[:, -1].float())
            if token_id in self._end_ids:
                return
            yield token_id
            cache = output.past_key_values
            ids = torch.tensor([[token_id]], device=self.model.device)


def load_torch_engine(folder: Path, *, device: str = "auto", dtype: str = "auto") -> TorchEngine:
    """Return the engine for a model folder; the same files are loaded once and then shared.

    Args:
        dtype: "auto" keeps the precision the weights were saved in; else "float32" or "bfloat16".

    Raises:
        ModelFolderError: if the folder is no causal language model, or lacks weights.
    """
    return _load_torch_engine(folder, folder_stamp(folder), choose_device(device), dtype)


@functools.lru_cache(maxsize=4)
def _load_torch_engine(folder: Path, _stamp: object, device: str, dtype: str) -> TorchEngine:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        with quiet_loading():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        msg = f"{folder} cannot be loaded as a causal language model: {error}"
        raise ModelFolderError(msg) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        msg = f"{folder} lacks weights ({missing[0]}, ...), they would be random; copy the whole folder again"
        raise ModelFolderError(msg)
    return TorchEngine(model.eval().to(device))


def _end_token_ids(model: "PreTrainedModel") -> frozenset[int]:
    ends = [model.generation_config.eos_token_id, model.config.eos_token_id]  # chat models often name more there
    flat = [end for entry in ends for end in (entry if isinstance(entry, list) else [entry])]
    return frozenset(end for end in flat if end is not None)


def _sampler(options: GenerationOptions, *, device: "torch.device") -> Any:
    """Return the function (1, vocabulary) logits -> token id."""
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    if options.temperature == 0:
        return lambda logits: int(logits.argmax())
    warpers = LogitsProcessorList([TemperatureLogitsWarper(options.temperature)])
    if options.top_k is not None:
        warpers.append(TopKLogitsWarper(options.top_k))
    if options.top_p is not None:
        warpers.append(TopPLogitsWarper(options.top_p))
    generator = torch.Generator(device=device)
    if options.seed is None:
        generator.seed()
    else:
        generator.manual_seed(options.seed)

    no_ids: Any = torch.zeros((1, 0), dtype=torch.long)  # none of the three looks at earlier tokens

    def sample(logits: "torch.Tensor") -> int:
        probabilities = warpers(no_ids, logits).softmax(dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=generator))

    return sample
