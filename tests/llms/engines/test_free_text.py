"""Text that is free until something begins in it: every engine makes that whole and changes nothing before."""

import pytest

from llms.chat.generation import load_language_model
from llms.engines.calls import run_requests
from llms.engines.choosing import EngineOptions
from llms.engines.constraints import FreeText, JsonSchema, OneOf, Pattern, Text
from llms.engines.process_backend.messages import _constraint_of, _constraint_to_json
from llms.engines.requests import GenerationRequest
from llms.options import GenerationOptions

UNIQUE = JsonSchema.of({"type": "array", "items": {"type": "string"}, "uniqueItems": True})


@pytest.fixture(scope="module", params=["torch", "openvino"])
def loaded(request, chat_folder):
    if request.param == "openvino":
        pytest.importorskip("openvino_genai", reason="the openvino extra is not installed")
    return load_language_model(chat_folder, EngineOptions(engine=request.param, device="cpu", precision="float32"))


def answer(loaded, constraint=None):
    prompt = loaded.tokenizer("退货 hello", add_special_tokens=False)["input_ids"]
    options = GenerationOptions(max_new_tokens=24)
    request = GenerationRequest(prompt_ids=prompt, options=options, constraint=constraint)
    (event,) = run_requests(loaded.engine, [request])
    return loaded.tokenizer.decode(list(event.ids))


def test_what_the_model_begins_by_itself_is_made_whole(loaded):
    free = answer(loaded)
    begun = free[3:6]
    whole = answer(loaded, FreeText(((begun, OneOf((Text("{退}"), Pattern(r"\[1\]")))), ("never", Text("x")))))
    at = free.find(begun) + len(begun)
    assert whole[:at] == free[:at]
    assert whole[at : at + 3] in ("{退}", "[1]")
    assert len(whole) > at + 3  # and the text goes on


def test_text_without_a_beginning_is_the_free_text(loaded):
    assert answer(loaded, FreeText((("退", Text("x")),))) == answer(loaded)


def test_what_an_engine_cannot_follow_is_left_out(loaded):
    free = answer(loaded)
    assert answer(loaded, FreeText(((free[3:6], UNIQUE),))) == free


def test_it_crosses_to_the_engine_of_another_process():
    constraint = FreeText((('{"name": "退"', OneOf((Text("a"), Pattern("[0-9]")))),))
    assert _constraint_of(_constraint_to_json(constraint)) == constraint
