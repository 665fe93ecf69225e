"""No public method of our objects looks for another machine, not even one that LangChain's base classes bring."""

import inspect
import socket

import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.prompt_values import StringPromptValue

from llms import (
    LocalChatModel,
    LocalClassifier,
    LocalEmbeddings,
    LocalLLM,
    LocalReranker,
    LocalTagger,
    SqliteByteStore,
)
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, HybridRetriever
from tests import tiny_models
from tests.apps.service_worlds import make_service_chain, write_service_workspace

DOCUMENTS = [Document("Returns take seven days.", id="1"), Document("退货需要七天。", id="2")]
ARGUMENTS = {
    "text": "a text",
    "texts": ["a text", "another"],
    "query": "returns",
    "input": "a question",
    "inputs": ["a question"],
    "prompt": "a question",
    "prompts": ["a question"],
    "messages": [HumanMessage("hello")],
    "documents": DOCUMENTS,
    "k": 1,
    "ids": ["1"],
    "keys": ["1"],
    "key_value_pairs": [("1", b"a")],
    "embedding": [0.5] * 8,
    "vector": [0.5] * 8,
    "search_type": "similarity",
    "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}],
    "schema": {"title": "answer", "type": "object", "properties": {"a": {"type": "string"}}},
    "choices": ["yes", "no"],
}
# what a method of this name takes under one of the names above
HASHED = {"embedding": HashedEmbeddings(dimension=8)}
OWN_ARGUMENTS = {
    "generate": {"messages": [[HumanMessage("hello")]]},
    "agenerate": {"messages": [[HumanMessage("hello")]]},
    "generate_prompt": {"prompts": [StringPromptValue(text="hello")]},
    "agenerate_prompt": {"prompts": [StringPromptValue(text="hello")]},
    "from_texts": HASHED,
    "afrom_texts": HASHED,
    "from_documents": HASHED,
    "afrom_documents": HASHED,
}
# they start a server, change the object or wait for input of their own
LEFT_OUT = {"construct", "from_orm", "parse_file", "parse_raw", "close", "aclose"}


@pytest.fixture
def addresses(monkeypatch):
    """Every address that something asks for; none is given."""
    asked = []

    def refuse(*where, **_):
        asked.append(where)
        msg = "there is no network here"
        raise OSError(msg)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: refuse(address))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return asked


def _objects(tmp_path):
    store = FaissStore(embedding=HashedEmbeddings(dimension=8))
    store.add_documents(DOCUMENTS, ids=["1", "2"])
    chat = str(tiny_models.build_chat_model(tmp_path / "chat"))
    yield LocalChatModel(model=chat, engine="torch", max_tokens=1)
    yield LocalLLM(model=chat, engine="torch", max_tokens=1)
    yield LocalEmbeddings(tiny_models.build_sentence_encoder(tmp_path / "encoder"), engine="torch")
    yield LocalClassifier(tiny_models.build_sequence_classifier(tmp_path / "classifier"))
    yield LocalReranker(model=str(tiny_models.build_cross_encoder(tmp_path / "reranker")))
    yield LocalTagger(tiny_models.build_token_classifier(tmp_path / "tagger"))
    yield SqliteByteStore(tmp_path / "bytes.sqlite")
    yield store
    yield HybridRetriever(store=store, k=1)
    (tmp_path / "shop").mkdir()
    yield make_service_chain(write_service_workspace(tmp_path / "shop"))


def _calls(made):
    """Yield each public method with what it needs, by place and by name, where we know that."""
    for name, function in inspect.getmembers(type(made), inspect.isroutine):  # of the class: a property would be asked
        if name.startswith("_") or name in LEFT_OUT or inspect.isbuiltin(function):
            continue
        if not callable(method := getattr(made, name)):
            continue
        known = ARGUMENTS | OWN_ARGUMENTS.get(name, {})
        needed = [
            parameter
            for parameter in inspect.signature(method).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        if all(parameter.name in known for parameter in needed):
            by_place = [known[one.name] for one in needed if one.kind is one.POSITIONAL_ONLY]
            yield (
                name,
                method,
                by_place,
                {one.name: known[one.name] for one in needed if one.kind != one.POSITIONAL_ONLY},
            )


@pytest.mark.filterwarnings("ignore")
async def test_no_public_method_asks_for_an_address(addresses, tmp_path):
    called = set()
    for made in _objects(tmp_path):
        for name, method, by_place, arguments in _calls(made):
            called.add((type(made).__name__, name))
            try:
                result = method(*by_place, **arguments)
                if inspect.isawaitable(result):
                    await result
                elif inspect.isgenerator(result):
                    list(result)
                elif inspect.isasyncgen(result):
                    [part async for part in result]
            except Exception:  # what a method makes of our arguments is tested elsewhere
                called.discard((type(made).__name__, name))
            assert not addresses, f"{type(made).__name__}.{name} asked for {addresses}"
    counted = {("LocalChatModel", "get_num_tokens"), ("LocalLLM", "get_num_tokens_from_messages")}
    assert counted <= called
    whole = {("LocalChatModel", "generate"), ("LocalChatModel", "bind_tools"), ("LocalLLM", "agenerate_prompt")}
    assert whole | {("FaissStore", "aget_by_ids"), ("FaissStore", "afrom_texts")} <= called
    assert {made for made, _ in called} >= {"LocalTagger", "SqliteByteStore", "LocalReranker", "HybridRetriever"}
    assert len(called) > 200
