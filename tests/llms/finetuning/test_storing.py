"""A chat model in half the space says the same and is sealed again."""

import shutil

import pytest

from llms import LocalChatModel
from llms.errors import ModelFolderError
from llms.finetuning.starter_model import store_in_bfloat16
from llms.manifest import load_chat_manifest, save_manifest


def test_the_model_is_half_as_large_and_goes_on_as_before(trained_chat_folder, tmp_path):
    folder = shutil.copytree(trained_chat_folder, tmp_path / "chat", ignore=shutil.ignore_patterns("openvino"))
    size = (folder / "model.safetensors").stat().st_size
    names = set(load_chat_manifest(folder).files)
    store_in_bfloat16(folder)
    assert (folder / "model.safetensors").stat().st_size < 0.6 * size
    assert set(load_chat_manifest(folder).files) == names
    assert LocalChatModel(model=str(folder), engine="torch").invoke("Hello").text == "Hello! How can I help you today?"


def test_an_adapter_is_refused(trained_chat_folder, tmp_path):
    folder = shutil.copytree(trained_chat_folder, tmp_path / "chat", ignore=shutil.ignore_patterns("openvino"))
    save_manifest(load_chat_manifest(folder).model_copy(update={"adapter": True}), folder)
    with pytest.raises(ModelFolderError, match="holds an adapter"):
        store_in_bfloat16(folder)
