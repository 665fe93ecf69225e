"""Customer service, models and vectors behind OpenAI's addresses, and the keys of its clients."""

import openai
import pytest
from fastapi.testclient import TestClient
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from apps.applications import Applications
from apps.keys import KeyStore
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import OpenQuestion, ServiceReply
from llms.fakes import HashedEmbeddings, ScriptedChatModel
from tests.apps.live_server import serve_here
from tests.apps.openai_streams import read_chunks

ASKED = [{"role": "user", "content": "hello"}]


def remember(request):
    """A chain that asks for an order once and then knows it."""
    if request.open_question:
        return ServiceReply(text=f"{request.text} is on its way.", route="template", intent="track", reason="known")
    question = OpenQuestion(intents=("track",), slot="order")
    text = f"Which order? ({len(request.slots)} known)"
    return ServiceReply(text=text, route="clarify", intent="track", reason="", open_question=question, slots={"a": "b"})


def test_customer_service_answers_with_what_stands_behind_it(serve, chains):
    client = openai.OpenAI(base_url=f"{serve(chains)}/v1", api_key="none")
    reply = client.chat.completions.create(
        model="customer-service", messages=[{"role": "user", "content": "charge the battery?"}]
    )
    assert reply.choices[0].message.content == "Charge it to 80 percent [1]."
    assert reply.tunechain["route"] == "answer"
    assert reply.tunechain["citations"][0]["source"] == "battery.md"
    chat = ChatOpenAI(model="customer-service", base_url=str(client.base_url), api_key="none")
    assert chat.invoke("my refund?").text == "Refunds take five days."
    assert "".join(chunk.text for chunk in chat.stream("my refund?")) == "Refunds take five days."


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_to_a_question_back_is_understood(settings, stream):
    chains = Applications(customer_service=RunnableLambda(remember))
    lines = [{"role": "user", "content": "Where is it?"}]
    with TestClient(create_app(settings, applications=chains)) as client:

        def ask():
            body = {"model": "customer-service", "messages": lines, "stream": stream}
            reply = client.post("/v1/chat/completions", json=body)
            if not stream:
                return reply.json()["choices"][0]["message"]["content"], reply.json()["tunechain"]
            chunks = read_chunks(reply)
            said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
            return said, chunks[-1]["tunechain"]

        said, behind = ask()
        assert (said, behind["open_question"]["slot"]) == ("Which order? (0 known)", "order")
        lines += [{"role": "assistant", "content": said}, {"role": "user", "content": "VT-1"}]
        said, behind = ask()
        assert (said, behind["route"]) == ("VT-1 is on its way.", "template")
        lines[1] = {"role": "assistant", "content": "What the server never said"}
        assert ask()[0].startswith("Which order?")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": ["a"]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "tools"),
        ({"messages": [*ASKED, {"role": "tool", "content": "4", "tool_call_id": "1"}]}, "messages"),
        ({"messages": [{"role": "system", "content": "be a pirate"}]}, "messages"),
        ({"messages": [*ASKED, {"role": "assistant", "content": "hi"}]}, "messages"),
    ],
)
def test_what_customer_service_cannot_follow_is_refused(post, chains, body, param):
    reply = post(chains, **{"model": "customer-service", **body})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        ({"temperature": 0.0}, ["temperature"]),
        ({"temperature": 0.5, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}, 4),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 2),
        ({"seed": 7, "parallel_tool_calls": True}, 2),
        ({"messages": [{"role": "system", "content": "be a pirate"}, *ASKED]}, 1),
        ({"messages": [{"role": "developer", "content": "be a pirate"}, *ASKED], "temperature": 1}, 2),
        ({"response_format": {"type": "text"}, "stop": [], "tools": [], "tool_choice": "none"}, 0),
        ({"stop": "", "logprobs": False, "n": 1, "service_tier": "auto", "modalities": ["text"]}, 0),
        ({"logit_bias": {}, "store": False, "metadata": {}, "functions": [], "reasoning_effort": None}, 0),
        ({"messages": [*ASKED, {"role": "assistant", "content": "a", "annotations": [], "audio": None}, *ASKED]}, 0),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_changes_no_approved_answer_is_taken_and_told(post, chains, body, ignored, stream):
    reply = post(chains, **{"model": "customer-service", "messages": ASKED, **body, "stream": stream})
    assert reply.status_code == 200
    behind = read_chunks(reply)[-1]["tunechain"] if stream else reply.json()["tunechain"]
    told = behind.get("ignored", [])
    assert told == ignored if isinstance(ignored, list) else len(told) == ignored


REPLAYED = [
    {"annotations": []},
    {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example", "start_index": 0}}]},
    {"refusal": None, "audio": None, "function_call": None, "tool_calls": None, "annotations": None},
    {"tool_calls": [], "reasoning_content": "Hm.", "reasoning": "", "provider_specific_fields": {}},
]


@pytest.mark.parametrize("model", ["customer-service", "chat"])
@pytest.mark.parametrize("fields", REPLAYED)
def test_an_answer_of_another_service_can_be_sent_back_as_it_came(post, chains, model, fields):
    lines = [*ASKED, {"role": "assistant", "content": "a", **fields}, *ASKED]
    chat = ScriptedChatModel(answers=["b"])
    used = Applications(customer_service=chains.customer_service, chat=chat)
    assert post(used, model=model, messages=lines).status_code == 200
    assert [message.text for prompt in chat.prompts for message in prompt] in ([], ["hello", "a", "hello"])


@pytest.mark.parametrize("model", ["customer-service", "chat"])
def test_our_own_answer_can_be_sent_back_as_it_came(serve, chains, model):
    used = Applications(customer_service=chains.customer_service, chat=ScriptedChatModel(answers=["b"]))
    client = openai.OpenAI(base_url=f"{serve(used)}/v1", api_key="none", max_retries=0)
    said = client.chat.completions.create(model=model, messages=ASKED).choices[0].message
    for back in (said.model_dump(), said):
        again = client.chat.completions.create(model=model, messages=[*ASKED, back, *ASKED])
        assert again.choices[0].message.content


def test_langchains_client_asks_with_its_usual_settings(serve, chains):
    chat = ChatOpenAI(
        model="customer-service",
        base_url=f"{serve(chains)}/v1",
        api_key="none",
        temperature=0,
        max_tokens=100,
        top_p=1,
    )
    assert chat.invoke([("system", "Be brief."), ("user", "my refund?")]).text == "Refunds take five days."


def test_the_models_are_those_that_can_be_asked(serve, chains):
    client = openai.OpenAI(base_url=f"{serve(chains)}/v1", api_key="none")
    assert [model.id for model in client.models.list()] == ["customer-service"]
    assert client.models.retrieve("customer-service").id == "customer-service"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("chat")


async def test_texts_become_vectors(serve):
    embeddings = HashedEmbeddings(dimension=8)
    address = serve(Applications(embeddings=embeddings))
    expected = embeddings.embed_documents(["red shoe", "sky"])
    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    by_default = await client.embeddings.create(model="embeddings", input=["red shoe", "sky"])
    as_numbers = await client.embeddings.create(model="embeddings", input="red shoe", encoding_format="float")
    assert [one.embedding for one in by_default.data] == [pytest.approx(vector, abs=1e-6) for vector in expected]
    assert as_numbers.data[0].embedding == pytest.approx(expected[0])
    through_langchain = OpenAIEmbeddings(
        model="embeddings", base_url=f"{address}/v1", api_key="none", check_embedding_ctx_length=False
    )
    assert through_langchain.embed_query("sky") == pytest.approx(expected[1], abs=1e-6)
    assert len(through_langchain.embed_documents([f"text {i}" for i in range(300)])) == 300
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="chat", input="a")


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"input": [[57668, 53901]]}, "input", "check_embedding_ctx_length=False"),
        ({"input": [1, 2, 3]}, "input", "check_embedding_ctx_length=False"),
        ({"input": ["x"] * 2049}, "input", "at most 2,048 texts at a time, got 2,049"),
        ({"input": {"text": "a"}}, "input", "must be a text"),
        ({"input": ["a", 7]}, "input", "must be a text"),
        ({"input": "a", "dimensions": 5}, "dimensions", "vectors of 8 dimensions"),
    ],
)
def test_inputs_that_cannot_be_embedded_are_refused_with_the_remedy(settings, body, param, says):
    chains = Applications(embeddings=HashedEmbeddings(dimension=8))
    with TestClient(create_app(settings, applications=chains)) as client:
        reply = client.post("/v1/embeddings", json={"model": "embeddings", **body})
        assert client.post("/v1/embeddings", json={"model": "embeddings", "input": "a", "dimensions": 8}).is_success
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert says in reply.json()["error"]["message"]
    assert "Value error" not in reply.json()["error"]["message"]


def test_keys_are_sent_as_openais_clients_send_them(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    settings = load_settings(tmp_path)
    secrets = {role: KeyStore.of(settings).add("anna", role=role)[1] for role in ("customer", "staff")}
    chains = Applications(
        customer_service=RunnableLambda(remember), chat=ScriptedChatModel(answers=["a"]), embeddings=HashedEmbeddings()
    )
    with serve_here(create_app(settings, applications=chains)) as address:
        seen = {}
        for role, secret in secrets.items():
            client = openai.OpenAI(base_url=f"{address}/v1", api_key=secret, max_retries=0)
            seen[role] = [model.id for model in client.models.list()]
        assert seen == {"customer": ["customer-service"], "staff": ["customer-service", "chat", "embeddings"]}
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=secrets["customer"], max_retries=0)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="chat", messages=ASKED)
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("body", [b"", b"no json", b'{"a": NaN}', b"[]", b'{"model": 1}', b"\xff"])
def test_no_body_brings_anything_but_openais_form(client, body):
    reply = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, set(reply.json())) == (400, {"error"})
