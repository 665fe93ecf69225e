"""PEFT adapters: each is a network of its own that shares every weight with the base model."""

from dataclasses import dataclass
from pathlib import Path

from llms.errors import ModelFolderError, ModelNotFoundError, UnsafeModelError
from llms.loading import folder_stamp

ADAPTER_CONFIG_NAME = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's folder and the state of its files, so that one trained anew into it is another adapter."""

    folder: Path
    stamp: object

    @classmethod
    def at(cls, folder: str | Path) -> "Adapter":
        """Return the adapter in `folder`, which holds a PEFT adapter in safetensors.

        Raises:
            ModelNotFoundError: if there is no such folder.
            ModelFolderError: if it is no adapter.
            UnsafeModelError: if the weights are there only in a format that can run code.
        """
        path = _check_adapter_folder(Path(folder))
        return cls(path, folder_stamp(path))


def _check_adapter_folder(path: Path) -> Path:
    if not path.is_dir():
        msg = f"no adapter folder at {str(path)!r}; give the folder that training or save_pretrained wrote"
        raise ModelNotFoundError(msg)
    if not (path / ADAPTER_CONFIG_NAME).is_file():
        msg = f"{path} has no {ADAPTER_CONFIG_NAME}, so it is no PEFT adapter"
        raise ModelFolderError(msg)
    if not (path / _WEIGHTS).is_file():
        if pickled := next(path.glob("adapter_model.[bp]*"), None):
            msg = f"{path} holds its weights only as {pickled.name}, a format that can run code; save it again"
            raise UnsafeModelError(msg)
        msg = f"{path} holds no weights ({_WEIGHTS}); copy the whole folder again"
        raise ModelFolderError(msg)
    return path
