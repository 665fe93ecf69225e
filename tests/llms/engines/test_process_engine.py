"""Engine in a process of its own: the same answers, and an end to every request when the process breaks."""

import asyncio
import dataclasses
import gc
import os
import queue
import signal
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel
from transformers import AutoModelForCausalLM

from llms import LocalChatModel
from llms.engines.adapters import Adapter
from llms.engines.choosing import EngineOptions
from llms.engines.constraints import InOrder, JsonSchema, OneOf, Pattern, Text
from llms.engines.process_backend import messages
from llms.engines.process_backend.engine import ProcessEngine, ProcessLimits, StepWatch
from llms.engines.requests import GenerationRequest, TokenEvent, TokenScore
from llms.errors import (
    ConstraintError,
    ContextOverflowError,
    EngineBusyError,
    EngineError,
    EngineStoppedError,
    ModelFolderError,
    TuneChainError,
)
from llms.options import GenerationOptions
from llms.processes.pipes import MessageReader, send
from tests.llms.engines import scripted_worker
from tests.llms.engines.test_adapters import save_adapter
from tests.tiny_models import build_chat_model
from tests.waiting import wait_for, wait_until

TORCH = EngineOptions(engine="torch", device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_chat_model(tmp_path_factory.mktemp("process") / "model", context_tokens=2048)


@pytest.fixture(scope="module")
def models(folder, tmp_path_factory):
    """The same model in this process and in one of its own, with an adapter."""
    base = AutoModelForCausalLM.from_pretrained(folder)
    adapters = {"refunds": str(save_adapter("lora", tmp_path_factory.mktemp("adapter") / "refunds", base=base, seed=3))}
    options = {"model": str(folder), "engine": "torch", "device": "cpu", "max_tokens": 24, "adapters": adapters}
    here, apart = LocalChatModel(**options), LocalChatModel(**options, own_process=True)
    yield here, apart
    apart._loaded.engine.close()


@pytest.fixture
def engine(models):
    wait_until(lambda: models[1].is_ready)
    return models[1]._loaded.engine


def _kill(engine, kind=signal.SIGKILL):
    os.kill(engine._process._popen.pid, kind)


def _error_of(call):
    with pytest.raises(EngineError) as caught:
        call()
    return caught.value


def _ask(engine):
    """Begin an answer; return where its last event will be, once it has begun."""
    events, ended = queue.SimpleQueue(), queue.SimpleQueue()
    options = GenerationOptions(max_new_tokens=50)
    request = GenerationRequest(prompt_ids=[1, 2, 3], options=options, wants_pieces=True)
    ticket = engine.submit(request, lambda event: (ended if event.is_last else events).put(event))
    events.get(timeout=60)
    return ended, ticket


class _Parcel(BaseModel):
    ok: bool


def test_answers_are_those_of_the_same_engine_in_this_process(models, engine):
    here, apart = models
    assert apart.invoke("hello").text == here.invoke("hello").text
    assert [chunk.text for chunk in apart.stream("hello")] == [chunk.text for chunk in here.stream("hello")]
    questions = ["one", "two", "three"]
    assert [message.text for message in apart.batch(questions)] == [message.text for message in here.batch(questions)]
    sampled = {"temperature": 1.0, "seed": 3, "top_k": 20, "logprobs": True, "top_logprobs": 2}
    there, mine = apart.invoke("hello", **sampled), here.invoke("hello", **sampled)
    assert there.response_metadata["logprobs"] == mine.response_metadata["logprobs"]
    assert there.usage_metadata["output_tokens"] == 24
    assert engine.name == "torch"
    assert apart.engine_reason == here.engine_reason


async def test_answers_of_tasks_and_scores_are_the_same(models, engine):
    here, apart = models
    assert (await apart.ainvoke("hello")).text == here.invoke("hello").text
    assert engine.score([5, 6], [[7], [8, 9]]) == pytest.approx(here._loaded.engine.score([5, 6], [[7], [8, 9]]))
    with pytest.raises(TuneChainError):
        engine.score([], [[1]])


def test_an_answer_ends_with_its_stop_text_and_its_schema(models, engine):
    here, apart = models
    stop = here.invoke("hello").text[4:7]
    assert apart.invoke("hello", stop=[stop]).text == here.invoke("hello", stop=[stop]).text
    assert apart.invoke("hello", stop=[stop]).response_metadata["finish_reason"] == "stop"
    structured = apart.with_structured_output(_Parcel, method="json_schema")
    assert isinstance(structured.invoke("hello"), _Parcel)
    wait_until(lambda: not engine.num_active)


def test_an_adapter_answers_from_the_process_too(models, engine):
    here, apart = models
    expected = here.invoke("hello", adapter="refunds").text
    assert apart.invoke("hello", adapter="refunds").text == expected
    assert expected != here.invoke("hello").text


def test_what_cannot_be_done_is_refused_with_the_same_kind_of_error(engine):
    def ask(**parts):
        events = queue.SimpleQueue()
        parts = {"prompt_ids": [1], "options": GenerationOptions(max_new_tokens=2), **parts}
        engine.submit(GenerationRequest(**parts), events.put)
        return events.get(timeout=60).error

    with pytest.raises(ContextOverflowError):
        ask(options=GenerationOptions(max_new_tokens=5000))
    with pytest.raises(ConstraintError):
        ask(constraint=Pattern("a{1000000}"))
    assert isinstance(ask(constraint=Pattern("(?=a)b")), ConstraintError)
    gone = Adapter(Path("gone"), None)
    assert isinstance(ask(adapter=gone), TuneChainError)
    assert ask() is None


async def test_a_cancelled_task_leaves_no_work_behind(models, engine):
    task = asyncio.create_task(models[1].ainvoke("hello", max_tokens=1500, temperature=1.0))
    await wait_for(lambda: engine.num_active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for(lambda: not engine.num_active)


# the process, with a worker that loads no model


@pytest.fixture
def scripted(request, tmp_path):
    """A function (limits) -> engine of a worker that answers with one token and then waits."""
    engines = []

    def make(**limits):
        limits = ProcessLimits(**limits)
        engines.append(ProcessEngine(tmp_path, TORCH, limits=limits, worker="tests.llms.engines.scripted_worker"))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def test_more_requests_than_may_wait_are_refused_at_once(scripted):
    engine = scripted()
    asked = [_ask(engine) for _ in range(8)]
    with pytest.raises(EngineBusyError):
        _ask(engine)
    for _, ticket in asked:
        ticket.cancel()
    assert {ended.get(timeout=60).finish_reason for ended, _ in asked} == {"cancelled"}
    assert not engine.num_active
    ticket.cancel()  # once more is no harm


@pytest.mark.parametrize("way", ["killed", "broken", "silent", "full"])
def test_a_process_that_fails_ends_every_request_and_is_started_again(scripted, caplog, way):
    reasons = {
        "killed": "was ended by SIGKILL",
        "broken": "ended with status 7",
        "silent": "gave no sign for 6 seconds",
        "full": "took more than 100 MB of memory",
    }
    engine = scripted(silence_s=6.0 if way == "silent" else 60.0, memory_bytes=100_000_000)
    asked = [_ask(engine)[0] for _ in range(3)]
    scoring = threading.Thread(target=lambda: errors.append(_error_of(lambda: engine.score([1], [[2]]))))
    errors = []
    scoring.start()
    wait_until(lambda: engine._scores)
    if way in ("killed", "silent"):
        _kill(engine, signal.SIGKILL if way == "killed" else signal.SIGSTOP)
    else:
        first = scripted_worker.BREAKS if way == "broken" else scripted_worker.NEEDS_MEMORY
        request = GenerationRequest(prompt_ids=[first], options=GenerationOptions(max_new_tokens=9))
        asked.append(queue.SimpleQueue())
        engine.submit(request, asked[-1].put)
    errors += [ended.get(timeout=60).error for ended in asked]
    scoring.join(60)
    errors.append(_error_of(lambda: _ask(engine)))  # nothing is asked of a process that is not there yet
    assert {type(error) for error in errors} == {EngineStoppedError}
    assert f"{reasons[way]} before the answer was complete; ask again in some seconds" in str(errors[0])
    assert f"{reasons[way]}; {len(asked)} requests were lost" in caplog.text
    wait_until(lambda: engine.is_ready)
    assert _ask(engine)


def test_a_closed_engine_cancels_its_requests_and_starts_with_the_next_one(scripted):
    engine = scripted()
    ended, _ = _ask(engine)
    engine.close()
    assert ended.get(timeout=60).finish_reason == "cancelled"
    assert engine.is_ready
    assert _ask(engine)


def test_a_forgotten_engine_leaves_no_process(tmp_path):
    engine = ProcessEngine(tmp_path, TORCH, worker="tests.llms.engines.scripted_worker")
    popen = engine._process._popen
    del engine
    gc.collect()
    wait_until(lambda: popen.poll() is not None)


def test_a_step_that_never_ends_is_told_from_one_that_waits():
    class Clock:
        def __init__(self):
            self.now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    steps = StepWatch(clock.monotonic)
    for steps_taken, is_busy, seconds, expected in (
        (0, False, 100, 0.0),
        (0, True, 0, 0.0),
        (1, True, 10, 0.0),
        (1, True, 30, 30.0),
        (1, False, 30, 0.0),
    ):
        clock.now += seconds
        steps.note(steps_taken, is_busy=is_busy)
        assert steps.idle_s == expected


def test_a_model_that_cannot_be_loaded_is_refused_with_its_own_error(tmp_path, folder):
    with pytest.raises(ModelFolderError):
        ProcessEngine(tmp_path, TORCH)
    with pytest.raises(EngineError, match="was not loaded after 0 seconds"):
        ProcessEngine(folder, TORCH, limits=ProcessLimits(start_s=0))
    with pytest.raises(EngineError, match="ended with status 1 while it loaded"):
        ProcessEngine(folder, TORCH, worker="no_such_module")


# messages


def test_requests_and_events_come_through_a_pipe_as_they_were():
    constraint = InOrder((Text("a/退"), OneOf((Pattern("[0-9]+"), JsonSchema('{"type": "string"}'), InOrder(())))))
    options = GenerationOptions(max_new_tokens=5, temperature=0.5, stop=("x", "退"), logprobs=2, timeout_s=3.5)
    request = GenerationRequest(prompt_ids=[1, 2], options=options, constraint=constraint, cache_salt="acme")
    message = messages.decode(messages.encode(messages.request_message(7, request, wants_pieces=True)))
    assert (message["do"], message["number"]) == ("generate", 7)
    expected = dataclasses.replace(request, wants_pieces=True)
    assert messages.request_of(message) == expected
    event = TokenEvent(ids=(4,), scores=(TokenScore(4, -0.5, ((4, -0.5), (9, -1.5))),), first_token_at=2.5)
    assert messages.event_of(messages.decode(messages.encode(messages.event_message(7, event)))) == event


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConstraintError("too large 太大"), ConstraintError, "too large 太大"),
        (EngineBusyError("later"), EngineBusyError, "later"),
        (ZeroDivisionError("by zero"), EngineError, "the engine broke at work: ZeroDivisionError: by zero"),
    ],
)
def test_errors_keep_their_kind_and_words(error, kind, words):
    found = messages.error_of(messages.error_to_json(error))
    assert type(found) is kind
    assert str(found) == words


def test_no_error_of_another_module_is_made_from_a_message():
    for name in ("SystemExit", "__builtins__", "Literal", "StrictJsonError", "no such"):
        assert type(messages.error_of([name, "words"])) is EngineError


def test_messages_are_read_whole_whatever_the_pieces():
    reading, writing = os.pipe()
    reader = MessageReader(reading)
    assert reader.read(timeout_s=0) == []
    send(writing, b"one")
    send(writing, b"")
    os.write(writing, (5).to_bytes(8) + b"thr")
    assert reader.read(timeout_s=5) == [b"one", b""]
    os.write(writing, b"ee")
    assert reader.read(timeout_s=5) == [b"three"]
    os.close(writing)
    with pytest.raises(EOFError):
        reader.read(timeout_s=5)
    os.close(reading)
