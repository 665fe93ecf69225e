"""OpenAI's clients in front of customer service and the chat model, over a real connection."""

import asyncio
import json
import threading

import httpx
import openai
import pytest
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from apps.applications import Applications
from apps.server.admission import Admission
from apps.server.app import create_app
from apps.server.openai_api.messages import call_options
from apps.server.openai_api.schemas import ChatRequest
from llms import LocalChatModel
from llms.errors import (
    ContextOverflowError,
    EngineBusyError,
    EngineStoppedError,
    GenerationTimeoutError,
    ModelFolderError,
)
from llms.fakes import HashedEmbeddings, ScriptedChatModel
from tests.apps.openai_streams import read_chunks
from tests.waiting import wait_for

USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
CALL = {"name": "look_up", "args": {"order": "VT-1"}, "id": "c1", "type": "tool_call"}
ASKED = [{"role": "user", "content": "hello"}]


class Size(BaseModel):
    """A size."""

    width: int


@tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"{order} is on its way"


@pytest.fixture
def connect(serve):
    """A function answers -> a LangChain client of a scripted model, and the model."""

    def connect_to(*answers, **options):
        model = ScriptedChatModel(answers=answers)
        address = serve(Applications(chat=model))
        return ChatOpenAI(model="chat", base_url=f"{address}/v1", api_key="none", max_retries=0, **options), model

    return connect_to


class _Restarting(ScriptedChatModel):
    """A model whose process ended and is being started again."""

    is_ready: bool = False

    def _generate(self, *_, **__):
        msg = "the model's process was ended by SIGKILL"
        raise EngineStoppedError(msg)


def test_a_model_whose_process_is_started_again_is_not_ready_and_says_when_to_ask(settings):
    with TestClient(create_app(settings, applications=Applications(chat=_Restarting(answers=[])))) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "starting")
        assert client.get("/livez").status_code == 200
        reply = client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert "SIGKILL" not in reply.text


async def test_a_langchain_client_asks_and_streams(connect):
    client, model = connect(AIMessage("two words", usage_metadata=USAGE), stream_usage=True)
    conversation = [("system", "be brief"), ("user", "a"), ("assistant", "b"), ("user", "c")]
    answers = [client.invoke(conversation), await client.ainvoke(conversation)]
    streamed = list(client.stream(conversation))
    answers.append(sum(streamed[1:], start=streamed[0]))
    for answer in answers:
        assert (answer.text, answer.response_metadata["finish_reason"]) == ("two words", "stop")
        assert {name: answer.usage_metadata[name] for name in USAGE} == USAGE
    assert [chunk.text for chunk in streamed if chunk.text] == ["two ", "words"]
    assert [[(m.type, m.text) for m in prompt] for prompt in model.prompts] == [
        [("system", "be brief"), ("human", "a"), ("ai", "b"), ("human", "c")]
    ] * 3


def test_tools_are_called_and_their_answers_read(connect):
    client, model = connect(AIMessage("", tool_calls=[CALL], usage_metadata=USAGE), "It is on its way.")
    bound = client.bind_tools([look_up], tool_choice="look_up", parallel_tool_calls=False)
    asked = bound.invoke("Where is VT-1?")
    assert asked.tool_calls == [CALL]
    assert asked.response_metadata["finish_reason"] == "tool_calls"
    messages = [HumanMessage("Where is VT-1?"), asked, ToolMessage("on its way", tool_call_id="c1")]
    assert client.invoke(messages).text == "It is on its way."
    assert model.options[0]["tool_choice"] == "look_up"
    assert model.options[0]["parallel_tool_calls"] is False
    assert model.options[0]["tools"][0]["function"]["parameters"]["required"] == ["order"]
    assert [message.type for message in model.prompts[1]] == ["human", "ai", "tool"]
    assert model.prompts[1][1].tool_calls == [CALL]
    assert model.prompts[1][2].tool_call_id == "c1"


def test_tool_calls_are_streamed(connect):
    client, _ = connect(AIMessage("I look.", tool_calls=[CALL, {**CALL, "id": "c2"}]))
    chunks = list(client.bind_tools([look_up]).stream("Where is VT-1?"))
    whole = sum(chunks[1:], start=chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert (whole.text, [call["id"] for call in whole.tool_calls]) == ("I look.", ["c1", "c2"])
    assert whole.tool_calls[0]["args"] == {"order": "VT-1"}
    assert whole.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_has_the_form_asked_for(connect, method):
    call = {"name": "Size", "args": {"width": 3}, "id": "c1"}
    answer = AIMessage("", tool_calls=[call]) if method == "function_calling" else '{"width": 3}'
    client, model = connect(answer)
    assert client.with_structured_output(Size, method=method).invoke("How wide?") == Size(width=3)
    if method == "json_schema":
        sent = model.options[0]["response_format"]["json_schema"]
        assert (sent["name"], sent["schema"]["required"]) == ("Size", ["width"])


def test_every_option_reaches_the_model_by_langchains_name(post):
    model = ScriptedChatModel(answers=["one STOP two"])
    options = {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "top_logprobs": 2,
    }
    reply = post(model, max_completion_tokens=9, stop="STOP", user="anna", metadata=None, **options)
    assert reply.json()["choices"][0]["message"]["content"] == "one "
    assert model.options == [options | {"max_tokens": 9}]


def test_thinking_is_switched_by_a_request_beside_what_the_workspace_sets(post, chat_folder):
    model = LocalChatModel(model=str(chat_folder), template_options={"mood": "calm"})
    request = ChatRequest(model="chat", messages=ASKED, chat_template_kwargs={"enable_thinking": False})
    assert call_options(request, model) == {"template_options": {"mood": "calm", "enable_thinking": False}}
    refused = post(ScriptedChatModel(answers=["a"]), chat_template_kwargs={"chat_template": "{{ 1 }}"})
    assert refused.status_code == 400


def test_several_answers_are_several_choices_and_their_prompt_is_counted_once(post):
    model = ScriptedChatModel(answers=[AIMessage(text, usage_metadata=USAGE) for text in "ab"])
    body = post(model, n=2).json()
    assert [(one["index"], one["message"]["content"]) for one in body["choices"]] == [(0, "a"), (1, "b")]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 10, "total_tokens": 17}


def test_a_model_that_counts_no_tokens_reports_none(post):
    assert post(ScriptedChatModel(answers=["a"])).json()["usage"] is None


@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_stream_tells_the_usage_only_if_asked(post, wants_usage):
    model = ScriptedChatModel(answers=[AIMessage("a b", usage_metadata=USAGE)])
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    chunks = read_chunks(post(model, stream=True, **options))
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    ends = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    assert ends == [None, None, None, "stop"]
    if wants_usage:
        assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 12)
        assert all(chunk["usage"] is None for chunk in chunks[:-1])
    else:
        assert not any("usage" in chunk for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_cannot_stream_and_one_that_makes_broken_calls_are_shown_as_they_are(post, stream):
    broken = {"name": "look_up", "args": "{oh", "id": "c9", "error": None, "type": "invalid_tool_call"}

    class Whole(ScriptedChatModel):
        _stream = ScriptedChatModel.__base__._stream

    model = Whole(answers=[AIMessage("hm", invalid_tool_calls=[broken])])
    reply = post(model, stream=stream)
    if stream:
        [delta] = [c["choices"][0]["delta"] for c in read_chunks(reply) if "tool_calls" in c["choices"][0]["delta"]]
    else:
        delta = reply.json()["choices"][0]["message"]
    assert delta["tool_calls"][0]["function"] == {"name": "look_up", "arguments": "{oh"}


def assert_error(reply, status, *, param=None, code=None):
    assert reply.status_code == status
    assert set(reply.json()) == {"error"}
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["code"]) == (param, code)
    return error


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"best_of": 3}, "best_of", "unknown_parameter"),
        ({"temprature": 0}, "temprature", "unknown_parameter"),
        ({"<b>canary4711": 0}, None, "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "a", "mood": "bad"}]}, "messages.0.user.mood", "unknown_parameter"),
        ({"functions": [{"name": "a"}]}, "functions", "unknown_parameter"),
        ({"logit_bias": {"50256": -100}}, "logit_bias", "unknown_parameter"),
        ({"store": True}, "store", "unknown_parameter"),
        ({"temperature": 3}, "temperature", None),
        ({"n": 0}, "n", None),
        ({"n": 9}, "n", None),
        ({"messages": []}, "messages", None),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages.0", None),
        ({"messages": "hello"}, "messages", None),
        ({"max_tokens": 1, "max_completion_tokens": 2}, None, None),
        ({"stream_options": {"include_usage": True}}, None, None),
        ({"n": 2, "stream": True}, None, None),
        ({"top_logprobs": 2}, None, None),
        ({"tool_choice": "required"}, None, None),
        ({"response_format": {"type": "xml"}}, "response_format", None),
        ({"model": "gpt-4o"}, "model", "model_not_found"),
        ({"model": "embeddings"}, "model", "model_not_found"),
    ],
)
def test_what_does_not_fit_is_refused_in_openais_form(post, body, param, code):
    chains = Applications(chat=ScriptedChatModel(answers=["a"]), embeddings=HashedEmbeddings())
    status = 404 if code == "model_not_found" else 400
    error = assert_error(post(chains, **body), status, param=param, code=code)
    assert error["type"] == "invalid_request_error"
    assert "canary4711" not in error["message"]


def test_content_that_is_no_text_is_refused(post):
    part = {"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}
    reply = post(ScriptedChatModel(answers=["a"]), messages=[{"role": "user", "content": [part]}])
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("messages.0.user.content")


def test_content_in_parts_is_one_text(post):
    model = ScriptedChatModel(answers=["a"])
    parts = [{"type": "text", "text": text} for text in ("one ", "two")]
    assert post(model, messages=[{"role": "user", "content": parts}]).status_code == 200
    assert model.prompts[0][0].text == "one two"


@pytest.mark.parametrize("arguments", ["{oh", "[1]", "3", '{"a": "\\ud800"}'])
def test_arguments_of_an_earlier_call_that_are_no_object_are_refused(post, arguments):
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    messages = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert_error(post(ScriptedChatModel(answers=["a"]), messages=messages), 400, param="messages")


ERRORS = {
    "context": (ContextOverflowError("too long"), 400, "messages", "context_length_exceeded"),
    "busy": (EngineBusyError("full"), 429, None, "rate_limit_exceeded"),
    "time": (GenerationTimeoutError("late"), 504, None, None),
    "broken": (ModelFolderError("/secret"), 503, None, None),
    "bug": (ZeroDivisionError("/secret"), 500, None, None),
}


def failing(error, *, after=0):
    """A model that fails, in a stream after some words."""

    class Failing(ScriptedChatModel):
        def _generate(self, *args, **kwargs):
            raise error

        def _stream(self, *args, **kwargs):
            yield from list(super()._stream(*args, **kwargs))[:after]
            raise error

    return Failing(answers=["one two three"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_the_model_says_whose_turn_it_is(post, name, stream):
    error, status, param, code = ERRORS[name]
    reply = post(failing(error), stream=stream)
    assert "secret" not in reply.text
    assert_error(reply, status, param=param, code=code)


def test_an_error_in_the_middle_of_a_stream_is_its_last_event(serve):
    address = serve(Applications(chat=failing(ModelFolderError("/secret"), after=2)))
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    stream = client.chat.completions.create(model="chat", messages=ASKED, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", "one ", "two "]
    with pytest.raises(openai.APIError, match="cannot be used") as caught:
        next(stream)
    assert "secret" not in str(caught.value)


def test_a_model_without_tools_says_so(post):
    class Plain(ScriptedChatModel):
        def bind_tools(self, tools, **kwargs):
            raise NotImplementedError

    function = {"type": "function", "function": {"name": "look_up"}}
    assert_error(post(Plain(answers=["a"]), tools=[function]), 400, param="tools")


async def test_a_model_stops_and_frees_its_place_when_the_client_leaves(serve):
    events = {"started": threading.Event(), "ended": threading.Event()}

    class Endless(ScriptedChatModel):
        async def _work(self):
            events["started"].set()
            try:
                await asyncio.sleep(60)
            finally:
                events["ended"].set()

        async def _agenerate(self, *args, **kwargs):
            await self._work()

        async def _astream(self, *args, **kwargs):
            for chunk in super()._stream(*args, **kwargs):
                yield chunk
            await self._work()

    admission = Admission(max_running=1, max_waiting=0)
    address = serve(Applications(chat=Endless(answers=["a"])), admission=admission)
    for stream in (False, True):
        for event in events.values():
            event.clear()
        async with httpx.AsyncClient(base_url=address) as client:
            body = {"model": "chat", "messages": ASKED, "stream": stream}
            asking = asyncio.ensure_future(client.post("/v1/chat/completions", json=body))
            assert await asyncio.to_thread(events["started"].wait, 60)
            assert admission.num_admitted == 1
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert await asyncio.to_thread(events["ended"].wait, 60)
        await wait_for(lambda: admission.num_admitted == 0)


def test_a_full_queue_is_a_rate_limit_of_openai(settings):
    admission = Admission(max_running=0, max_waiting=0)
    chains = Applications(chat=ScriptedChatModel(answers=["a"]))
    with TestClient(create_app(settings, applications=chains, admission=admission)) as client:
        for stream in (False, True):
            reply = client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED, "stream": stream})
            assert_error(reply, 429, code="rate_limit_exceeded")
            assert reply.headers["retry-after"] == "1"


def test_a_local_model_honours_every_option(serve, chat_folder):
    address = serve(Applications(chat=LocalChatModel(model=str(chat_folder), engine="torch")))
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    ask = client.chat.completions.create
    cut = ask(model="chat", messages=ASKED, max_tokens=3)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 3)
    sampled = [ask(model="chat", messages=ASKED, max_tokens=8, temperature=1, seed=5) for _ in range(2)]
    assert len({one.choices[0].message.content for one in sampled}) == 1
    scored = ask(model="chat", messages=ASKED, max_tokens=2, logprobs=True, top_logprobs=3)
    assert [len(token.top_logprobs) for token in scored.choices[0].logprobs.content] == [3, 3]
    assert len(ask(model="chat", messages=ASKED, max_tokens=2, n=3, temperature=1).choices) == 3
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    form = {"type": "json_schema", "json_schema": {"name": "Answer", "schema": schema}}
    formed = ask(model="chat", messages=ASKED, response_format=form)
    assert isinstance(json.loads(formed.choices[0].message.content)["ok"], bool)
    chunks = list(ask(model="chat", messages=ASKED, max_tokens=3, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == cut.choices[0].message.content
    assert chunks[-1].usage == cut.usage
    with pytest.raises(openai.BadRequestError) as caught:
        ask(model="chat", messages=[{"role": "user", "content": "long " * 20_000}])
    assert caught.value.code == "context_length_exceeded"
