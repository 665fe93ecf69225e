"""Checkpoints that can be trusted: each is sealed with the hashes of its files once it is complete."""

import hashlib
import json
import shutil
from pathlib import Path

__all__ = [
    "checkpoint_folder",
    "discard_checkpoints",
    "newest_valid_checkpoint",
    "prepare_checkpoints",
    "seal_checkpoint",
]

_SEAL_NAME = "sealed.json"
_TRAINING_NAME = "training.json"


def checkpoint_folder(folder: Path) -> Path:
    """Return where the checkpoints of a model that will be saved in `folder` lie: hidden, beside it.

    Example:
        >>> checkpoint_folder(Path("models/intent")).name
        '.intent-checkpoints'
    """
    return folder.with_name(f".{folder.name}-checkpoints")


def discard_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of the model in `folder`, which is saved and needs them no more."""
    shutil.rmtree(checkpoint_folder(folder), ignore_errors=True)


def prepare_checkpoints(folder: Path, fingerprint: str) -> Path | None:
    """Return the newest valid checkpoint in `folder` of the training with this fingerprint, or None.

    Checkpoints of any other training are removed: going on from them would mix two models.
    """
    path = folder / _TRAINING_NAME
    if folder.exists() and _read_fingerprint(path) != fingerprint:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"fingerprint": fingerprint}) + "\n", encoding="utf-8")
    return newest_valid_checkpoint(folder)


def newest_valid_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with most steps among those whose files are as they were written; remove the others.

    A kill in the middle of writing leaves a checkpoint without a seal, a full disk or a broken one leaves files
    that do not match it.
    """
    checkpoints = sorted(folder.glob("checkpoint-*"), key=_num_steps, reverse=True)
    valid = [checkpoint for checkpoint in checkpoints if _is_valid(checkpoint)]
    for checkpoint in checkpoints:
        if checkpoint not in valid:
            shutil.rmtree(checkpoint, ignore_errors=True)
    return valid[0] if valid else None


def seal_checkpoint(checkpoint: Path) -> None:
    """Write the sha256 of every file in `checkpoint` into it; call it last.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "checkpoint-5").mkdir()
        >>> newest_valid_checkpoint(folder) is None  # it has no seal, so it was removed
        True
        >>> (folder / "checkpoint-7").mkdir()
        >>> seal_checkpoint(folder / "checkpoint-7")
        >>> newest_valid_checkpoint(folder).name
        'checkpoint-7'
    """
    hashes = {path.relative_to(checkpoint).as_posix(): _sha256(path) for path in _files(checkpoint)}
    (checkpoint / _SEAL_NAME).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")


def _is_valid(checkpoint: Path) -> bool:
    try:
        expected = json.loads((checkpoint / _SEAL_NAME).read_text("utf-8"))
        return bool(expected == {path.relative_to(checkpoint).as_posix(): _sha256(path) for path in _files(checkpoint)})
    except (OSError, ValueError):
        return False


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != _SEAL_NAME)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _num_steps(checkpoint: Path) -> int:
    number = checkpoint.name.rsplit("-", 1)[-1]
    return int(number) if number.isdecimal() else -1


def _read_fingerprint(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text("utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
