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


class TestTorch(LocalChatModelConformance):
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
    def tokenizer(self, make_model):
        return make_model()._loaded.tokenizer

    @pytest.fixture
    def prompt_ids(self, make_model):
        return make_model()._loaded.template.render

    @pytest.fixture
    def network(self, make_model):
        return make_model()._loaded.engine.model

    @pytest.fixture
    def forward_passes(self, network, monkeypatch):
        passes = []
        forward = network.forward
        monkeypatch.setattr(network, "forward", lambda *a, **k: passes.append(1) or forward(*a, **k))
        return lambda: len(passes)

    @pytest.fixture
    def broken(self, network, monkeypatch):
        @contextlib.contextmanager
        def broken():
            with monkeypatch.context() as patch:
                patch.setattr(network, "forward", lambda *_, **__: 1 / 0)
                yield

        return broken


class TestOpenVino(LocalChatModelConformance):
    @pytest.fixture
    def make_model(self, folder):
        pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
        return lambda **options: LocalChatModel(model=str(folder), engine="openvino", device="cpu", **options)

    @pytest.fixture
    def tokenizer(self, make_model):
        return make_model()._loaded.tokenizer

    @pytest.fixture
    def prompt_ids(self, make_model):
        return make_model()._loaded.template.render

    @pytest.fixture
    def engine(self, make_model):
        return make_model()._loaded.engine

    @pytest.fixture
    def forward_passes(self, engine, monkeypatch):
        passes = []
        step = engine.step
        monkeypatch.setattr(engine, "step", lambda jobs: passes.append(1) or step(jobs))
        return lambda: len(passes)

    @pytest.fixture
    def broken(self, engine, monkeypatch):
        @contextlib.contextmanager
        def broken():
            with monkeypatch.context() as patch:
                patch.setattr(engine, "step", lambda _: 1 / 0)
                yield

        return broken
