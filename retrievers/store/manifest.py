"""What a store was made with, and whether it may be opened with something else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from langchain_core.embeddings import Embeddings

from llms.errors import OptionValueError
from retrievers.errors import StoreMismatchError

__all__ = ["check_choice", "check_manifest", "new_manifest"]


def new_manifest(embedding: Embeddings, metric: str) -> dict[str, str]:
    """Return what a new store remembers."""
    return {
        "embedding": _embedding_name(embedding),
        "embedding_identity": _embedding_identity(embedding),
        "metric": metric,
    }


def check_manifest(
    manifest: Mapping[str, str], embedding: Embeddings, metric: str | None, *, folder: Path | None
) -> None:
    """Refuse an embedding or a metric other than those the store was made with.

    Raises:
        StoreMismatchError: naming both.
    """
    if manifest["embedding_identity"] != _embedding_identity(embedding):
        built_with = f"{manifest['embedding']} (dimension {manifest.get('dimension', '?')})"
        msg = (
            f"the store in {folder} was built with {built_with}, it is opened with {_embedding_name(embedding)}; "
            "open it with the former, or build it anew"
        )
        raise StoreMismatchError(msg)
    if metric is not None and manifest["metric"] != metric:
        msg = (
            f"the store in {folder} compares by {manifest['metric']}, it is opened with {metric}; "
            "leave the metric out, or build it anew"
        )
        raise StoreMismatchError(msg)


def check_choice(name: str, value: str | None, choices: Sequence[str | None]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        OptionValueError: naming them.
    """
    if value not in choices:
        msg = f"{name} must be one of {', '.join(str(choice) for choice in choices)}, got {value!r}"
        raise OptionValueError(msg)


def _embedding_name(embedding: Embeddings) -> str:
    """Return how people call this embedding: class, model name, fingerprint."""
    kind = type(embedding).__name__
    name = next((str(v) for v in (getattr(embedding, a, None) for a in ("model_name", "model")) if v), "")
    fingerprint = getattr(embedding, "fingerprint", "")
    return " ".join(part for part in (kind, name, fingerprint) if part)


def _embedding_identity(embedding: Embeddings) -> str:
    """Return what tells its vectors from others': the fingerprint, whatever its name, else class and model name."""
    return getattr(embedding, "fingerprint", "") or _embedding_name(embedding)
