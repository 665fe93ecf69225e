"""The OpenVINO engine answers as transformers does, keeps its constraints, and frees what it no longer needs."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("openvino_genai")

from llms.engines.adapters import Adapter
from llms.engines.calls import run_requests
from llms.engines.constraints import InOrder, JsonSchema, OneOf, Pattern, Text, choices_constraint
from llms.engines.openvino_backend.engine import OpenVinoEngine, load_openvino_engine
from llms.engines.openvino_backend.export import export_openvino
from llms.engines.requests import GenerationRequest
from llms.errors import ConstraintError, ContextOverflowError, EngineError, OptionValueError, UnsupportedOptionError
from llms.options import GenerationOptions
from tests.llms.engines.decoders import build_decoder, expected_ids, greedy_ids, prompts
from tests.tiny_models import build_chat_tokenizer

TOKENIZER = build_chat_tokenizer()
CACHE_BYTES = 64 * 1024**2
NAMES = ["llama", "qwen3", "gpt_neox", "phi3", "mistral", "gpt2"]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "退", 'q"\\']}, "minItems": 1, "maxItems": 3},
        "more": {
            "type": "object",
            "properties": {
                "count": {"type": "integer", "minimum": -5, "maximum": 99},
                "share": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                "is_new": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
            },
            "required": ["count", "share"],
        },
    },
    "required": ["name", "tags", "more"],
}


@pytest.fixture(scope="module")
def model():
    """The torch model whose export several tests share."""
    return build_decoder("llama")


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return _saved(model, tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def engine(folder):
    """A Llama in float32 that several tests share."""
    return load_openvino_engine(folder, precision="float32", kv_cache_bytes=CACHE_BYTES)


def _saved(model, folder):
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def _request(prompt, *, constraint=None, adapter=None, is_stop=None, wants_pieces=False, cache_salt="", **options):
    return GenerationRequest(
        prompt_ids=prompt,
        cache_salt=cache_salt,
        options=GenerationOptions(**options),
        constraint=constraint,
        adapter=adapter,
        is_stop=is_stop,
        wants_pieces=wants_pieces,
    )


def _ids(engine, *requests):
    return [list(event.ids) for event in run_requests(engine, requests)]


@pytest.mark.parametrize("name", NAMES)
def test_greedy_tokens_equal_transformers_whatever_runs_beside(name, model, folder, tmp_path):
    model = model if name == "llama" else build_decoder(name)
    folder = folder if name == "llama" else _saved(model, tmp_path)
    engine = load_openvino_engine(folder, precision="float32", kv_cache_bytes=CACHE_BYTES)
    asked = prompts(5, 40, 17, 64, 200)
    expected = [expected_ids(model, prompt) for prompt in asked]
    assert greedy_ids(engine, asked) == expected
    assert greedy_ids(engine, asked) == expected  # now out of the prefix cache


def test_no_prompt_is_kept_once_requests_of_two_cache_salts_came(folder, model, monkeypatch):
    monkeypatch.setattr("llms.engines.openvino_backend.engine._STEP_TOKENS", 64)
    engine = OpenVinoEngine(export_openvino(folder, precision="float32"), kv_cache_bytes=CACHE_BYTES)
    prompt = prompts(320, seed=11)[0]
    steps = []
    step = engine.step
    monkeypatch.setattr(engine, "step", lambda jobs: steps.append(len(jobs)) or step(jobs))

    def count_steps(cache_salt):
        steps.clear()
        (event,) = run_requests(engine, [_request(prompt, max_new_tokens=1, cache_salt=cache_salt)])
        assert list(event.ids) == expected_ids(model, prompt, 1)
        return len(steps)

    assert [count_steps(salt) for salt in ("acme", "acme", "beta", "acme", "beta")] == [5, 1, 5, 5, 5]


def test_a_request_of_another_cache_salt_waits_for_those_that_run(folder, model):
    engine = OpenVinoEngine(export_openvino(folder, precision="float32"), kv_cache_bytes=CACHE_BYTES)
    asked = prompts(40, 50, 60, seed=12)
    salts = ("acme", "beta", "acme")
    requests = [_request(prompt, max_new_tokens=12, cache_salt=salt) for prompt, salt in zip(asked, salts, strict=True)]
    assert _ids(engine, *requests) == [expected_ids(model, prompt) for prompt in asked]


def test_the_grammars_of_two_cache_salts_differ_and_mean_the_same(engine):
    def ask(cache_salt):
        request = _request([5, 6], max_new_tokens=9, constraint=Pattern("[ab]{3}c"), cache_salt=cache_salt)
        config = engine._generation_config(request)
        return TOKENIZER.decode(_ids(engine, request)[0]), config.structured_output_config.grammar

    (said, grammar), (said_again, other) = ask("acme"), ask("beta")
    assert said == said_again
    assert re.fullmatch("[ab]{3}c", said)
    assert grammar != other


def test_prompt_lookup_changes_no_token(folder, engine):
    looking = load_openvino_engine(folder, precision="float32", kv_cache_bytes=CACHE_BYTES, prompt_lookup=True)
    asked = [prompt * 4 for prompt in prompts(12, 15, 18)]
    for options in ({}, {"temperature": 0.8, "seed": 3}, {"repetition_penalty": 1.2}, {"frequency_penalty": 0.5}):
        requests = [_request(prompt, max_new_tokens=40, **options) for prompt in asked]
        assert _ids(looking, *requests) == _ids(engine, *requests)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_smaller_weights_answer_too(folder, precision):
    engine = load_openvino_engine(folder, precision=precision, kv_cache_bytes=CACHE_BYTES)
    assert [len(ids) for ids in greedy_ids(engine, prompts(5, 40))] == [12, 12]


def test_the_end_token_ends_the_answer_and_is_not_shown(model, tmp_path):
    prompt = prompts(9)[0]
    expected = expected_ids(model, prompt)
    twin = build_decoder("llama")
    twin.generation_config.eos_token_id = [expected[5]]
    engine = load_openvino_engine(_saved(twin, tmp_path), precision="float32", kv_cache_bytes=CACHE_BYTES)
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=12)])
    assert list(event.ids) == expected[: expected.index(expected[5])]
    assert event.finish_reason == "stop"


def test_the_length_ends_the_answer(engine):
    (event,) = run_requests(engine, [_request(prompts(9)[0], max_new_tokens=7)])
    assert (len(event.ids), event.finish_reason) == (7, "length")


def test_a_stop_ends_the_answer_at_once(engine):
    seen = []
    (event,) = run_requests(
        engine, [_request([5, 6], max_new_tokens=60, is_stop=lambda i: bool(seen.append(i)) or len(seen) == 3)]
    )
    assert list(event.ids) == seen
    assert event.finish_reason == "stop"


# options


@pytest.mark.parametrize(
    "options", [{"repetition_penalty": 1.7}, {"presence_penalty": 1.5}, {"frequency_penalty": 0.9}, {"logprobs": 0}]
)
def test_penalties_and_log_probabilities_are_those_of_their_definitions(engine, model, options):
    prompt = prompts(12)[0]
    (event,) = run_requests(engine, [_request(prompt, max_new_tokens=20, **options)])
    ids, logprobs = _penalised(model, prompt, 20, **options)
    assert list(event.ids) == ids
    if "logprobs" in options:
        assert [score.logprob for score in event.scores] == pytest.approx(logprobs, abs=1e-4)
        assert [score.token_id for score in event.scores] == ids


def _penalised(model, prompt, num_tokens, *, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0, **_):
    import torch

    answer, logprobs = [], []
    for _ in range(num_tokens):
        with torch.no_grad():
            raw = model(torch.tensor([prompt + answer])).logits[0, -1]
        scores = raw.clone()
        for seen in set(prompt + answer):
            scores[seen] = raw[seen] * repetition_penalty if raw[seen] < 0 else raw[seen] / repetition_penalty
        for said in set(answer):
            scores[said] -= presence_penalty + frequency_penalty * answer.count(said)
        answer.append(int(scores.argmax()))
        logprobs.append(float(raw.log_softmax(-1)[answer[-1]]))
    return answer, logprobs


def test_a_seed_repeats_whatever_runs_beside(engine):
    one, other = prompts(12, 30)
    options = {"max_new_tokens": 20, "temperature": 1.2}
    (alone,) = _ids(engine, _request(one, seed=1, **options))
    among = _ids(engine, _request(other, seed=9, **options), _request(one, seed=1, **options), _request(one, **options))
    assert among[1] == alone
    assert among[2] != alone


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"min_p": 0.999}])
def test_truncation_to_the_likeliest_token_is_greedy(engine, options):
    (prompt,) = prompts(12)
    sampled = _ids(engine, _request(prompt, max_new_tokens=12, temperature=1.0, seed=0, **options))
    assert sampled == greedy_ids(engine, [prompt])


def test_what_the_engine_does_not_offer_is_refused(engine, tmp_path):
    with pytest.raises(UnsupportedOptionError, match="no alternatives; use logprobs=0"):
        engine.submit(_request([5], logprobs=2), print)
    adapter = Adapter(tmp_path, ())
    with pytest.raises(UnsupportedOptionError, match='use engine="torch"'):
        engine.submit(_request([5], adapter=adapter), print)
    with pytest.raises(UnsupportedOptionError, match='use engine="torch"'):
        engine.score([5], [[6]], adapter=adapter)
    with pytest.raises(ContextOverflowError):
        engine.submit(_request([5] * 500, max_new_tokens=100), print)


# constraints


def test_constraints_hold_beside_each_other_and_beside_a_free_request(engine):
    choices = choices_constraint(["退货要多久", '我的"卡"丢了', "a-b\\c [x]^"])
    followed = InOrder((Text("<t>"), JsonSchema.of({"enum": ["x", "y\n"]}), OneOf((Text("!"), Pattern("[?]")))))
    constraints = [choices, Pattern("(refund|exchange) [0-9]{4}"), JsonSchema.of(PERSON), followed, None]
    requests = [
        _request(prompt, max_new_tokens=250, temperature=1.0, seed=seed, constraint=constraint)
        for seed, prompt in enumerate(prompts(5, 9, 14))
        for constraint in constraints
    ]
    events = run_requests(engine, requests)
    for request, event in zip(requests, events, strict=True):
        text = TOKENIZER.decode(list(event.ids))
        assert event.finish_reason == ("length" if request.constraint is None else "stop")
        if request.constraint is choices:
            assert text in ["退货要多久", '我的"卡"丢了', "a-b\\c [x]^"]
        elif isinstance(request.constraint, Pattern):
            assert re.fullmatch(request.constraint.regex, text)
        elif isinstance(request.constraint, JsonSchema):
            _check_person(text)
        elif request.constraint is followed:
            assert text[:3] == "<t>"
            assert json.loads(text[3:-1]) in ("x", "y\n")
            assert text[-1] in "!?"


def _check_person(text):
    person = json.loads(text)
    assert json.dumps(person, ensure_ascii=False) == text  # on one line, in Python's own style
    assert list(person) == ["name", "tags", "more"]
    assert 1 <= len(person["name"]) <= 5
    assert 1 <= len(person["tags"]) <= 3
    assert set(person["tags"]) <= {"a", "退", 'q"\\'}
    assert -5 <= person["more"]["count"] <= 99
    assert 0 <= person["more"]["share"] < 1
    assert person["more"].get("is_new") in (None, True, False)


def test_answers_to_wide_patterns_are_whole_characters_without_control_tokens(engine):
    patterns = [Pattern("[^\\n]{20}"), Pattern("[\u0080-\uffff]{20}"), Pattern(".{20}")]
    requests = [
        _request([5, 6, seed], max_new_tokens=200, temperature=3.0, seed=seed, constraint=pattern)
        for seed in range(8)
        for pattern in patterns
    ]
    for ids in _ids(engine, *requests):
        assert max(ids) < 256
        assert "\ufffd" not in TOKENIZER.decode(ids)


@pytest.mark.parametrize(
    "constraint",
    [
        Pattern("(a"),
        Pattern("a(?=b)"),
        Pattern(r"(a)\1"),
        Pattern(r"\bfoo"),
        Pattern("(?i)a"),
        OneOf(()),
        JsonSchema.of({"type": "strin"}),
        JsonSchema.of({"$ref": "#/nope"}),
        JsonSchema.of({"type": "integer", "minimum": 5, "maximum": 3}),
        JsonSchema.of({"type": "string", "pattern": "(a"}),
        JsonSchema.of({"enum": []}),
        JsonSchema.of({"not": {}}),
        JsonSchema("false"),
    ],
)
def test_a_broken_constraint_fails_its_own_request_before_any_work(engine, constraint):
    with pytest.raises(ConstraintError, match="the constraint cannot be used"):
        engine.submit(_request([5], constraint=constraint), print)


# scores


def test_scores_equal_those_of_torch(engine, model):
    import torch

    continuations = prompts(1, 3, 7, 2)
    for prompt in prompts(1, 20, 65):
        expected = []
        for continuation in continuations:
            with torch.no_grad():
                logprobs = model(torch.tensor([prompt + continuation])).logits[0].log_softmax(-1)
            expected.append(sum(float(logprobs[len(prompt) - 1 + i, t]) for i, t in enumerate(continuation)))
        assert engine.score(prompt, continuations) == pytest.approx(expected, abs=1e-3)
    assert engine.score([5], [[], [6]])[0] == 0.0
    assert engine.score([5], []) == []


def test_scores_do_not_depend_on_how_many_fit_into_memory(engine, monkeypatch):
    prompt, *continuations = prompts(20, 3, 7, 2, 5)
    at_once = engine.score(prompt, continuations)
    monkeypatch.setattr("llms.engines.openvino_backend.engine._SCORE_BYTES", 1)
    assert engine.score(prompt, continuations) == pytest.approx(at_once, abs=1e-3)


# many at a time, cancelled, broken


def test_a_hundred_requests_of_many_threads_all_end_right(folder, model):
    engine = OpenVinoEngine(export_openvino(folder, precision="float32"), kv_cache_bytes=1024**2, max_waiting=100)
    asked = prompts(*range(5, 15))
    expected = [expected_ids(model, prompt) for prompt in asked]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: greedy_ids(engine, [asked[n % 10]])[0], range(100)))
    assert answers == expected * 10


def test_a_small_cache_lets_requests_wait_instead_of_breaking_them(folder, model):
    export = export_openvino(folder, precision="float32")
    engine = OpenVinoEngine(export, kv_cache_bytes=6 * 32 * 2 * 2 * 2 * 16 * 4)  # six blocks of 32 tokens
    assert engine.context_tokens == 6 * 32 - 5  # five may be guessed beyond the end
    asked = prompts(80, 90, 100, 110)
    assert greedy_ids(engine, asked) == [expected_ids(model, prompt) for prompt in asked]
    with pytest.raises(OptionValueError, match="kv_cache_bytes=1000 holds no two blocks"):
        OpenVinoEngine(export, kv_cache_bytes=1000)


def test_a_cancelled_request_is_not_computed_any_further(engine):
    started, ended, done = threading.Event(), threading.Event(), threading.Event()
    cancelled, others = [], []

    def take(events, event, last):
        events.append(event)
        started.set()
        if event.is_last:
            last.set()

    ticket = engine.submit(
        _request([5, 6], max_new_tokens=400, wants_pieces=True), lambda event: take(cancelled, event, ended)
    )
    engine.submit(_request([7, 8], max_new_tokens=60), lambda event: take(others, event, done))
    assert started.wait(60)
    ticket.cancel()
    assert ended.wait(60)
    assert cancelled[-1].finish_reason == "cancelled"
    assert done.wait(60)
    assert len(others[-1].ids) == 60
    metrics = engine._pipeline.get_metrics()
    assert (metrics.scheduled_requests, metrics.requests) == (1, 1)  # in the last step only the other one ran


def test_a_request_cancelled_alone_leaves_nothing_behind(engine):
    started, ended = threading.Event(), threading.Event()

    def take(event):
        started.set()
        if event.is_last:
            ended.set()

    ticket = engine.submit(_request([5, 6], max_new_tokens=400, wants_pieces=True), take)
    assert started.wait(60)
    ticket.cancel()
    assert ended.wait(60)
    assert not engine.run_between_steps(engine._pipeline.has_non_finished_requests).result(60)


def test_the_engine_works_on_after_a_step_failed(folder, model, monkeypatch):
    engine = OpenVinoEngine(export_openvino(folder, precision="float32"), kv_cache_bytes=CACHE_BYTES)
    (prompt,) = prompts(9)

    class Broken:
        def add_request(self, *args):
            return None

        def step(self):
            raise RuntimeError("no memory")

    engine._pipeline = Broken()
    with pytest.raises(EngineError, match="no memory"):
        greedy_ids(engine, [prompt])
    assert greedy_ids(engine, [prompt]) == [expected_ids(model, prompt)]


def test_an_engine_is_loaded_once(folder):
    first, second = (load_openvino_engine(folder, precision="float32", kv_cache_bytes=CACHE_BYTES) for _ in range(2))
    assert first is second


def test_a_folder_without_an_export_is_refused(tmp_path):
    with pytest.raises(EngineError, match="is no complete export"):
        OpenVinoEngine(tmp_path)
