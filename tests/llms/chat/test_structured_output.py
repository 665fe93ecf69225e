"""Structured output and scores of a random model: their form holds whatever the model would rather say."""

from typing import Literal, TypedDict

import pytest
import torch
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from llms import LocalChatModel
from llms.errors import ConstraintError, OptionValueError
from tests.tiny_models import build_chat_model


class Order(BaseModel):
    """An order."""

    state: Literal["open", "sent", "退货"]
    is_paid: bool = False


class OrderDict(TypedDict):
    """An order."""

    state: Literal["open", "sent"]


JSON_SCHEMA = Order.model_json_schema()
METHODS = ("function_calling", "json_schema", "json_mode")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = build_chat_model(tmp_path_factory.mktemp("models") / "chat", context_tokens=2048)
    return LocalChatModel(model=str(folder), engine="torch", device="cpu", max_tokens=80)


@pytest.mark.parametrize("method", METHODS)
async def test_every_kind_of_schema_gives_its_kind_of_object(model, method):
    for schema, kind in ((Order, Order), (OrderDict, dict), (JSON_SCHEMA, dict)):
        chain = model.with_structured_output(schema, method=method)
        for order in (chain.invoke("hi"), await chain.ainvoke("hi"), list(chain.stream("hi"))[-1]):
            assert isinstance(order, kind)
            assert dict(order)["state"] in ("open", "sent", "退货")


@pytest.mark.parametrize("method", METHODS)
def test_objects_grow_while_they_are_streamed(model, method):
    parts = list(model.with_structured_output(JSON_SCHEMA, method=method).stream("hi"))
    assert len(parts) > 2
    assert set(parts[0]) <= set(parts[-1])


def test_the_raw_message_comes_along_when_asked_for(model):
    answer = model.with_structured_output(Order, include_raw=True).invoke("hi")
    assert answer["raw"].tool_calls[0]["name"] == "Order"
    assert isinstance(answer["parsed"], Order)
    assert answer["parsing_error"] is None


@pytest.mark.parametrize("method", METHODS)
def test_an_object_that_was_cut_off_is_an_error_and_not_half_an_object(model, method):
    chain = model.with_structured_output(Order, method=method)
    with pytest.raises(OptionValueError, match="raise max_tokens"):
        chain.invoke("hi", max_tokens=4)
    short = LocalChatModel(model=model.model, engine="torch", device="cpu", max_tokens=4)
    answer = short.with_structured_output(Order, method=method, include_raw=True).invoke("hi")
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OptionValueError)


def test_what_is_no_schema_is_refused_at_once(model):
    for schema in (3, {"no": "title"}, None):
        with pytest.raises(ConstraintError):
            model.with_structured_output(schema)
    with pytest.raises(OptionValueError, match="method must be"):
        model.with_structured_output(Order, method="magic")


def test_a_schema_nothing_can_match_is_refused_and_requests_beside_it_are_not_touched(model):
    impossible = {"title": "T", "type": "object", "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 1}}}
    impossible["required"] = ["a"]
    fine = model.invoke("hi").text
    answers = model.batch(["hi", "hi"])
    with pytest.raises(ConstraintError):
        model.with_structured_output(impossible).invoke("hi")
    assert [answer.text for answer in answers] == [fine, fine]


def test_texts_can_be_held_to_a_pattern_or_choices(model):
    assert model.bind(regex="[0-9]{4}").invoke("hi").text.isdigit()
    assert "".join(chunk.text for chunk in model.bind(choices=["退货", "refund"]).stream("hi")) in ("退货", "refund")


LABELS = ["refund", "exchange", "re", "我要退货", "x" * 30, "refund"]


def test_scores_are_probabilities_of_whole_answers(model):
    scores = model.score_choices("hi", LABELS)
    assert list(scores) == list(dict.fromkeys(LABELS))
    assert sum(scores.values()) == pytest.approx(1)
    (call,) = model._prepare([HumanMessage("hi")], None, {})
    tokenizer, network = model._loaded.tokenizer, model._loaded.engine.model
    totals = []
    for label in scores:
        ids = [*tokenizer(label, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            logits = network(torch.tensor([[*call.request.prompt_ids, *ids]])).logits[0]
        logprobs = logits.log_softmax(-1)
        start = len(call.request.prompt_ids) - 1
        totals.append(sum(float(logprobs[start + place, token]) for place, token in enumerate(ids)))
    expected = torch.tensor(totals).softmax(-1).tolist()
    assert list(scores.values()) == pytest.approx(expected, abs=1e-4)


def test_scores_of_77_labels_of_several_tokens_need_one_pass_over_the_prompt(model, monkeypatch):
    sizes = []
    network = model._loaded.engine.model
    forward = network.forward
    monkeypatch.setattr(
        network, "forward", lambda *a, **k: sizes.append(tuple(k["input_ids"].shape)) or forward(*a, **k)
    )
    model._loaded.engine.run_between_steps(model._loaded.engine.reset).result()
    scores = model.score_choices("a question " * 20, [f"label {place}" for place in range(77)])
    assert sum(scores.values()) == pytest.approx(1)
    assert sizes[0][1] > 200
    assert all(columns < 12 for _, columns in sizes[1:])
    assert len(sizes) == 3  # the prompt, and 77 labels in rows of 64


def test_a_higher_temperature_flattens_the_scores(model):
    labels = ["yes", "no", "maybe"]
    sharp, flat = (max(model.score_choices("hi", labels, temperature=t).values()) for t in (1.0, 50.0))
    assert flat < sharp
    with pytest.raises(OptionValueError, match="above 0"):
        model.score_choices("hi", labels, temperature=0)


def test_scores_do_not_depend_on_what_runs_beside_them(model):
    alone = model.score_choices("hi", LABELS)
    streams = [model.stream(f"{place}") for place in range(3)]
    for stream in streams:
        next(stream)
    assert model.score_choices("hi", LABELS) == pytest.approx(alone, abs=1e-5)
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("choices", [[], [""], "yes"])
def test_scores_need_choices(model, choices):
    with pytest.raises(ConstraintError, match="choices"):
        model.score_choices("hi", choices)
