"""The local chat model: LangChain's suite, the contract, and what no suite covers."""

import json
import shutil
import threading

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import ValidationError

from llms import LocalChatModel
from llms.errors import ContextOverflowError, EngineError, InputTextError, ModelFolderError, ModelNotFoundError
from tests.contracts import LONE_SURROGATE, ChatModelContract


@pytest.fixture
def model(chat_folder):
    return LocalChatModel(model=str(chat_folder), max_tokens=12, engine="torch", device="cpu")


class TestContract(ChatModelContract):
    @pytest.fixture
    def model(self, model):
        return model


@pytest.fixture
def count_steps(model, monkeypatch):
    """A list that grows by one with every forward pass."""
    steps = []
    network = model._loaded.engine.model
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda *a, **kw: steps.append(1) or forward(*a, **kw))
    return steps


def _ids(model, messages):
    encoded = model._loaded.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return encoded["input_ids"]


def test_usage_and_finish_reason_are_exact(model):
    prompt = _ids(model, [{"role": "user", "content": "QUESTION"}])
    model._loaded.engine.reset()
    message = model.invoke("QUESTION")
    assert message.usage_metadata == {
        "input_tokens": len(prompt),
        "output_tokens": 12,
        "total_tokens": len(prompt) + 12,
        "input_token_details": {"cache_read": 0},
    }
    assert message.response_metadata["finish_reason"] == "length"
    assert message.response_metadata["model_name"] == model.model
    stopped = model.invoke("QUESTION", stop=[message.text[4:6]])
    assert stopped.response_metadata["finish_reason"] == "stop"
    assert stopped.usage_metadata["output_tokens"] <= 6


async def test_models_of_two_cache_salts_share_weights_and_no_prompt(chat_folder):
    acme, beta = (
        LocalChatModel(model=str(chat_folder), max_tokens=1, engine="torch", cache_salt=salt)
        for salt in ("acme", "beta")
    )
    assert acme._loaded.engine is beta._loaded.engine
    acme._loaded.engine.reset()
    question = "Where is the parcel that I ordered for my mother?"

    def num_cached(message):
        return message.usage_metadata["input_token_details"]["cache_read"]

    assert num_cached(acme.invoke(question)) == 0
    assert num_cached(beta.invoke(question)) == 0
    assert num_cached(acme.invoke(question)) > 40
    assert num_cached(await beta.ainvoke(question)) > 40
    other = LocalChatModel(model=str(chat_folder), max_tokens=1, engine="torch", cache_salt="other")
    assert [num_cached(chunk) for chunk in other.stream(question) if chunk.usage_metadata] == [0]


def test_usage_stands_on_the_last_chunk_only(model):
    chunks = list(model.stream("QUESTION"))
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].chunk_position == "last"


def test_limits_hold_at_construction_and_at_a_call(model, chat_folder):
    assert model.invoke("QUESTION", max_tokens=3).usage_metadata["output_tokens"] == 3
    longer = LocalChatModel(model=str(chat_folder), engine="torch", max_tokens=20)
    assert longer.invoke("QUESTION").usage_metadata["output_tokens"] == 20
    assert longer.bind(max_tokens=5).invoke("QUESTION").usage_metadata["output_tokens"] == 5


def test_temperature_and_seed_act(model):
    greedy = model.invoke("QUESTION").text
    first, again, other = (model.invoke("QUESTION", temperature=3.0, seed=seed).text for seed in (1, 1, 2))
    assert first == again
    assert len({greedy, first, other}) == 3
    assert model.invoke("QUESTION", temperature=3.0, seed=1, top_k=1).text == greedy
    assert model.invoke("QUESTION", temperature=3.0, seed=1, top_p=1e-6).text == greedy


def test_sampling_without_a_seed_differs_from_call_to_call(model):
    assert len({model.invoke("QUESTION", temperature=3.0).text for _ in range(4)}) > 1


@pytest.mark.parametrize("option", [{"temprature": 0.1}, {"api_key": "x"}, {"request_timeout": 3}])
def test_an_unknown_option_is_an_error_at_construction(chat_folder, option):
    with pytest.raises(ValidationError, match=next(iter(option))):
        LocalChatModel(model=str(chat_folder), engine="torch", **option)


def test_a_missing_model_is_an_error_at_construction():
    with pytest.raises(ModelNotFoundError):
        LocalChatModel(model="no-such-model")


def test_context_overflow_is_refused_before_any_forward_pass(model, count_steps):
    with pytest.raises(ContextOverflowError, match="the model takes 512"):
        model.invoke("x" * 600)
    with pytest.raises(ContextOverflowError, match="lower max_tokens"):
        model.invoke("x", max_tokens=511)
    assert count_steps == []


def test_closing_a_stream_stops_the_forward_passes(model, count_steps):
    stream = model.stream("QUESTION", max_tokens=200)
    next(stream)
    stream.close()
    num_steps = len(count_steps)  # the engine runs ahead of a reader that the machine keeps waiting
    model.invoke("QUESTION", max_tokens=3)
    assert len(count_steps) <= num_steps + 1 + 3
    assert num_steps < 190


def test_one_forward_pass_per_token(model, count_steps):
    model.invoke("QUESTION", max_tokens=7)
    assert len(count_steps) == 7


def test_an_error_in_a_forward_pass_reaches_the_caller_and_leaves_the_model_usable(model, monkeypatch):
    expected = model.invoke("QUESTION").text
    network = model._loaded.engine.model
    with monkeypatch.context() as patch:
        patch.setattr(network, "forward", lambda *a, **kw: 1 / 0)
        with pytest.raises(EngineError, match="ZeroDivisionError") as caught:
            list(model.stream("QUESTION"))
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert model.invoke("QUESTION").text == expected


def test_threads_do_not_mix_their_answers(model):
    questions = [f"question {i}" for i in range(4)]
    alone = [model.invoke(question).text for question in questions]
    assert len(set(alone)) > 1
    answers = {}
    threads = [
        threading.Thread(target=lambda q=question: answers.update({q: model.invoke(q).text})) for question in questions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[question] for question in questions] == alone
    assert [message.text for message in model.batch(questions)] == alone


def test_models_of_one_folder_share_the_weights(model, chat_folder):
    assert LocalChatModel(model=str(chat_folder), engine="torch")._loaded.engine is model._loaded.engine


def test_an_end_token_named_in_the_generation_settings_ends_the_answer(model, chat_folder, tmp_path):
    answer = model.invoke("QUESTION").text
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text("utf-8"))
    end = model._loaded.tokenizer.convert_tokens_to_ids(answer[5])
    settings["eos_token_id"] = [settings["eos_token_id"], end]
    (folder / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    message = LocalChatModel(model=str(folder), engine="torch", max_tokens=12).invoke("QUESTION")
    assert message.text == answer[: answer.index(answer[5])]
    assert message.response_metadata["finish_reason"] == "stop"


def test_the_template_saved_with_the_model_is_the_one_used(model, chat_folder, tmp_path):
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ bos_token }}A{{ messages[0]['content'] }}", encoding="utf-8")
    other = LocalChatModel(model=str(folder), engine="torch", max_tokens=12)
    assert other.invoke("QUESTION").usage_metadata["input_tokens"] == 1 + len("AQUESTION")


def test_a_folder_without_template_is_refused_with_the_way_out(chat_folder, tmp_path):
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelFolderError, match="use LocalLLM"):
        LocalChatModel(model=str(folder), engine="torch").invoke("QUESTION")


def test_a_conversation_and_repeated_roles_are_answered(model):
    turns = [SystemMessage("a"), SystemMessage("b"), HumanMessage("c"), HumanMessage("d"), AIMessage("e")]
    assert len(model.invoke([*turns, HumanMessage("f")]).text) == 12


def test_texts_no_model_should_see_are_refused(model, count_steps):
    for question in (LONE_SURROGATE, "nul \x00"):
        with pytest.raises(InputTextError):
            model.invoke(question)
    with pytest.raises(InputTextError, match="no message to answer"):
        model.invoke([])
    assert count_steps == []


def test_every_token_is_reported_to_callbacks_once(model):
    from langchain_core.callbacks import BaseCallbackHandler

    class Listener(BaseCallbackHandler):
        def __init__(self):
            self.tokens = []

        def on_llm_new_token(self, token, **kwargs):
            self.tokens.append(token)

    streaming = LocalChatModel(model=model.model, engine="torch", max_tokens=12, streaming=True)
    for call in (
        lambda config: streaming.invoke("QUESTION", config),
        lambda config: list(model.stream("QUESTION", config)),
    ):
        listener = Listener()
        call({"callbacks": [listener]})
        assert "".join(listener.tokens) == model.invoke("QUESTION").text


def test_traces_name_the_model(model):
    params = model._get_ls_params()
    assert (params["ls_provider"], params["ls_model_name"]) == ("tunechain", model.model)


@pytest.mark.parametrize("way", ["invoke", "stream", "batch"])
def test_every_answer_tells_when_its_first_token_came(chat_folder, way):
    chat = LocalChatModel(model=str(chat_folder), engine="torch", max_tokens=4)
    if way == "stream":
        chunks = list(chat.stream("hi"))
        details = sum(chunks[1:], chunks[0]).response_metadata
    else:
        details = (chat.batch(["hi"])[0] if way == "batch" else chat.invoke("hi")).response_metadata
    assert details["first_token_s"] > 0
