"""PEFT adapters: each is a network of its own that shares every weight with the base model."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.encoder import quiet_loading
from llms.errors import ModelFolderError, ModelNotFoundError, UnsafeModelError
from llms.loading import folder_stamp

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

__all__ = ["AdaptedNetwork", "Adapter", "load_adapter"]

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's folder and the state of its files, so that one trained anew into it is another adapter."""

    folder: Path
    stamp: object

    @classmethod
    def at(cls, folder: str | Path) -> "Adapter":
        """Return the adapter in `folder`, which holds a PEFT adapter in safetensors.

        Raises:
            ModelNotFoundError: if there is no such folder.
            ModelFolderError: if it is no adapter.
            UnsafeModelError: if the weights are there only in a format that can run code.
        """
        path = _check_adapter_folder(Path(folder))
        return cls(path, folder_stamp(path))


class AdaptedNetwork:
    """A base network with one adapter in it.

    Attributes:
        network: what to run.
        num_virtual_tokens: how many tokens of the cache are the adapter's own (prefix tuning), else 0.
    """

    def __init__(self, network: "PreTrainedModel", peft_model: Any = None) -> None:
        self.network = network
        self._peft_model = peft_model if _is_prefix(peft_model) else None
        self.num_virtual_tokens = self._peft_model.active_peft_config.num_virtual_tokens if self._peft_model else 0

    def new_cache(self) -> "Cache":
        """Return the cache a prompt starts with: empty, or the adapter's own keys and values."""
        import torch
        from transformers import DynamicCache

        if self._peft_model is None:
            return DynamicCache(config=self.network.config)
        with torch.inference_mode():
            cache: Cache = self._peft_model.get_prompt(batch_size=1)
        return cache


def load_adapter(base: "PreTrainedModel", adapter: Adapter) -> AdaptedNetwork:
    """Return `base` with an adapter in it; `base` itself stays as it is.

    The copy has modules of its own and the weights of `base`, so it costs the adapter's size only, and no
    request under another adapter can ever run through it.

    Raises:
        ModelFolderError: if the adapter does not fit the model, or is of a kind that is not offered.
    """
    from peft import PeftModel

    folder = adapter.folder
    _refuse_other_kinds(folder)
    shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
    twin = copy.deepcopy(base, shared)
    try:
        with quiet_loading():
            peft_model: Any = PeftModel.from_pretrained(twin, str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        msg = f"the adapter in {folder} does not fit the model: {error}"
        raise ModelFolderError(msg) from error
    peft_model.eval()
    return AdaptedNetwork(peft_model.get_base_model(), peft_model)


def _refuse_other_kinds(folder: Path) -> None:
    from peft import PeftType

    try:
        kind = json.loads((folder / _CONFIG).read_text("utf-8"))["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder / _CONFIG} cannot be read: {error!r}; copy the whole folder again"
        raise ModelFolderError(msg) from error
    learns_prompts = {PeftType.PROMPT_TUNING, PeftType.P_TUNING, PeftType.MULTITASK_PROMPT_TUNING, PeftType.CPT}
    if kind in {kind.value for kind in learns_prompts}:
        msg = f"{folder} is a {kind} adapter; LoRA, DoRA, AdaLoRA, IA3 and prefix tuning are offered"
        raise ModelFolderError(msg)


def _is_prefix(peft_model: Any) -> bool:
    return peft_model is not None and peft_model.active_peft_config.peft_type == "PREFIX_TUNING"


def _check_adapter_folder(path: Path) -> Path:
    if not path.is_dir():
        msg = f"no adapter folder at {str(path)!r}; give the folder that training or save_pretrained wrote"
        raise ModelNotFoundError(msg)
    if not (path / _CONFIG).is_file():
        msg = f"{path} has no {_CONFIG}, so it is no PEFT adapter"
        raise ModelFolderError(msg)
    if not (path / _WEIGHTS).is_file():
        if pickled := next(path.glob("adapter_model.[bp]*"), None):
            msg = f"{path} holds its weights only as {pickled.name}, a format that can run code; save it again"
            raise UnsafeModelError(msg)
        msg = f"{path} holds no weights ({_WEIGHTS}); copy the whole folder again"
        raise ModelFolderError(msg)
    return path
