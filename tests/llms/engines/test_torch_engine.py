"""The torch engine answers as transformers' own `generate`, whatever runs beside a request."""

import asyncio
import threading

import pytest

from llms.engines.calls import arun_requests, astream_events, run_requests, stream_events
from llms.engines.constraints import OneOf, Pattern, Text
from llms.engines.requests import GenerationRequest
from llms.engines.torch_backend.engine import TorchEngine
from llms.engines.torch_backend.rows import PaddedRows
from llms.engines.torch_backend.sampling import Sampler
from llms.errors import ConstraintError, ContextOverflowError, EngineBusyError, EngineError, GenerationTimeoutError
from llms.options import GenerationOptions
from tests.llms.engines.decoders import ARCHITECTURES, build_decoder, expected_ids, greedy_ids, prompts
from tests.tiny_models import build_chat_tokenizer
from tests.waiting import wait_for, wait_until

TOKENIZER = build_chat_tokenizer()


def _engine(name="llama", **options):
    return TorchEngine(build_decoder(name), TOKENIZER, **options)


@pytest.fixture(scope="module")
def engine():
    """A Llama that several tests share."""
    return _engine()


@pytest.fixture
def count_passes(engine, monkeypatch):
    """A list that grows by the number of tokens of each forward pass."""
    sizes = []
    forward = engine.model.forward

    def counted(*args, **inputs):
        sizes.append(inputs["input_ids"].numel())
        return forward(*args, **inputs)

    monkeypatch.setattr(engine.model, "forward", counted)
    engine.run_between_steps(engine.reset).result()
    return sizes


def _request(prompt, **options):
    wants_pieces = options.pop("wants_pieces", False)
    extra = {name: options.pop(name) for name in ("constraint", "is_stop", "cache_salt") if name in options}
    return GenerationRequest(
        prompt_ids=prompt, options=GenerationOptions(**options), wants_pieces=wants_pieces, **extra
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_tokens_equal_transformers_for_every_architecture(name):
    engine = _engine(name)
    asked = prompts(5, 40, 17)
    answers = greedy_ids(engine, asked)
    assert answers == [expected_ids(engine.model, prompt) for prompt in asked]
    # each depends on more than its last token, or a lost cache would not show
    assert all(answer != expected_ids(engine.model, prompt[-1:]) for answer, prompt in zip(answers, asked, strict=True))


def test_caches_that_cannot_be_padded_run_one_by_one():
    for name, is_padded in (("llama", True), ("gemma3", False), ("mamba", False)):
        engine = _engine(name)
        kinds = []
        list(
            stream_events(
                engine,
                _request(
                    prompts(30)[0],
                    max_new_tokens=3,
                    is_stop=lambda _, e=engine, k=kinds: k.append([type(g.rows) for g in e._groups.values()]) or False,
                ),
            )
        )
        assert all((kind == PaddedRows) is is_padded for seen in kinds for kind in seen)


def test_a_request_that_joins_late_changes_nothing_and_starts_at_once(engine):
    early, late = prompts(60, 20, seed=3)
    steps, late_steps, late_events = [], [], []
    request = _request(late, max_new_tokens=8, wants_pieces=True, is_stop=lambda _: late_steps.append(len(steps)))

    def join(token):
        steps.append(token)
        if len(steps) == 5:  # on the engine's thread, so that no step passes unseen
            engine.submit(request, late_events.append)

    stream = stream_events(engine, _request(early, max_new_tokens=40, wants_pieces=True, is_stop=join))
    ids = [token for event in stream for token in event.ids]
    assert late_steps[0] - 5 <= 3  # steps of the running request until the new one's first token
    assert ids == expected_ids(engine.model, early, 40)
    assert [token for event in late_events for token in event.ids] == expected_ids(engine.model, late, 8)


def test_prompt_lookup_gives_the_same_tokens_in_fewer_passes(engine, count_passes):
    prompt = prompts(12)[0] * 4
    without = greedy_ids(engine, [prompt], 40)
    assert len(count_passes) == 40
    count_passes.clear()
    guessing = TorchEngine(engine.model, TOKENIZER, prompt_lookup=True)
    assert greedy_ids(guessing, [prompt], 40) == without
    assert len(count_passes) < 40


def test_a_prompt_that_begins_like_an_earlier_one_is_not_run_again(engine, count_passes):
    start, one, other = prompts(50, 10, 12, seed=5)
    expected = [expected_ids(engine.model, start + rest) for rest in (one, other)]
    count_passes.clear()
    (event,) = run_requests(engine, [_request(start + one, max_new_tokens=12)])
    assert (list(event.ids), event.num_cached_tokens) == (expected[0], 0)
    count_passes.clear()
    (event,) = run_requests(engine, [_request(start + other, max_new_tokens=12)])
    assert (list(event.ids), event.num_cached_tokens) == (expected[1], 50)
    assert count_passes[0] == 12


def test_a_prompt_of_another_cache_salt_is_run_as_if_nobody_had_asked_it(engine):
    prompt = prompts(60, seed=8)[0]

    def num_cached(cache_salt):
        (event,) = run_requests(engine, [_request(prompt, max_new_tokens=1, cache_salt=cache_salt)])
        return event.num_cached_tokens

    assert [num_cached(salt) for salt in ("acme", "beta", "", "acme", "beta", "")] == [0, 0, 0, 59, 59, 59]


def test_an_answer_of_another_cache_salt_is_not_known_either(engine):
    prompt, more = prompts(30, 6, seed=9)
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=10, cache_salt="acme")])
    follow_up = [*prompt, *event.ids, *more]
    for salt, expected in (("beta", 0), ("acme", 39)):
        (event,) = run_requests(engine, [_request(follow_up, max_new_tokens=1, cache_salt=salt)])
        assert event.num_cached_tokens == expected


def test_scoring_reads_no_prompt_of_another_cache_salt(engine, count_passes):
    prompt = prompts(40, seed=10)[0]
    run_requests(engine, [_request(prompt, max_new_tokens=1, cache_salt="acme")])
    count_passes.clear()
    engine.score(prompt, [[6]], cache_salt="beta")
    engine.score(prompt, [[6]], cache_salt="acme")
    assert count_passes == [40, 1]


def test_a_constraint_is_compiled_anew_for_another_cache_salt(engine):
    def num_compiled():
        return engine._grammar._compile_once.cache_info().misses

    constraint = Pattern("[ab]{3}c")
    before = num_compiled()
    for salt in ("acme", "acme", "beta"):
        run_requests(engine, [_request([5, 6], max_new_tokens=5, constraint=constraint, cache_salt=salt)])
    assert num_compiled() - before == 2


def test_an_answer_is_the_known_beginning_of_the_next_prompt(engine):
    prompt, more = prompts(30, 6, seed=6)
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=10)])
    follow_up = [*prompt, *event.ids, *more]
    (event,) = run_requests(engine, [_request(follow_up, max_new_tokens=4)])
    assert event.num_cached_tokens == 39  # all but the answer's last token, which was never run
    assert list(event.ids) == expected_ids(engine.model, follow_up, 4)


@pytest.mark.parametrize(
    "options",
    [{"temperature": 2.0, "seed": 7}, {"temperature": 2.0, "seed": 7, "top_k": 5}, {"repetition_penalty": 1.5}],
)
def test_an_answer_does_not_depend_on_what_runs_beside_it(engine, options):
    asked = prompts(9, 33, 21, 14, seed=8)
    alone = [list(run_requests(engine, [_request(prompt, max_new_tokens=10, **options)])[0].ids) for prompt in asked]
    together = run_requests(engine, [_request(prompt, max_new_tokens=10, **options) for prompt in asked])
    assert [list(event.ids) for event in together] == alone


def test_the_repetition_penalty_is_that_of_transformers(engine):
    import torch

    (prompt,) = prompts(15, seed=9)
    answer = engine.model.generate(
        input_ids=torch.tensor([prompt]), max_new_tokens=12, min_new_tokens=12, repetition_penalty=1.7, do_sample=False
    )
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=12, repetition_penalty=1.7)])
    assert list(event.ids) == answer[0, 15:].tolist()


def test_presence_and_frequency_penalties_spread_the_tokens(engine):
    (prompt,) = prompts(15, seed=9)
    counts = [
        len(set(run_requests(engine, [_request(prompt, max_new_tokens=30, **penalty)])[0].ids))
        for penalty in ({}, {"presence_penalty": 2.0, "frequency_penalty": 2.0})
    ]
    assert counts[1] > counts[0]


@pytest.mark.parametrize("truncation", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_the_strongest_truncation_is_greedy(engine, truncation):
    (prompt,) = prompts(15, seed=10)
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=8, temperature=5.0, **truncation)])
    assert list(event.ids) == expected_ids(engine.model, prompt, 8)


def test_log_probabilities_are_those_of_the_model(engine):
    import torch

    (prompt,) = prompts(15, seed=10)
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=5, logprobs=2)])
    with torch.inference_mode():
        logits = engine.model(torch.tensor([[*prompt, *event.ids]])).logits[0, 14:-1].log_softmax(-1)
    for score, token_id, row in zip(event.scores, event.ids, logits, strict=True):
        assert score.token_id == token_id == score.alternatives[0][0]
        assert score.logprob == pytest.approx(float(row[token_id]), abs=1e-4)
        assert score.alternatives[1][1] == pytest.approx(float(row.topk(2).values[1]), abs=1e-4)


def test_scores_equal_brute_force_for_continuations_of_any_length(engine):
    import torch

    prompt, *continuations = prompts(20, 1, 4, 2, 7, 1, seed=11)
    scores = engine.score(prompt, continuations)
    for score, continuation in zip(scores, continuations, strict=True):
        with torch.inference_mode():
            logprobs = engine.model(torch.tensor([prompt + continuation])).logits[0].log_softmax(-1)
        expected = sum(float(logprobs[19 + i, token]) for i, token in enumerate(continuation))
        assert score == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", ["gemma3", "bloom", "mamba"])
def test_scores_are_right_without_plain_caches(name):
    import torch

    engine = _engine(name)
    prompt, *continuations = prompts(20, 3, 2, seed=12)
    for score, continuation in zip(engine.score(prompt, continuations), continuations, strict=True):
        with torch.inference_mode():
            logprobs = engine.model(torch.tensor([prompt + continuation])).logits[0].log_softmax(-1)
        assert score == pytest.approx(
            sum(float(logprobs[19 + i, token]) for i, token in enumerate(continuation)), abs=1e-3
        )


def test_constrained_and_free_requests_share_a_batch(engine):
    (prompt,) = prompts(15, seed=13)
    constraints = [Pattern("[0-9]{4}"), OneOf((Text("退货"), Text("refund"))), None]
    events = run_requests(
        engine, [_request(prompt, max_new_tokens=12, constraint=constraint) for constraint in constraints]
    )
    number, word = (TOKENIZER.decode(event.ids) for event in events[:2])
    assert number.isdigit()
    assert len(number) == 4
    assert word in ("退货", "refund")
    assert [event.finish_reason for event in events] == ["stop", "stop", "length"]
    assert list(events[2].ids) == expected_ids(engine.model, prompt)


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"[^\s\S]"])
def test_an_impossible_constraint_is_refused_before_any_work(engine, count_passes, pattern):
    with pytest.raises(ConstraintError):
        run_requests(engine, [_request([5, 6], constraint=Pattern(pattern))])
    assert count_passes == []


def test_cancelling_ends_a_request_within_one_further_token_with_a_last_event(engine, count_passes):
    events = []
    seen = threading.Event()
    ticket = engine.submit(
        _request(prompts(20)[0], max_new_tokens=400, temperature=1.0, wants_pieces=True),
        lambda event: (events.append(event), seen.set()),
    )
    assert seen.wait(60)
    num_before = len(count_passes)
    ticket.cancel()
    wait_until(lambda: events[-1].is_last)
    assert events[-1].finish_reason == "cancelled"
    assert len(count_passes) - num_before <= 2  # the one under way and one more
    assert engine.num_active == 0
    assert not engine._samplers
    assert not engine._groups


async def test_cancelling_a_task_and_leaving_a_stream_free_the_slot(engine):
    request = _request(prompts(20)[0], max_new_tokens=400, temperature=1.0)
    task = asyncio.create_task(arun_requests(engine, [request]))
    await wait_for(lambda: engine.num_active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stream = astream_events(engine, _request(prompts(20)[0], max_new_tokens=400, wants_pieces=True, temperature=1.0))
    await anext(stream)
    await stream.aclose()
    await wait_for(lambda: engine.num_active == 0)


def test_a_closed_event_loop_stops_nobody_else(engine):
    async def leave():
        loop = asyncio.get_running_loop()
        request = _request(prompts(20)[0], max_new_tokens=400, wants_pieces=True)
        engine.submit(request, lambda _: loop.call_soon_threadsafe(print))

    asyncio.run(leave())
    asked = prompts(8, 9, seed=14)
    assert greedy_ids(engine, asked) == [expected_ids(engine.model, prompt) for prompt in asked]


def test_a_failing_step_reaches_every_caller_at_once_and_leaves_the_engine_usable(engine, monkeypatch):
    asked = prompts(8, 9, 10, seed=15)
    with monkeypatch.context() as patch:
        patch.setattr(PaddedRows, "forward", lambda *_: 1 / 0)
        done = []
        for prompt in asked:
            engine.submit(_request(prompt, max_new_tokens=50), done.append)
        wait_until(lambda: len(done) == 3)
    assert [type(event.error) for event in done] == [EngineError] * 3
    assert len({id(event.error) for event in done}) == 3
    assert greedy_ids(engine, asked) == [expected_ids(engine.model, prompt) for prompt in asked]


def test_a_request_that_cannot_start_fails_alone(engine):
    good, bad = prompts(8, 9, seed=16)
    done = {}
    finished = threading.Event()
    engine.submit(_request(good, max_new_tokens=30), lambda event: (done.update(good=event), finished.set()))
    engine.submit(_request([*bad, 10_000], max_new_tokens=30), lambda event: done.update(bad=event))
    assert finished.wait(60)
    assert isinstance(done["bad"].error, EngineError)
    assert list(done["good"].ids) == expected_ids(engine.model, good, 30)


def test_what_cannot_fit_is_refused_before_any_work(count_passes, engine):
    with pytest.raises(ContextOverflowError, match="the model takes 512"):
        engine.submit(_request([5] * 600), print)
    small = TorchEngine(engine.model, TOKENIZER, kv_cache_bytes=engine.bytes_per_token * 40)
    with pytest.raises(ContextOverflowError, match="raise max_kv_cache_mb"):
        small.submit(_request([5] * 30, max_new_tokens=20), print)
    assert count_passes == []


def test_requests_wait_for_memory_and_all_are_answered(engine):
    asked = prompts(20, 20, 20, 20, seed=17)
    small = TorchEngine(engine.model, TOKENIZER, kv_cache_bytes=engine.bytes_per_token * 80)
    assert greedy_ids(small, asked, 15) == [expected_ids(engine.model, prompt, 15) for prompt in asked]
    assert small._prefixes.num_bytes <= small.kv_cache_bytes


def test_running_and_earlier_prompts_together_stay_under_the_ceiling(engine):
    small = TorchEngine(engine.model, TOKENIZER, kv_cache_bytes=engine.bytes_per_token * 80)
    held = []

    def look(_):
        held.append(small._prefixes.num_bytes + sum(small._bytes_for(job.request) for job in small._running))
        return False

    asked = prompts(20, 25, 30, 20, 28, seed=21)
    run_requests(small, [_request(prompt, max_new_tokens=15, is_stop=look) for prompt in asked])
    assert max(held) <= small.kv_cache_bytes


def test_more_callers_than_may_wait_are_refused_at_once_and_the_others_answered(engine, monkeypatch):
    asked, forward = threading.Event(), PaddedRows.forward
    # none is finished while the others are asked
    monkeypatch.setattr(PaddedRows, "forward", lambda *arguments: asked.wait(60) and forward(*arguments))
    small = TorchEngine(engine.model, TOKENIZER, max_running=2, max_waiting=3)
    done, num_refused = [], 0
    for prompt in prompts(*[10] * 12, seed=18):
        try:
            small.submit(_request(prompt, max_new_tokens=60, temperature=1.0), done.append)
        except EngineBusyError:
            num_refused += 1
    asked.set()
    wait_until(lambda: len(done) + num_refused >= 12)
    assert num_refused >= 12 - 5
    assert all(event.finish_reason == "length" for event in done)
    assert len(done) == 12 - num_refused


def test_an_answer_that_takes_too_long_is_a_typed_error(engine):
    with pytest.raises(GenerationTimeoutError, match="raise timeout"):
        run_requests(engine, [_request([5] * 20, max_new_tokens=450, temperature=1.0, timeout_s=0.05)])


def test_an_idle_engine_lets_its_thread_end(engine, monkeypatch):
    monkeypatch.setattr("llms.engines.step_engine._IDLE_S", 0.05)
    fresh = TorchEngine(engine.model, TOKENIZER)
    greedy_ids(fresh, prompts(5))
    wait_until(lambda: fresh._thread is None)
    assert greedy_ids(fresh, prompts(5))


def test_weights_of_8_bits_answer_almost_as_those_of_32():
    import torch

    from llms.engines.torch_backend.int8_linear import Int8Linear, store_weights_in_int8

    model, rounded = build_decoder("llama"), store_weights_in_int8(build_decoder("llama"))
    assert sum(isinstance(module, Int8Linear) for module in rounded.modules()) == 14
    ids = torch.tensor(prompts(30))
    with torch.inference_mode():
        exact, near = model(ids).logits, rounded(ids).logits
    assert torch.nn.functional.cosine_similarity(exact.flatten(), near.flatten(), dim=0) > 0.999
    assert expected_ids(rounded, prompts(30)[0]) == greedy_ids(TorchEngine(rounded, TOKENIZER), prompts(30))[0]


def test_output_that_is_no_number_fails_its_own_request_alone(engine, monkeypatch):
    good, bad = prompts(8, 9, seed=19)
    choose = Sampler.choose

    def poisoned(sampler, logits):
        return choose(sampler, logits * float("nan") if list(sampler._prompt_ids) == bad else logits)

    monkeypatch.setattr(Sampler, "choose", poisoned)
    done = {}
    finished = threading.Event()
    options = {"max_new_tokens": 10, "temperature": 1.0, "seed": 1}
    engine.submit(_request(good, **options), lambda event: (done.update(good=event), finished.set()))
    engine.submit(_request(bad, **options), lambda event: done.update(bad=event))
    assert finished.wait(60)
    assert "no numbers" in str(done["bad"].error)
    assert done["good"].finish_reason == "length"
