"""Choice of the engine that runs a chat model, and the opening of it."""

import functools
import importlib.util
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llms.device import INSTALL_OPENVINO, check_precision, choose_device
from llms.engines.engine import Engine
from llms.engines.precision import choose_precision
from llms.errors import EngineError, ModelMemoryError, OptionValueError, UnsupportedOptionError
from llms.loading import folder_stamp

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ENGINES = ("auto", "torch", "openvino")
_OPENING = threading.Lock()  # two threads that ask at once must not both build an engine


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Which engine, where, in which precision, and with how much memory.

    Attributes:
        kv_cache_bytes: ceiling for the keys and values of all running and earlier prompts.
        prompt_lookup: guess tokens from the context, for one request at a time; the answer stays the same.
        has_adapters: whether requests will name adapters.
    """

    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    kv_cache_bytes: int = 2**30
    prompt_lookup: bool = False
    has_adapters: bool = False

    def __post_init__(self) -> None:
        """Refuse an engine or a precision that does not exist."""
        if self.engine not in ENGINES:
            msg = f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}"
            raise OptionValueError(msg)
        check_precision(self.precision)
        if self.kv_cache_bytes < 2**20:
            msg = f"the ceiling for keys and values must be at least 1 MiB, got {self.kv_cache_bytes} bytes"
            raise OptionValueError(msg)


def open_engine(folder: Path, tokenizer: "PreTrainedTokenizerBase", options: EngineOptions) -> tuple[Engine, str]:
    """Return the engine for a model folder and the reason for it; the same files and options share one engine.

    "auto" takes OpenVINO on a CPU where it is installed, the model was exported to it with the same greedy tokens as
    torch, and no adapters are asked for; else torch.

    Raises:
        ModelFolderError: if the folder is no causal language model.
        EngineError: if `options` name an engine that cannot run this model.
        ModelMemoryError: if it does not fit into free memory; nothing was loaded.
        UnsupportedOptionError: if they ask for adapters on OpenVINO.
    """
    options = replace(options, device=choose_device(options.device))
    with _OPENING:
        return _open_engine(folder, folder_stamp(folder), tokenizer, options)


@functools.lru_cache(maxsize=4)
def _open_engine(
    folder: Path, _stamp: object, tokenizer: "PreTrainedTokenizerBase", options: EngineOptions
) -> tuple[Engine, str]:
    if options.engine == "torch":
        return _torch_engine(folder, tokenizer, options, "engine='torch' was asked for")
    if options.engine == "openvino":
        if options.has_adapters:
            msg = "adapters run on the torch engine only; leave engine at 'auto' or set it to 'torch'"
            raise UnsupportedOptionError(msg)
        engine, reason = _openvino_engine(folder, options)
        return engine, f"engine='openvino' was asked for; {reason}"
    if reason := _reason_for_torch(options):
        return _torch_engine(folder, tokenizer, options, reason)
    try:
        engine, reason = _openvino_engine(folder, options)
    except ModelMemoryError:
        raise  # torch would take more
    except EngineError as error:
        return _torch_engine(folder, tokenizer, options, str(error))
    return engine, f"OpenVINO is the fastest engine on this CPU and runs this model; {reason}"


def _reason_for_torch(options: EngineOptions) -> str:
    if options.device != "cpu":
        return f"the model runs on {options.device}"
    if options.has_adapters:
        return "adapters run on the torch engine only"
    if importlib.util.find_spec("openvino_genai") is None:
        return f"OpenVINO is not installed; it is several times faster here: {INSTALL_OPENVINO}"
    return ""


def _torch_engine(
    folder: Path, tokenizer: "PreTrainedTokenizerBase", options: EngineOptions, reason: str
) -> tuple[Engine, str]:
    if options.precision == "int4":
        msg = f'precision="int4" runs on the OpenVINO engine only ({reason}); take "int8"'
        raise UnsupportedOptionError(msg)
    from llms.engines.torch_backend.engine import TorchEngine
    from llms.engines.torch_backend.loading import load_network

    engine = TorchEngine(
        load_network(folder, device=options.device, precision=options.precision),
        tokenizer,
        kv_cache_bytes=options.kv_cache_bytes,
        prompt_lookup=options.prompt_lookup,
    )
    return engine, reason


def _openvino_engine(folder: Path, options: EngineOptions) -> tuple[Engine, str]:
    """Return the engine and why it has its precision."""
    from llms.engines.openvino_backend.engine import load_openvino_engine
    from llms.engines.openvino_backend.export import find_openvino

    chosen = choose_precision(
        folder,
        options.precision,
        kv_cache_bytes=options.kv_cache_bytes,
        is_stored=lambda precision: find_openvino(folder, precision) is not None,
    )
    engine = load_openvino_engine(
        folder,
        precision=chosen.name,
        kv_cache_bytes=options.kv_cache_bytes,
        prompt_lookup=options.prompt_lookup,
    )
    return engine, chosen.reason
