"""LangChain's own suites for chat models, on both engines, with the model that this test suite trains."""

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from llms import LocalChatModel

# test_stream_time measures only where it plays a recorded stream back; without one it just streams
pytestmark = pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")


class _Model:
    engine: str

    @pytest.fixture(autouse=True)
    def _folder(self, trained_chat_folder, monkeypatch):
        monkeypatch.chdir(trained_chat_folder.parent)  # a name instead of a path, so that snapshots are alike
        if self.engine == "openvino":
            pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
        self.folder = trained_chat_folder.name

    @property
    def chat_model_class(self):
        return LocalChatModel

    @property
    def chat_model_params(self):
        return {"model": self.folder, "engine": self.engine, "device": "cpu"}


class _Unit(_Model, ChatModelUnitTests):
    @property
    def init_from_env_params(self):
        # nothing about a model on this machine is a secret; the hub's own variable must not stand in the way
        return {"HF_HUB_OFFLINE": "1"}, self.chat_model_params, {"model": self.folder}

    @property
    def standard_chat_model_params(self):
        # a model on this machine has nothing to try again
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": []}


class Claims:
    """What a `LocalChatModel` can do of what LangChain's integration suite asks for, whichever model it runs."""

    @property
    def supports_json_mode(self):
        return True

    @property
    def enable_vcr_tests(self):
        return True  # there is nothing to record, so the stream simply runs

    @property
    def supports_anthropic_inputs(self):
        return True


class _Integration(_Model, Claims, ChatModelIntegrationTests):
    @property
    def model_override_value(self):
        return self.folder


class TestUnitTorch(_Unit):
    engine = "torch"


class TestUnitOpenVino(_Unit):
    engine = "openvino"


class TestIntegrationTorch(_Integration):
    engine = "torch"


class TestIntegrationOpenVino(_Integration):
    engine = "openvino"
