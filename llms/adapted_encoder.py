"""A sentence encoder whose network has an adapter: the base is loaded once, however many adapters use it."""

import functools
from pathlib import Path

from llms.body_adapters import attach_adapter, body_of, share_weights, with_body
from llms.device import Precision
from llms.encoder import SentenceEncoder, load_encoder
from llms.loading import folder_stamp

__all__ = ["load_adapted_encoder"]


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
