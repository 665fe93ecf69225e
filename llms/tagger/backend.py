"""Which engine runs a tagger, and in which precision."""

import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llms.device import Precision, choose_device, wants_bfloat16
from llms.errors import UnsupportedOptionError
from llms.manifest import TaggerManifest

if TYPE_CHECKING:
    from llms.encoder.export import ExportPrecision
    from llms.tagger.token_tagger import TokenTagger


_OPENING = threading.Lock()  # two threads that ask at once must not both load a model


def open_tagger(
    folder: Path, manifest: TaggerManifest | None, *, engine: str, device: str, precision: str
) -> "TokenTagger":
    """Return the tagger of a folder; the same files are loaded once and then shared.

    "auto" takes OpenVINO on a CPU where it is installed and a complete, verified export in the wanted precision lies
    there already; else torch. "int8" exists on OpenVINO only, so asking for it is asking for OpenVINO.

    Args:
        manifest: of a folder that `finetune_tagger` wrote; None for any other.

    Raises:
        EngineError: if OpenVINO is not installed, or cannot run this model closely enough to torch.
        ModelFolderError: if the folder or its base cannot be loaded.
        UnsupportedOptionError: if OpenVINO is asked for and the folder holds an adapter.
    """
    asks_openvino = engine == "openvino" or precision == "int8"
    if manifest is not None and manifest.adapter:
        if asks_openvino:
            msg = (
                f"{folder} holds an adapter, and those run on torch; train with keep_adapter=False where the method "
                "can be merged, or leave engine and precision out"
            )
            raise UnsupportedOptionError(msg)
        engine = "torch"
    with _OPENING:
        return _open(folder, manifest, engine=engine, device=choose_device(device), precision=precision)


def _open(folder: Path, manifest: TaggerManifest | None, *, engine: str, device: str, precision: str) -> "TokenTagger":
    asks_openvino = engine == "openvino" or precision == "int8"
    if asks_openvino or (engine == "auto" and device == "cpu" and _has_export(folder, precision)):
        from llms.tagger.export import export_tagger
        from llms.tagger.openvino import load_openvino_tagger

        return load_openvino_tagger(export_tagger(folder, manifest, precision=_openvino_precision(precision)))
    from llms.tagger.torch_tagger import load_torch_tagger

    return load_torch_tagger(folder, manifest, device=device, precision=cast("Precision", precision))


def _has_export(folder: Path, precision: str) -> bool:
    if any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")):
        return False
    from llms.tagger.export import find_tagger_export

    return find_tagger_export(folder, precision=_openvino_precision(precision)) is not None


def _openvino_precision(precision: str) -> "ExportPrecision":
    """Return the precision of the export; "auto" means bfloat16 where this CPU multiplies it natively."""
    if precision == "auto":
        return "bfloat16" if wants_bfloat16("cpu") else "float32"
    return cast("ExportPrecision", precision)
