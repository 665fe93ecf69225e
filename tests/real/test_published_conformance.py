"""A published model under the public conformance suite."""

import pytest

from llms import LocalChatModel, resolve_model
from llms.errors import ModelNotFoundError
from tests.llms.chat.test_conformance import TestOpenVino as _OnOpenVino

pytestmark = pytest.mark.real
MODEL = "smollm2-135m-instruct"


class TestSmolLm2(_OnOpenVino):
    @pytest.fixture
    def make_model(self):
        pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
        try:
            folder = str(resolve_model(MODEL))
        except ModelNotFoundError:
            pytest.skip(f"{MODEL} is not on this machine: tunechain models add {MODEL}")
        return lambda **options: LocalChatModel(
            model=folder, engine="openvino", precision="float32", device="cpu", **options
        )
