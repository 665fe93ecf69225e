"""Encoders with adapters: the base is loaded once, however many adapters use it."""

import copy
import functools
import warnings
from pathlib import Path
from typing import Any, TypeVar

from llms.device import Precision
from llms.encoder.sentence_encoder import SentenceEncoder, load_encoder
from llms.errors import ModelFolderError
from llms.loading import folder_stamp, quiet_loading


def load_adapted_encoder(
    base: Path, adapter: Path, *, max_tokens: int = 0, device: str = "cpu", precision: Precision = "auto"
) -> SentenceEncoder:
    """Return the encoder in `base` with the adapter in `adapter` in its network; the base's weights are shared.

    Args:
        max_tokens: longer texts are cut; 0 leaves the base's own limit.

    Raises:
        ModelFolderError: if one of the two cannot be read, or they do not fit together.
    """
    return _load(base, folder_stamp(base), adapter, folder_stamp(adapter), max_tokens, device, precision)


@functools.lru_cache(maxsize=64)
def _load(
    base: Path, _base_stamp: object, adapter: Path, _stamp: object, max_tokens: int, device: str, precision: Precision
) -> SentenceEncoder:
    shared = load_encoder(base, device=device, precision=precision).model
    twin = share_weights(shared)
    with_body(twin, attach_adapter(body_of(shared), adapter))
    if max_tokens:
        twin.max_seq_length = min(max_tokens, twin.max_seq_length or max_tokens)
    return SentenceEncoder(twin, device=device, precision=precision)


_Module = TypeVar("_Module")


def share_weights(network: _Module) -> _Module:
    """Return a copy of a torch module that has modules of its own and the very weights of `network`."""
    tensors = (*network.parameters(), *network.buffers())  # type: ignore[attr-defined]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


def attach_adapter(body: Any, folder: Path) -> Any:
    """Return a twin of `body` with the adapter saved in `folder`; `body` stays as it is.

    Raises:
        ModelFolderError: if the adapter cannot be read or does not fit.
    """
    from llms.encoder.bottleneck import BOTTLENECK_CONFIG_NAME, load_bottlenecks

    twin = share_weights(body)
    if (folder / BOTTLENECK_CONFIG_NAME).is_file():
        return load_bottlenecks(twin, folder).eval()
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / "adapter_model.safetensors").is_file():
        msg = f"{folder} holds no adapter (adapter_model.safetensors); copy the whole folder again"
        raise ModelFolderError(msg)
    try:
        with quiet_loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's, about its own names for the ranks that adalora found
            return PeftModel.from_pretrained(twin, str(folder), local_files_only=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        msg = f"the adapter in {folder} does not fit the model: {error}; take the base it was trained on"
        raise ModelFolderError(msg) from error


def body_of(model: Any) -> Any:
    """Return the transformers network below a task's head, or in a sentence encoder."""
    if hasattr(model, "base_model_prefix"):
        return getattr(model, model.base_model_prefix)
    return model[0].model


def with_body(model: Any, body: Any) -> Any:
    """Return `model`, with another network in the place of the one that `body_of` returns."""
    if hasattr(model, "base_model_prefix"):
        setattr(model, model.base_model_prefix, body)
    else:
        model[0].model = body
        if hasattr(body, "peft_config"):
            # PEFT takes none for prefixes and says so at each call; the network's own default is the same zeros
            model[0].model_forward_params = {"input_ids", "attention_mask", "inputs_embeds", "return_dict"}
    return model
