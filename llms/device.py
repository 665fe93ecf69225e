"""Device and precision of models: "auto" resolved, products in bfloat16 where that is faster and safe."""

import functools
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llms.errors import OptionValueError

if TYPE_CHECKING:
    import contextlib


Precision = Literal["auto", "float32", "bfloat16"]


INSTALL_OPENVINO = "pip install openvino openvino-genai openvino-tokenizers nncf"
_PRECISIONS = ("auto", "float32", "bfloat16", "int8", "int4")


def check_precision(precision: str) -> None:
    """Refuse a precision that no engine knows.

    Raises:
        OptionValueError: with those there are.
    """
    if precision not in _PRECISIONS:
        msg = f"precision must be one of {', '.join(_PRECISIONS)}, got {precision!r}"
        raise OptionValueError(msg)


def choose_device(device: str = "auto") -> str:
    """Return `device`, or for "auto" the GPU if there is one, else the CPU."""
    if device != "auto":
        return device
    if "torch" not in sys.modules and _is_surely_without_gpu():
        return "cpu"
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


def has_integer_products() -> bool:
    """Return whether the processor sums 8-bit products without loss; True where that cannot be told.

    Processors that have AVX2 and no VNNI add pairs of products in 16 bits, and what is larger is cut off.
    """
    flags = _cpu_flags()
    return not flags or bool(flags & {"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"})


def _has_native_bfloat16(device: str) -> bool:
    if device == "cpu" and "torch" not in sys.modules and (flags := _cpu_flags()):
        return bool(flags & {"avx512_bf16", "amx_bf16"})
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


# Loading torch takes longer than all that an exported model does for one text, so what is known without it is not asked
# of it.


@functools.cache
def _is_surely_without_gpu() -> bool:
    """Return whether torch would find no GPU, as far as its build and the drivers tell; False in doubt."""
    try:
        build = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    if build.endswith("+cpu"):
        return True
    has_driver = any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/dxg"))  # the second is that of WSL
    return sys.platform == "linux" and "rocm" not in build and not has_driver


@functools.cache
def _cpu_flags() -> frozenset[str]:
    """Return what the processor can do, in the words of Linux; nothing where that cannot be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")  # x86, Arm
    return frozenset(found.partition(":")[2].split())
