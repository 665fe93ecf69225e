"""A short request cannot make an engine unfold without end."""

import asyncio
import contextlib
import threading
import time

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from llms import LocalChatModel
from llms.engines.constraint_limits import MAX_DEPTH, check_constraint
from llms.engines.constraints import InOrder, JsonSchema, OneOf, Pattern, Text
from llms.errors import ConstraintError, ContextOverflowError
from tests.waiting import cpu_seconds, wait_for


def _nested(depth, make):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = make(schema)
    return schema


TOO_LARGE = {
    "nested repetitions": Pattern("^((a{1,1000}){1,1000}){1,1000}$"),
    "two repetitions": Pattern("(a{1,200}){1,200}"),
    "one long repetition": Pattern("a{1000000}"),
    "an open repetition": Pattern("(a{500}){500,}"),
    "repetitions side by side": Pattern("a{900}" * 20),
    "in a look-ahead": Pattern("(?=(a{300}){300})b"),
    "in an atomic group": Pattern("(?>(a{300}){300})"),
    "in a branch": Pattern("(x|(a{300}){300})"),
    "in another dialect": Pattern(r"(\p{L}{1,300}){1,300}"),
    "in a schema": {"type": "string", "pattern": "^((a{1,1000}){1,1000}){1,1000}$"},
    "in a name": {"type": "object", "patternProperties": {"((a{100}){100}){100}": {}}},
    "a length": {"type": "string", "minLength": 10**12},
    "a length beyond bounds": JsonSchema('{"type": "string", "maxLength": 1e999}'),
    "a list": {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    "a number of properties": {"type": "object", "minProperties": 10**7},
    "a number": {"type": "integer", "minimum": 0, "maximum": 10**300},
    "an endless number": JsonSchema('{"type": "integer", "minimum": 1e999}'),
    "a deep schema": _nested(MAX_DEPTH, lambda inner: {"type": "object", "properties": {"a": inner}}),
    "a wide schema": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(15_000)}},
    "a long enumeration": {"enum": [f"v{n}" for n in range(60_000)]},
    "a long text": OneOf((Text("a" * 300_000), Text("b"))),
    "in a part": InOrder((Text("a"), OneOf((Pattern("b{5000}"), Text("c"))))),
}
USUAL = {
    "a long text": {"type": "string", "maxLength": 20_000},
    "a date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "an open pattern": Pattern("([a-z]+ ){1,100}[.]"),
    "a thousand choices": OneOf(tuple(Text(f"choice {n}") for n in range(1000))),
    "a wide schema": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(200)}},
    "a schema that holds itself": {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}},
    "words that look like keywords": {"const": {"maxLength": 10**9, "pattern": "((a{900}){900}){900}"}},
    "an enumeration": {"enum": [f"v{n}" for n in range(5000)]},
}


def _constraint(given):
    return JsonSchema.of(given) if isinstance(given, dict) else given


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_would_take_long_to_unfold_is_refused_at_once(name):
    def check():
        with pytest.raises(
            ConstraintError, match=r"the constraint is too large: .*; (lower|shorten|repeat|ask|flatten)"
        ):
            check_constraint(_constraint(TOO_LARGE[name]))

    assert cpu_seconds(check) < 60  # unfolded they take hours


@pytest.mark.parametrize("name", USUAL)
def test_what_people_ask_for_is_taken(name):
    check_constraint(_constraint(USUAL[name]))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_one_bad_request_fails_alone_on_both_engines(engine, chat_folder):
    if engine == "openvino":
        pytest.importorskip("openvino_genai")
    model = LocalChatModel(model=str(chat_folder), engine=engine, max_tokens=40)
    schemas = [given for given in TOO_LARGE.values() if isinstance(given, dict)]

    async def ask_all():
        good = [model.ainvoke(f"question {n}") for n in range(4)]
        bad = [
            model.ainvoke("x", response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
            for schema in schemas
        ]
        return await asyncio.gather(*good, *bad, return_exceptions=True)

    replies = asyncio.run(ask_all())
    assert all(reply.usage_metadata["output_tokens"] > 0 for reply in replies[:4])
    # a schema that is too long for the prompt is refused for that
    assert all(isinstance(reply, ConstraintError | ContextOverflowError) for reply in replies[4:])
    assert sum(isinstance(reply, ConstraintError) for reply in replies[4:]) >= 6


async def test_the_loop_goes_on_while_a_constraint_is_compiled(chat_folder, monkeypatch):
    model = LocalChatModel(model=str(chat_folder), engine="torch", max_tokens=3)
    engine = model._loaded.engine
    ticks, compiling = [], asyncio.Event()
    loop = asyncio.get_running_loop()
    check = engine.check_request

    def slow_check(request):
        loop.call_soon_threadsafe(compiling.set)
        while len(ticks) < 3:  # only the loop can end it
            time.sleep(0.001)
        check(request)

    monkeypatch.setattr(engine, "check_request", slow_check)
    asked = asyncio.create_task(model.ainvoke("hello", choices=["a", "b"]))
    await compiling.wait()
    for tick in range(3):
        await asyncio.sleep(0)
        ticks.append(tick)
    assert (await asked).text in {"a", "b"}


async def test_a_call_that_is_cancelled_while_it_compiles_leaves_nothing_running(chat_folder, monkeypatch):
    model = LocalChatModel(model=str(chat_folder), engine="torch", max_tokens=400)
    engine = model._loaded.engine
    go_on, submitted = asyncio.Event(), []
    loop = asyncio.get_running_loop()
    submit = engine.submit

    def slow_submit(request, deliver):
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        submitted.append(submit(request, deliver))
        return submitted[0]

    monkeypatch.setattr(engine, "submit", slow_submit)
    asked = asyncio.create_task(model.ainvoke("hello", regex="[a-z]{300,400}"))
    await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()
    await wait_for(lambda: submitted and not engine.num_active)


async def test_long_prompts_tools_and_calls_are_rendered_off_the_loop(chat_folder, monkeypatch):
    model, threads = LocalChatModel(model=str(chat_folder), engine="torch", max_tokens=1), []
    await model.ainvoke("the first call loads the model")
    prepare = LocalChatModel._prepare

    def note_thread(self, *arguments, **options):
        threads.append(threading.current_thread())
        return prepare(self, *arguments, **options)

    monkeypatch.setattr(LocalChatModel, "_prepare", note_thread)
    tool = {"type": "function", "function": {"name": "f", "description": "x", "parameters": {"type": "object"}}}
    call = {"name": "f", "args": {"a": "x"}, "id": "1", "type": "tool_call"}
    for asked, options in (
        ([HumanMessage("x" * 30_000)], {}),
        ([HumanMessage("hello")], {"tools": [tool]}),
        ([HumanMessage("a"), AIMessage("", tool_calls=[call]), ToolMessage("b", tool_call_id="1")], {}),
    ):
        with contextlib.suppress(ContextOverflowError):
            await model.ainvoke(asked, **options)
    assert len(threads) == 3
    assert threading.main_thread() not in threads
