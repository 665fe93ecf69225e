"""Loading of causal language models with torch: complete, finite, in the precision that was asked for."""

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.device import check_precision, wants_bfloat16
from llms.errors import ModelFolderError
from llms.loading import FROM_FOLDER, folder_stamp, loading_from
from llms.manifest import MANIFEST_NAME, load_chat_manifest, refuse_other_outputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_LOADING = threading.Lock()  # two threads that ask at once must not both load


def load_network(folder: Path, *, device: str, precision: str = "auto") -> "PreTrainedModel":
    """Return the network of a model folder; the same files are loaded once and then shared.

    Args:
        device: such as "cpu" or "cuda".
        precision: "auto" keeps the precision the weights were saved in (16-bit floats become bfloat16 where the CPU
            multiplies it, else float32), "int8" stores the weights of linear layers in 8 bits.

    Raises:
        ModelFolderError: if the folder is no causal language model, weights are missing or not finite, or a model
            trained here does not go on as it did when it was saved.
    """
    check_precision(precision)
    with _LOADING:
        return _load_network(folder, folder_stamp(folder), device, precision)


def open_causal_model(folder: Path, *, dtype: Any = "auto") -> "PreTrainedModel":
    """Return the model in `folder` on the CPU, with every weight it needs.

    Raises:
        ModelFolderError: if the folder is no causal language model, or weights are missing.
    """
    from transformers import AutoModelForCausalLM

    with loading_from(folder, "a causal language model"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **FROM_FOLDER
        )
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        msg = f"{folder} lacks weights ({missing[0]}, ...), they would be random; copy the whole folder again"
        raise ModelFolderError(msg)
    return model


@functools.lru_cache(maxsize=4)
def _load_network(folder: Path, _stamp: object, device: str, precision: str) -> "PreTrainedModel":
    import torch

    chosen = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision, "auto")
    model = open_causal_model(folder, dtype=chosen)
    _check_weights(model, folder)
    if device == "cpu" and model.dtype == torch.float16:  # most CPUs multiply it very slowly or not at all
        model.to(torch.bfloat16 if wants_bfloat16(device) else torch.float32)  # type: ignore[arg-type]
    model.eval()  # type: ignore[no-untyped-call]
    model.to(device)  # type: ignore[arg-type]
    if precision == "int8":  # whose logits are others by design, so that reference outputs would say nothing
        from llms.engines.torch_backend.int8_linear import store_weights_in_int8

        return store_weights_in_int8(model)
    _check_output(model, folder)
    return model


def _check_weights(model: "PreTrainedModel", folder: Path) -> None:
    for name, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            msg = f"{folder}: {name} holds values that are no numbers; the training went wrong or the file is damaged"
            raise ModelFolderError(msg)


def _check_output(model: "PreTrainedModel", folder: Path) -> None:
    """Compare a few clear choices of the model, in one pass, with those it made when it was saved."""
    import torch

    if not (folder / MANIFEST_NAME).is_file() or (output := load_chat_manifest(folder).reference_output) is None:
        return
    ids = torch.tensor([[*output.prompt_ids, *output.next_ids]], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0]  # (tokens, vocabulary)
    found = logits[len(output.prompt_ids) - 1 : -1].argmax(-1).tolist()
    if found != list(output.next_ids):
        refuse_other_outputs(folder, f"it went on with the tokens {list(output.next_ids)}", str(found))
