"""Model folders, checked before anything in them is loaded: complete, ordinary files, and no code."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llms.errors import ModelFolderError, UnsafeModelError

EXPORT_FOLDER = "openvino"  # beside a model: what is derived from it, no part of it
_CODE_SUFFIXES = frozenset({".py", ".pyc", ".so", ".dll", ".dylib", ".sh"})
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model")
# Each of these makes a library fetch or run code that the folder itself names.
_CODE_KEYS = frozenset({"auto_map", "_attn_implementation_internal", "custom_pipelines"})
_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})  # may be long, and set nothing
_MAX_SETTINGS_BYTES = 10_000_000


def check_model_folder(folder: Path) -> Path:
    """Return `folder` if loading it can run no code and it holds configuration, tokenizer and weights.

    Files with pickled weights beside safetensors are tolerated, since nothing here ever opens them.

    Raises:
        ModelFolderError: if something is missing, or is no file that can be read.
        UnsafeModelError: if loading it could run code.
    """
    names = {path.name for path in folder.iterdir()}
    if "config.json" not in names:
        msg = f"{folder} has no config.json, so it is no transformers model; found: {_listing(names)}"
        raise ModelFolderError(msg)
    refuse_code(folder)
    if not any(name.endswith(".safetensors") for name in names):
        pickled = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")))
        if pickled:
            msg = (
                f"{folder} holds weights only as {pickled[0]}, a format that can run code when it is opened; "
                "save the model again with save_pretrained(..., safe_serialization=True)"
            )
            raise UnsafeModelError(msg)
        msg = f"{folder} holds no weights (*.safetensors); is the copy complete? found: {_listing(names)}"
        raise ModelFolderError(msg)
    if not names.intersection(_TOKENIZER_FILES):
        msg = (
            f"{folder} has no tokenizer ({', '.join(_TOKENIZER_FILES[:3])}, ...); "
            "save the tokenizer that the model was trained with into the same folder"
        )
        raise ModelFolderError(msg)
    return folder


def refuse_code(folder: Path) -> None:
    """Refuse a folder with program code, or with settings that ask for code of their own.

    A model that names code beside an architecture which transformers has itself is taken: that code is never used.

    Raises:
        UnsafeModelError: with the name of the file.
        ModelFolderError: for what is no ordinary file, and for settings that cannot be read.
    """
    settings: dict[Path, Any] = {}
    for path in _all_paths(folder):
        if path.suffix.lower() in _CODE_SUFFIXES:
            msg = f"{path} is program code; models here consist of weights and settings only, remove it"
            raise UnsafeModelError(msg)
        if not path.is_file():  # a pipe would be waited for, a device never end
            msg = f"{path} is no ordinary file; remove it, or copy the whole folder again"
            raise ModelFolderError(msg)
        is_derived = path.is_relative_to(folder / EXPORT_FOLDER)  # no model library reads settings there
        if path.suffix.lower() == ".json" and path.name not in _VOCABULARIES and not is_derived:
            settings[path] = _read_settings(path)
    for path, content in settings.items():
        if found := sorted(_CODE_KEYS.intersection(_keys(content))):
            if found == ["auto_map"] and _is_known_architecture(settings.get(folder / "config.json")):
                continue
            msg = f"{path} asks for code of its own ({found[0]!r}); remove the key, or use a model that does not"
            raise UnsafeModelError(msg)


def _all_paths(folder: Path) -> Iterator[Path]:
    """Yield every path that is no folder; links to folders are not followed, and count as paths."""
    for index, folders, names in os.walk(folder):
        yield from (Path(index) / name for name in names)
        yield from (path for name in folders if (path := Path(index) / name).is_symlink())


def _read_settings(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_SETTINGS_BYTES:
            msg = f"{path} is larger than {_MAX_SETTINGS_BYTES:,} bytes, which no settings of a model are"
            raise ModelFolderError(msg)
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} is not valid JSON ({error}); is the copy complete?"
        raise ModelFolderError(msg) from error
    except RecursionError as error:
        msg = f"{path} nests its values too deeply for settings of a model"
        raise ModelFolderError(msg) from error


def _keys(content: Any) -> Iterator[str]:
    """Yield the keys of an object and of all objects in it."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _is_known_architecture(config: Any) -> bool:
    from transformers import CONFIG_MAPPING

    return isinstance(config, dict) and config.get("model_type") in CONFIG_MAPPING


def _listing(names: set[str]) -> str:
    return ", ".join(sorted(names)[:8]) or "nothing"


def quantization_of(folder: Path) -> str:
    """Return by which method a folder's weights were quantised elsewhere, such as "awq"; "" for none.

    Example:
        >>> quantization_of(Path("no/such/folder"))
        ''
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        config = json.loads((folder / "config.json").read_text("utf-8"))
        return str((config.get("quantization_config") or {}).get("quant_method", ""))
    return ""
