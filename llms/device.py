"""Device and precision of models: "auto" resolved, products in bfloat16 where that is faster and safe."""

from typing import TYPE_CHECKING, Literal

from llms.errors import OptionValueError

if TYPE_CHECKING:
    import contextlib


Precision = Literal["auto", "float32", "bfloat16"]


def choose_device(device: str = "auto") -> str:
    """Return `device`, or for "auto" the GPU if there is one, else the CPU."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast_for(device: str, precision: Precision = "auto") -> "contextlib.AbstractContextManager[object]":
    """Return a context in which matrix products run in bfloat16 where that is faster and safe.

    "auto" means bfloat16 where the hardware multiplies it natively. Weights, normalisation and pooling stay
    in float32; sentence vectors then differ from full float32 by a cosine of about 0.99999.
    """
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=wants_bfloat16(device, precision))


def wants_bfloat16(device: str, precision: Precision = "auto") -> bool:
    """Return whether products should run in bfloat16; see `autocast_for`.

    Raises:
        OptionValueError: if `precision` is none of the three.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        msg = f"precision must be auto, float32 or bfloat16, got {precision!r}"
        raise OptionValueError(msg)
    return precision == "bfloat16" or (precision == "auto" and _has_native_bfloat16(device))


def _has_native_bfloat16(device: str) -> bool:
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
