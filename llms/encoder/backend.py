"""Which engine makes sentence vectors, in which precision, and why."""

import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from llms.device import Precision, choose_device, wants_bfloat16
from llms.errors import OptionValueError, UnknownOptionError

if TYPE_CHECKING:
    from llms.encoder.export import ExportPrecision
    from llms.encoder.text_encoder import TextEncoder


EmbeddingEngine = Literal["auto", "torch", "openvino"]
EmbeddingPrecision = Literal["auto", "float32", "bfloat16", "int8"]

_OPENING = threading.Lock()  # two threads that ask at once must not both load a model
_ENGINES = ("auto", "torch", "openvino")
_PRECISIONS = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderChoice:
    """An engine for an encoder's folder, decided without loading weights.

    Attributes:
        engine: "torch" or "openvino".
        precision: "float32", "bfloat16" or "int8"; never "auto".
        reason: why, for people.
    """

    folder: Path
    engine: Literal["torch", "openvino"]
    device: str
    precision: "ExportPrecision"
    reason: str

    def open(self) -> "TextEncoder":
        """Return the encoder; the same files are loaded once and then shared.

        Raises:
            EngineError: if OpenVINO is not installed, or cannot run this model closely enough to torch.
            ModelFolderError: if the folder is no sentence encoder.
        """
        with _OPENING:
            return self._open()

    def _open(self) -> "TextEncoder":
        if self.engine == "openvino":
            from llms.encoder.export import export_encoder
            from llms.encoder.openvino import load_openvino_encoder

            return load_openvino_encoder(export_encoder(self.folder, precision=self.precision))
        from llms.encoder.sentence_encoder import load_encoder

        return load_encoder(self.folder, device=self.device, precision=cast("Precision", self.precision))


def check_encoder_options(*, engine: str, precision: str, device: str) -> None:
    """Refuse values that mean nothing, and pairs that do not go together.

    Raises:
        OptionValueError: if there is no such engine, or it does not offer this precision or device.
        UnknownOptionError: if there is no such precision.

    Example:
        >>> check_encoder_options(engine="torch", precision="int8", device="cpu")
        Traceback (most recent call last):
        ...
        llms.errors.OptionValueError: precision='int8' is OpenVINO's alone; set engine='openvino', or take 'bfloat16'
    """
    if engine not in _ENGINES:
        msg = f"engine must be one of {', '.join(_ENGINES)}, got {engine!r}"
        raise OptionValueError(msg)
    if precision not in _PRECISIONS:
        msg = f"precision must be one of {', '.join(_PRECISIONS)}, got {precision!r}"
        raise UnknownOptionError(msg)
    if engine == "torch" and precision == "int8":
        msg = "precision='int8' is OpenVINO's alone; set engine='openvino', or take 'bfloat16'"
        raise OptionValueError(msg)
    if device not in ("auto", "cpu") and (engine == "openvino" or precision == "int8"):
        msg = (
            f"OpenVINO runs encoders on the CPU only, got device={device!r}; leave it at 'auto', or set engine='torch'"
        )
        raise OptionValueError(msg)


def choose_encoder(folder: Path, *, engine: str, precision: str, device: str) -> EncoderChoice:
    """Return which engine runs the encoder in `folder`; nothing is exported or loaded.

    "auto" takes OpenVINO on a CPU where it is installed and a complete, verified export in the wanted precision lies
    there already; else torch. "int8" exists on OpenVINO only, so asking for it is asking for OpenVINO.
    """
    check_encoder_options(engine=engine, precision=precision, device=device)
    if engine == "openvino" or precision == "int8":
        reason = f"{f'engine={engine!r}' if engine == 'openvino' else 'precision=int8'} was asked for"
        wanted = cast("ExportPrecision", _openvino_precision(precision))
        return EncoderChoice(folder=folder, engine="openvino", device="cpu", precision=wanted, reason=reason)
    device = choose_device(device)
    torch_precision = _torch_precision(device, precision)
    reason = f"engine={engine!r} was asked for" if engine == "torch" else _reason_for_torch(folder, device, precision)
    if reason:
        return EncoderChoice(folder=folder, engine="torch", device=device, precision=torch_precision, reason=reason)
    wanted = cast("ExportPrecision", _openvino_precision(precision))
    reason = "a verified export lies beside the model, and OpenVINO is faster on this CPU"
    return EncoderChoice(folder=folder, engine="openvino", device=device, precision=wanted, reason=reason)


def _reason_for_torch(folder: Path, device: str, precision: str) -> str:
    if device != "cpu":
        return f"the model runs on {device}"
    if any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")):
        return 'OpenVINO is not installed; it is faster here: pip install "tunechain[openvino]"'
    from llms.encoder.export import find_encoder_export

    wanted = cast("ExportPrecision", _openvino_precision(precision))
    if find_encoder_export(folder, precision=wanted) is None:
        return f"the model was not exported to OpenVINO in {wanted} yet; engine='openvino' does it once"
    return ""


def _torch_precision(device: str, precision: str) -> "ExportPrecision":
    return "bfloat16" if wants_bfloat16(device, cast("Precision", precision)) else "float32"


def _openvino_precision(precision: str) -> str:
    """Return the precision of the export; "auto" means bfloat16 where this CPU multiplies it natively."""
    if precision != "auto":
        return precision
    return "bfloat16" if wants_bfloat16("cpu") else "float32"
