"""LangChain's own integration suite with published chat models, on both engines."""

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from llms import LocalChatModel, resolve_model
from llms.errors import ModelNotFoundError
from tests.llms.chat.test_chat_model_standard import Claims

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    # test_stream_time measures only where it plays a recorded stream back; without one it just streams
    pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
]


class _Published(Claims, ChatModelIntegrationTests):
    published: str
    engine: str
    precision: str

    @pytest.fixture(autouse=True)
    def _is_here(self):
        if self.engine == "openvino":
            pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
        try:
            resolve_model(self.published)
        except ModelNotFoundError:
            pytest.skip(f"{self.published} is not on this machine: tunechain models add {self.published}")

    @property
    def chat_model_class(self):
        return LocalChatModel

    @property
    def chat_model_params(self):
        return {
            "model": self.published,
            "engine": self.engine,
            "precision": self.precision,
            "device": "cpu",
            "temperature": 0,
            "max_tokens": 160,
        }

    @property
    def model_override_value(self):
        return str(resolve_model(self.published))  # a name that differs, of a model that is here


class TestQwenOpenVino(_Published):
    published, engine, precision = "qwen2.5-coder-1.5b-instruct", "openvino", "int8"


class TestQwenTorch(_Published):
    published, engine, precision = "qwen2.5-coder-1.5b-instruct", "torch", "bfloat16"
