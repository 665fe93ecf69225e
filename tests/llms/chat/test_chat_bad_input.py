"""Each bad input is a typed error at once, and requests beside it are not touched."""

import asyncio
import json
import shutil

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from llms import LocalChatModel, LocalLLM
from llms.errors import (
    ConstraintError,
    ContextOverflowError,
    EngineBusyError,
    GenerationTimeoutError,
    InputTextError,
    ModelFolderError,
    ModelNotFoundError,
    OptionValueError,
    TuneChainError,
    UnknownOptionError,
    UnsupportedOptionError,
)
from llms.manifest import MANIFEST_NAME
from tests.contracts import LONE_SURROGATE


@pytest.fixture(scope="module")
def model(chat_folder):
    return LocalChatModel(model=str(chat_folder), engine="torch", device="cpu", max_tokens=20)


@pytest.fixture
def folder(chat_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(chat_folder, tmp_path / "model")


BROKEN_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "banana"}}}
BAD_CALLS = {
    "no message": (InputTextError, [], {}),
    "half a character": (InputTextError, LONE_SURROGATE, {}),
    "a NUL": (InputTextError, "a\x00b", {}),
    "half a character in a tool's result": (InputTextError, [ToolMessage(LONE_SURROGATE, tool_call_id="1")], {}),
    "10 MB": (InputTextError, "x" * 10_000_000, {}),
    "longer than the context": (ContextOverflowError, "x" * 600, {}),
    "an image": (InputTextError, [HumanMessage([{"type": "image", "url": "http://127.0.0.1/a.png"}])], {}),
    "a limit of nothing": (OptionValueError, "hi", {"max_tokens": 0}),
    "a negative limit": (OptionValueError, "hi", {"max_tokens": -5}),
    "no answer wanted": (OptionValueError, "hi", {"n": 0}),
    "a temperature that is no number": (OptionValueError, "hi", {"temperature": "hot"}),
    "a misspelt option": (UnknownOptionError, "hi", {"temprature": 1}),
    "a tool that is no schema": (ConstraintError, "hi", {"tools": [BROKEN_TOOL], "tool_choice": "any"}),
    "a pattern that nothing matches": (ConstraintError, "hi", {"regex": r"[^\s\S]"}),
    "a schema that nothing matches": (ConstraintError, "hi", {"response_format": {"title": "T", "type": "banana"}}),
    "an empty stop text": (OptionValueError, "hi", {"stop": [""]}),
    "no time": (OptionValueError, "hi", {"timeout": 0}),
}


@pytest.mark.parametrize("name", BAD_CALLS)
async def test_a_bad_call_is_refused_at_once_and_others_are_not_touched(model, name):
    kind, messages, options = BAD_CALLS[name]
    expected = model.invoke("hello").text
    good = [asyncio.create_task(model.ainvoke("hello")) for _ in range(3)]
    await asyncio.sleep(0)
    for call in (lambda: model.invoke(messages, **options), lambda: list(model.stream(messages, **options))):
        with pytest.raises(kind) as caught:
            call()
        assert isinstance(caught.value, TuneChainError)
    with pytest.raises(kind):
        await model.ainvoke(messages, **options)
    assert [message.text for message in await asyncio.gather(*good)] == [expected] * 3


async def test_of_200_callers_at_once_as_many_are_answered_as_may_wait(model):
    expected = model.invoke("hello").text
    engine = model._loaded.engine
    outcomes = await asyncio.gather(*(model.ainvoke("hello") for _ in range(200)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {type(error) for error in refused} == {EngineBusyError}
    assert {outcome.text for outcome in outcomes if not isinstance(outcome, Exception)} == {expected}
    assert 200 - len(refused) >= engine.max_running + engine.max_waiting
    assert engine.num_active == 0


async def test_a_batch_of_200_waits_for_itself(model):
    expected = model.invoke("hello").text
    assert {message.text for message in model.batch(["hello"] * 200, max_tokens=3)} == {expected[:3]}
    assert {message.text for message in await model.abatch(["hello"] * 200, max_tokens=3)} == {expected[:3]}
    text = LocalLLM(model=model.model, engine="torch", device="cpu", max_tokens=3)
    assert len(text.batch(["hello"] * 200)) == len(await text.abatch(["hello"] * 200)) == 200


def test_an_answer_that_takes_too_long_is_dropped(chat_folder):
    slow = LocalChatModel(model=str(chat_folder), engine="torch", device="cpu", max_tokens=480, timeout=0.02)
    with pytest.raises(GenerationTimeoutError, match="raise timeout"):
        slow.invoke("hello")
    assert slow.invoke("hello", max_tokens=2, timeout=60).text


def test_an_option_with_an_impossible_value_is_our_error_at_construction_too(chat_folder):
    with pytest.raises(OptionValueError, match="engine must be one of"):
        LocalChatModel(model=str(chat_folder), engine="fast")
    with pytest.raises(OptionValueError, match="temperature"):
        LocalChatModel(model=str(chat_folder), temperature=-1)
    with pytest.raises(OptionValueError, match="at least 1 MiB"):
        LocalChatModel(model=str(chat_folder), max_kv_cache_mb=0)
    with pytest.raises(UnsupportedOptionError, match=r"int4.*runs on the OpenVINO engine only"):
        LocalChatModel(model=str(chat_folder), engine="torch", precision="int4").invoke("hi")
    with pytest.raises(ModelNotFoundError):
        LocalChatModel(model="no-such-folder")


@pytest.mark.parametrize("engine", ["auto", "torch", "openvino"])
@pytest.mark.parametrize("name", ["int5", "float16", "nonsense", "fp8", "", "Float32"])
def test_a_precision_that_no_engine_has_is_refused_by_each_of_them(chat_folder, engine, name):
    for options in ({"precision": name}, {"dtype": name}):
        with pytest.raises(
            OptionValueError, match=r"precision must be one of auto, float32, bfloat16, int8, int4, got '"
        ):
            LocalChatModel(model=str(chat_folder), engine=engine, **options).invoke("hi")


def test_the_precision_has_its_earlier_name_too(chat_folder):
    assert LocalChatModel(model=str(chat_folder), dtype="float32").precision == "float32"
    assert LocalChatModel(model=str(chat_folder)).precision == "auto"


def test_weights_that_are_no_numbers_are_refused_and_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    weights[name][3, 5] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match=rf"{name} holds values that are no numbers"):
        LocalChatModel(model=str(folder), engine="torch").invoke("hi")


def test_weights_without_a_head_are_refused_and_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match=r"lacks weights \(lm_head"):
        LocalChatModel(model=str(folder), engine="torch").invoke("hi")


@pytest.mark.parametrize("template", ["{% if %}", "{{ messages[0].content | no_such_filter }}", "{% endfor %}"])
def test_a_template_that_does_not_compile_is_a_typed_error(folder, template):
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(ModelFolderError, match="chat template refuses"):
        LocalChatModel(model=str(folder), engine="torch").invoke("hi")


def test_a_template_that_was_changed_after_the_training_is_refused(trained_chat_folder, tmp_path):
    folder = shutil.copytree(trained_chat_folder, tmp_path / "model", ignore=shutil.ignore_patterns("openvino"))
    assert LocalChatModel(model=str(folder), engine="torch").invoke("Hello", max_tokens=2).text
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text("utf-8") + " ", encoding="utf-8")
    with pytest.raises(ModelFolderError, match=r"chat_template\.jinja has changed since training"):
        LocalChatModel(model=str(folder), engine="torch").invoke("Hello")
    manifest = json.loads((folder / MANIFEST_NAME).read_text("utf-8"))
    del manifest["files"]["chat_template.jinja"]
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="the model was trained with"):
        LocalChatModel(model=str(folder), engine="torch").invoke("Hello")
