"""A trained chat model stored in half the space."""

from pathlib import Path
from typing import Any

from llms.encoder import quiet_loading
from llms.engines.torch_loading import open_causal_model
from llms.errors import ModelFolderError
from llms.finetuning.saving import replace_folder
from llms.loading import EXPORT_FOLDER
from llms.manifest import MANIFEST_NAME, load_chat_manifest, save_manifest

__all__ = ["store_in_bfloat16"]


def store_in_bfloat16(folder: Path) -> None:
    """Store the weights of the chat model in `folder`, which was trained here, in 16 bits; all else stays.

    Its canary stays, too, so that loading finds out if the rounding changed what the model says.

    Raises:
        ModelFolderError: if the folder holds an adapter or no model that was trained here.
    """
    import torch

    manifest = load_chat_manifest(folder)
    if manifest.adapter:
        msg = f"{folder} holds an adapter, which is small already; train with keep_adapter=False for a whole model"
        raise ModelFolderError(msg)
    model: Any = open_causal_model(folder)
    model.to(torch.bfloat16)
    with replace_folder(folder) as new:
        with quiet_loading():
            model.save_pretrained(new)
        for path in folder.iterdir():
            is_kept = path.suffix != ".safetensors" and path.name not in (MANIFEST_NAME, EXPORT_FOLDER, "config.json")
            if is_kept and path.is_file():
                (new / path.name).write_bytes(path.read_bytes())
        save_manifest(manifest, new)
