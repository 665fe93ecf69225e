"""Our models under the public conformance suite, on each engine."""

import contextlib

import pytest

from llms import LocalChatModel
from llms.conformance import LocalChatModelConformance
from tests.llms.engines.test_adapters import save_adapter
from tests.tiny_models import build_chat_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_chat_model(tmp_path_factory.mktemp("conformance") / "model", context_tokens=2048)


class _Local(LocalChatModelConformance):
    """What is the same on each engine: subclasses make the model, and say what a forward pass is."""

    @pytest.fixture
    def tokenizer(self, make_model):
        return make_model()._loaded.tokenizer

    @pytest.fixture
    def prompt_ids(self, make_model):
        return make_model()._loaded.template.render

    @pytest.fixture
    def forward_passes(self, place, monkeypatch):
        owner, name = place
        passes = []
        forward = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: passes.append(1) or forward(*a, **k))
        return lambda: len(passes)

    @pytest.fixture
    def broken(self, place, monkeypatch):
        @contextlib.contextmanager
        def broken():
            with monkeypatch.context() as patch:
                patch.setattr(*place, lambda *_, **__: 1 / 0)
                yield

        return broken


class TestTorch(_Local):
    @pytest.fixture(scope="class")
    def adapter_folder(self, folder, tmp_path_factory):
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(folder)
        return save_adapter("lora", tmp_path_factory.mktemp("adapter") / "refunds", base=base, seed=3)

    @pytest.fixture
    def make_model(self, folder, adapter_folder):
        adapters = {"refunds": str(adapter_folder)}
        return lambda **options: LocalChatModel(
            model=str(folder), engine="torch", device="cpu", adapters=adapters, **options
        )

    @pytest.fixture
    def adapters(self):
        return {"refunds": {"adapter": "refunds"}}

    @pytest.fixture
    def place(self, make_model):
        return make_model()._loaded.engine.model, "forward"


class TestOpenVino(_Local):
    @pytest.fixture
    def make_model(self, folder):
        pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
        return lambda **options: LocalChatModel(model=str(folder), engine="openvino", device="cpu", **options)

    @pytest.fixture
    def place(self, make_model):
        return make_model()._loaded.engine, "step"
