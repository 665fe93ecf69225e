"""ChatHuggingFace under the suites our chat model passes; run through `benchmarks.conformance`, not by `make test`.

It is set up as well as it can be: the pipeline is told not to repeat the prompt, to be greedy, and the limit of tokens
that a check asks for at construction.
"""

import contextlib

import pytest
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from llms.conformance import LocalChatModelConformance
from tests.conftest import trained_chat_folder  # noqa: F401  # a fixture; pytest looks for it here
from tests.tiny_models import build_chat_model


def make_chat(network, tokenizer, **options):
    """Return the chat model over a pipeline, its options where its own documentation puts them."""
    pipeline_options = {"max_new_tokens": options.pop("max_tokens", 256), "do_sample": False, "return_full_text": False}
    generate = pipeline("text-generation", model=network, tokenizer=tokenizer, **pipeline_options)
    llm = HuggingFacePipeline(pipeline=generate)
    return ChatHuggingFace(llm=llm, tokenizer=tokenizer, **options)


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """A random network and its tokenizer."""
    folder = build_chat_model(tmp_path_factory.mktemp("incumbent") / "model", context_tokens=2048)
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


class TestIncumbent(LocalChatModelConformance):
    """The same checks as for our model."""

    @pytest.fixture
    def make_model(self, parts):
        """Return the factory."""
        return lambda **options: make_chat(*parts, **options)

    @pytest.fixture
    def tokenizer(self, parts):
        """Return the tokenizer."""
        return parts[1]

    @pytest.fixture
    def prompt_ids(self, parts):
        """Return what the pipeline's own tokenisation makes of the messages."""
        chat = make_chat(*parts)
        return lambda messages: parts[1](chat._to_chat_prompt(messages))["input_ids"]

    @pytest.fixture
    def forward_passes(self, parts, monkeypatch):
        """Count forward passes."""
        passes = []
        forward = parts[0].forward
        monkeypatch.setattr(parts[0], "forward", lambda *a, **k: passes.append(1) or forward(*a, **k))
        return lambda: len(passes)

    @pytest.fixture
    def broken(self, parts, monkeypatch):
        """Break the network for a while."""

        @contextlib.contextmanager
        def broken():
            with monkeypatch.context() as patch:
                patch.setattr(parts[0], "forward", lambda *_, **__: 1 / 0)
                yield

        return broken


class _Standard:
    @pytest.fixture(autouse=True)
    def _parts(self, request):
        folder = request.getfixturevalue("trained_chat_folder")
        network = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        options = {"max_new_tokens": 256, "do_sample": False, "return_full_text": False}
        generate = pipeline("text-generation", model=network, tokenizer=tokenizer, **options)
        self.llm = HuggingFacePipeline(pipeline=generate)
        self.tokenizer = tokenizer

    @property
    def chat_model_class(self):
        """Return the class under test."""
        return ChatHuggingFace

    @property
    def chat_model_params(self):
        """Return what it is made with."""
        return {"llm": self.llm, "tokenizer": self.tokenizer}


class TestIncumbentUnit(_Standard, ChatModelUnitTests):
    """LangChain's unit tests."""


class TestIncumbentIntegration(_Standard, ChatModelIntegrationTests):
    """LangChain's integration tests, with the model that the test suite trains."""
