"""Checkpoints, each sealed with the hashes of its files once it is complete."""

import hashlib
import json
import shutil
from pathlib import Path

from llms.files import sync_files
from llms.finetuning.trainer.files import is_main_process, write_text

_SEAL_NAME = "sealed.json"
_STATE_NAME = "trainer_state.json"
_TRAINING_NAME = "training.json"


def checkpoint_folder(folder: Path) -> Path:
    """Return where the checkpoints of a model that will be saved in `folder` lie: hidden, beside it.

    Example:
        >>> checkpoint_folder(Path("models/intent")).name
        '.intent-checkpoints'
    """
    return folder.with_name(f".{folder.name}-checkpoints")


def checkpoint_of(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"checkpoint-{step}"


def num_steps(checkpoint: Path) -> int:
    """Return after how many steps a checkpoint was written; -1 for any other folder.

    Example:
        >>> num_steps(Path("checkpoint-12")), num_steps(Path("checkpoint-old"))
        (12, -1)
    """
    number = checkpoint.name.rsplit("-", 1)[-1]
    return int(number) if number.isdecimal() else -1


def discard_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of the model in `folder`, which is saved and needs them no more."""
    if is_main_process():
        shutil.rmtree(checkpoint_folder(folder), ignore_errors=True)


def prepare_checkpoints(folder: Path, fingerprint: str | None) -> Path | None:
    """Return the newest valid checkpoint in `folder` of the training with this fingerprint, or None.

    Checkpoints of any other training are removed: going on from them would mix two models.

    Args:
        fingerprint: None for a training that never goes on from a checkpoint, and whose own are never gone on from.
    """
    path = folder / _TRAINING_NAME
    is_same = fingerprint is not None and _read_fingerprint(path) == fingerprint
    if folder.exists() and not is_same:
        path.unlink(missing_ok=True)  # first, so that a kill within the removal leaves nothing to go on from
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if fingerprint is not None and not is_same:
        write_text(path, json.dumps({"fingerprint": fingerprint}) + "\n")
    return newest_valid_checkpoint(folder)


def newest_valid_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with most steps that training can go on from; remove those that are newer or damaged.

    A kill in the middle of writing leaves a checkpoint without a seal, a full disk or a broken one leaves files
    that do not match it. A checkpoint also needs the one that was best so far, whose weights may be wanted at the end.
    """
    checkpoints = sorted(folder.glob("checkpoint-*"), key=num_steps, reverse=True)
    valid = [checkpoint for checkpoint in checkpoints if is_valid_checkpoint(checkpoint)]
    usable = [checkpoint for checkpoint in valid if _best_so_far(checkpoint) in valid]
    newest = usable[0] if usable else None
    for checkpoint in checkpoints:
        # files of a newer one must not be mixed with those that training will write in its place
        if newest is None or checkpoint not in valid or num_steps(checkpoint) > num_steps(newest):
            shutil.rmtree(checkpoint, ignore_errors=True)
    return newest


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
    write_text(checkpoint / _SEAL_NAME, json.dumps(_hashes(checkpoint), indent=2) + "\n")
    sync_files(checkpoint)


def is_valid_checkpoint(checkpoint: Path) -> bool:
    """Return whether the files of a checkpoint are the ones it was sealed with."""
    try:
        return bool(json.loads((checkpoint / _SEAL_NAME).read_text("utf-8")) == _hashes(checkpoint))
    except (OSError, ValueError):
        return False


def drop_old_checkpoints(folder: Path) -> None:
    """Keep the newest checkpoint and one to fall back on, each with the best before it; call it after sealing."""
    newest, *older = sorted(folder.glob("checkpoint-*"), key=num_steps, reverse=True)
    kept = {newest, _best_so_far(newest)}
    if len(kept) < 2 and older:  # else the best is the one to fall back on: it was the best then, too
        kept |= {older[0], _best_so_far(older[0])}
    for checkpoint in older:
        if checkpoint not in kept:
            shutil.rmtree(checkpoint, ignore_errors=True)


def _best_so_far(checkpoint: Path) -> Path:
    """Return the checkpoint that was best when this one was written; itself where none was judged."""
    try:
        step = json.loads((checkpoint / _STATE_NAME).read_text("utf-8"))["best_global_step"]
    except (OSError, ValueError, KeyError):
        return checkpoint
    return checkpoint if step is None else checkpoint_of(checkpoint.parent, int(step))


def _hashes(checkpoint: Path) -> dict[str, str]:
    names = sorted(path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith(_SEAL_NAME))
    return {path.relative_to(checkpoint).as_posix(): _sha256(path) for path in names}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_fingerprint(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text("utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
