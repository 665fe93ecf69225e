"""PEFT adapters in a torch network: each is a network of its own that shares every weight with the base model."""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.engines.adapters import ADAPTER_CONFIG_NAME, Adapter
from llms.errors import ModelFolderError
from llms.loading import quiet_loading

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


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
        kind = json.loads((folder / ADAPTER_CONFIG_NAME).read_text("utf-8"))["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder / ADAPTER_CONFIG_NAME} cannot be read: {error!r}; copy the whole folder again"
        raise ModelFolderError(msg) from error
    learns_prompts = {PeftType.PROMPT_TUNING, PeftType.P_TUNING, PeftType.MULTITASK_PROMPT_TUNING, PeftType.CPT}
    if kind in {kind.value for kind in learns_prompts}:
        msg = f"{folder} is a {kind} adapter; LoRA, DoRA, AdaLoRA, IA3 and prefix tuning are offered"
        raise ModelFolderError(msg)


def _is_prefix(peft_model: Any) -> bool:
    return peft_model is not None and peft_model.active_peft_config.peft_type == "PREFIX_TUNING"
