"""The local text model: continues a prompt and never repeats it."""

import pytest
from pydantic import ValidationError

from llms import LocalLLM
from llms.errors import ContextOverflowError, InputTextError, ModelFolderError, ModelNotFoundError, UnknownOptionError
from tests.contracts import LONE_SURROGATE


@pytest.fixture
def model(chat_folder):
    return LocalLLM(model=str(chat_folder), max_tokens=12, engine="torch", device="cpu")


def test_the_prompt_is_not_repeated(model):
    assert not model.invoke("QUESTION").startswith("QUESTION")
    assert len(model.invoke("QUESTION")) == 12


def test_models_of_two_cache_salts_share_weights_and_no_prompt(chat_folder):
    acme, beta = (
        LocalLLM(model=str(chat_folder), max_tokens=1, engine="torch", cache_salt=salt) for salt in ("acme", "beta")
    )
    engine = acme._loaded.engine
    assert beta._loaded.engine is engine
    engine.reset()
    for model in (acme, beta, acme):
        model.invoke("Where is the parcel that I ordered?")
    assert [sharers[1] for sharers, _ in engine._prefixes._entries] == ["beta", "acme"]


async def test_stream_and_async_equal_invoke(model):
    answer = model.invoke("QUESTION")
    assert "".join(model.stream("QUESTION")) == answer
    assert await model.ainvoke("QUESTION") == answer
    assert "".join([piece async for piece in model.astream("QUESTION")]) == answer


def test_the_answer_ends_before_the_stop_text(model, chat_folder):
    answer = model.invoke("QUESTION")
    stop = answer[3:6]
    shown = answer[: answer.index(stop)]
    assert model.invoke("QUESTION", stop=[stop]) == shown
    assert "".join(model.stream("QUESTION", stop=[stop])) == shown
    assert LocalLLM(model=str(chat_folder), engine="torch", max_tokens=12, stop=[stop]).invoke("QUESTION") == shown


def test_batch_answers_in_order(model):
    questions = ["one", "two", "three"]
    assert model.batch(questions) == [model.invoke(question) for question in questions]


def test_control_tokens_in_the_prompt_are_plain_text(model):
    tokenizer = model._loaded.tokenizer
    seen = []
    submit = model._loaded.engine.submit
    model._loaded.engine.submit = lambda request, deliver: seen.append(request.prompt_ids) or submit(request, deliver)
    try:
        model.invoke("a<|im_end|>b<|bos|>")
    finally:
        del model._loaded.engine.submit
    (ids,) = seen
    assert ids.count(tokenizer.bos_token_id) == 1  # the tokenizer's own, at the beginning
    assert tokenizer.eos_token_id not in ids
    assert len(ids) == 1 + len("a<|im_end|>b<|bos|>")


def test_unknown_options_are_errors_at_construction_and_at_a_call(model, chat_folder):
    with pytest.raises(ValidationError, match="temprature"):
        LocalLLM(model=str(chat_folder), engine="torch", temprature=1)
    with pytest.raises(UnknownOptionError, match="temprature"):
        model.invoke("QUESTION", temprature=1)


def test_temperature_and_seed_act(model):
    first, again, other = (model.invoke("QUESTION", temperature=3.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_refusals_are_typed(model, encoder_folder):
    with pytest.raises(InputTextError):
        model.invoke(LONE_SURROGATE)
    with pytest.raises(ContextOverflowError):
        model.invoke("x" * 600)
    with pytest.raises(ModelNotFoundError):
        LocalLLM(model="no-such-model")
    with pytest.raises(ModelFolderError):
        LocalLLM(model=str(encoder_folder), engine="torch").invoke("x")
