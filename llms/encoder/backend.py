"""Choice of back end, device and precision for encoder networks, and the opening of what was chosen."""

import dataclasses
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from llms.device import INSTALL_OPENVINO, Precision, check_precision, choose_device, wants_bfloat16
from llms.errors import OptionValueError, UnsupportedOptionError

if TYPE_CHECKING:
    from llms.encoder.text_encoder import TextEncoder
    from llms.openvino_export import ExportPrecision


EmbeddingEngine = Literal["auto", "torch", "openvino"]
EmbeddingPrecision = Literal["auto", "float32", "bfloat16", "int8"]

OPENING = threading.Lock()  # two threads that ask at once must not both load a model
_ENGINES = ("auto", "torch", "openvino")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChoice:
    """A back end, decided without loading weights.

    Attributes:
        precision: "float32", "bfloat16" or "int8"; never "auto".
        reason: why, for people.
    """

    engine: Literal["torch", "openvino"]
    device: str
    precision: "ExportPrecision"
    reason: str

    @property
    def torch_precision(self) -> Precision:
        """The precision where torch was chosen, which has no int8 here."""
        return cast("Precision", self.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderChoice(BackendChoice):
    """A back end for the encoder in a folder."""

    folder: Path

    def open(self) -> "TextEncoder":
        """Return the encoder; the same files are loaded once and then shared.

        Raises:
            EngineError: if OpenVINO is not installed, or cannot run this model closely enough to torch.
            ModelFolderError: if the folder is no sentence encoder.
        """
        with OPENING:
            return self._open()

    def _open(self) -> "TextEncoder":
        if self.engine == "openvino":
            from llms.encoder.export import export_encoder
            from llms.encoder.openvino import load_openvino_encoder

            return load_openvino_encoder(export_encoder(self.folder, precision=self.precision))
        from llms.encoder.sentence_encoder import load_encoder

        return load_encoder(self.folder, device=self.device, precision=self.torch_precision)


def check_encoder_options(*, engine: str, precision: str, device: str) -> None:
    """Refuse values that mean nothing, and pairs that do not go together.

    Raises:
        OptionValueError: if there is no such engine or precision, or the engine does not offer this precision or
            device.

    Example:
        >>> check_encoder_options(engine="torch", precision="int8", device="cpu")
        Traceback (most recent call last):
        ...
        llms.errors.OptionValueError: precision='int8' is OpenVINO's alone; set engine='openvino', or take 'bfloat16'
    """
    if engine not in _ENGINES:
        msg = f"engine must be one of {', '.join(_ENGINES)}, got {engine!r}"
        raise OptionValueError(msg)
    check_precision(precision)
    if engine == "torch" and precision == "int8":
        msg = "precision='int8' is OpenVINO's alone; set engine='openvino', or take 'bfloat16'"
        raise OptionValueError(msg)
    if device not in ("auto", "cpu") and asks_openvino(engine, precision):
        msg = (
            f"OpenVINO runs encoders on the CPU only, got device={device!r}; leave it at 'auto', or set engine='torch'"
        )
        raise OptionValueError(msg)


def asks_openvino(engine: str, precision: str) -> bool:
    """Return whether OpenVINO was asked for; "int8" exists there only."""
    return engine == "openvino" or precision == "int8"


def refuse_adapter(folder: Path, *, engine: str, precision: str) -> None:
    """Refuse OpenVINO for a folder that holds an adapter.

    Raises:
        UnsupportedOptionError: if it was asked for.
    """
    if asks_openvino(engine, precision):
        msg = (
            f"{folder} holds an adapter, and those run on torch; train with keep_adapter=False where the method can "
            "be merged, or leave engine and precision out"
        )
        raise UnsupportedOptionError(msg)


def choose_backend(
    *, engine: str, precision: str, device: str, find_export: Callable[["ExportPrecision"], Path | None]
) -> BackendChoice:
    """Return which back end runs a network; nothing is exported or loaded.

    "auto" takes OpenVINO on a CPU where it is installed and a complete, verified export in the wanted precision lies
    there already; else torch. "int8" exists on OpenVINO only, so asking for it is asking for OpenVINO.

    Args:
        find_export: the export of the model in a precision, if there is one.
    """
    check_encoder_options(engine=engine, precision=precision, device=device)
    if asks_openvino(engine, precision):
        reason = f"{f'engine={engine!r}' if engine == 'openvino' else 'precision=int8'} was asked for"
        return BackendChoice(engine="openvino", device="cpu", precision=_openvino_precision(precision), reason=reason)
    device = choose_device(device)
    if engine == "torch":
        reason = f"engine={engine!r} was asked for"
    else:
        reason = _reason_for_torch(device, _openvino_precision(precision), find_export)
    if reason:
        torch_precision: ExportPrecision = (
            "bfloat16" if wants_bfloat16(device, cast("Precision", precision)) else "float32"
        )
        return BackendChoice(engine="torch", device=device, precision=torch_precision, reason=reason)
    reason = "a verified export lies beside the model, and OpenVINO is faster on this CPU"
    return BackendChoice(engine="openvino", device=device, precision=_openvino_precision(precision), reason=reason)


def choose_encoder(folder: Path, *, engine: str, precision: str, device: str) -> EncoderChoice:
    """Return which back end runs the encoder in `folder`; see `choose_backend`."""
    from llms.encoder.export import find_encoder_export

    chosen = choose_backend(
        engine=engine,
        precision=precision,
        device=device,
        find_export=lambda wanted: find_encoder_export(folder, precision=wanted),
    )
    return EncoderChoice(folder=folder, **dataclasses.asdict(chosen))


def _reason_for_torch(
    device: str, wanted: "ExportPrecision", find_export: Callable[["ExportPrecision"], Path | None]
) -> str:
    if device != "cpu":
        return f"the model runs on {device}"
    if any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")):
        return f"OpenVINO is not installed; it is faster here: {INSTALL_OPENVINO}"
    if find_export(wanted) is None:
        return f"the model was not exported to OpenVINO in {wanted} yet; engine='openvino' does it once"
    return ""


def _openvino_precision(precision: str) -> "ExportPrecision":
    """Return the precision of the export; "auto" means bfloat16 where this CPU multiplies it natively."""
    if precision == "auto":
        return "bfloat16" if wants_bfloat16("cpu") else "float32"
    return cast("ExportPrecision", precision)
