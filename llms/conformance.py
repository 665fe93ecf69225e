"""Conformance tests of local chat models beyond LangChain's standard ones, as a pytest class.

Inherit `LocalChatModelConformance` and provide its fixtures; nothing here knows how the model is made. Weights need
not be trained: every check holds for a random model whose answers are long enough.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LocalChatModelConformance"]

QUESTION = "Tell me something long."
_MANY_TOKENS = 200

MakeModel = Callable[..., BaseChatModel]


class _Order(BaseModel):
    """An order."""

    state: Literal["open", "sent", "退货"]  # short values, so that a random model comes to their end
    is_paid: bool


class LocalChatModelConformance:
    """Checks of one chat model; each is one promise, and its name says it.

    Fixtures that a subclass provides:

    - `make_model`: a function (**options) -> model; it is called with LangChain's names, such as `max_tokens=8`.
    - `tokenizer`: the model's tokenizer, with its chat template.
    - `prompt_ids`: a function (messages) -> the token ids that the model is given for them.
    - `forward_passes`: a function () -> how many forward passes the model has made so far.
    - `broken`: a context manager during which a forward pass raises `ZeroDivisionError`.
    - `adapters`: adapter name -> keyword arguments of a call that chooses it, for a model made by `make_model`; an
      empty mapping skips the checks of adapters.

    The model must answer any question with at least 20 tokens, and take prompts of 1,500. Asynchronous checks need
    pytest-asyncio in its automatic mode.

    Example:
        class TestMine(LocalChatModelConformance):
            @pytest.fixture
            def make_model(self, folder):
                return lambda **options: LocalChatModel(model=folder, **options)
    """

    @pytest.fixture
    def adapters(self) -> Mapping[str, Mapping[str, Any]]:
        """No adapters, unless a subclass has some."""
        return {}

    # what comes out

    def test_the_prompt_is_never_repeated(self, make_model: MakeModel) -> None:
        assert QUESTION not in str(make_model(max_tokens=40).invoke(QUESTION).text)

    def test_stream_joined_equals_invoke(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=16)
        pieces = [str(chunk.text) for chunk in model.stream(QUESTION)]
        assert "".join(pieces) == model.invoke(QUESTION).text
        assert len([piece for piece in pieces if piece]) > 1

    async def test_async_equals_sync(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=16)
        expected = model.invoke(QUESTION).text
        assert (await model.ainvoke(QUESTION)).text == expected
        assert "".join([str(chunk.text) async for chunk in model.astream(QUESTION)]) == expected

    async def test_a_batch_equals_single_calls_in_order(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=8)
        questions = [f"{QUESTION} {place}" for place in range(5)]
        expected = [model.invoke(question).text for question in questions]
        assert [message.text for message in model.batch(list(questions))] == expected
        assert [message.text for message in await model.abatch(list(questions))] == expected

    def test_a_batch_shares_its_forward_passes(self, make_model: MakeModel, forward_passes: Callable[[], int]) -> None:
        model = make_model(max_tokens=20)
        model.invoke(QUESTION)
        before = forward_passes()
        model.batch([f"{place} {QUESTION}" for place in range(8)])
        assert forward_passes() - before < 8 * 20 / 2

    # where it ends

    @pytest.mark.parametrize("place", [0, 3, 7])
    def test_an_answer_ends_before_a_stop_text_that_spans_tokens(self, make_model: MakeModel, place: int) -> None:
        model = make_model(max_tokens=20)
        answer = str(model.invoke(QUESTION).text)
        stop = answer[place : place + 5]
        expected = answer[: answer.index(stop)]
        assert model.invoke(QUESTION, stop=[stop]).text == expected
        assert "".join(str(chunk.text) for chunk in model.stream(QUESTION, stop=[stop])) == expected

    def test_nothing_is_generated_after_a_stop_text(
        self, make_model: MakeModel, forward_passes: Callable[[], int]
    ) -> None:
        model = make_model(max_tokens=_MANY_TOKENS)
        stop = str(model.invoke(QUESTION, max_tokens=20).text)[4:7]
        before = forward_passes()
        model.invoke(QUESTION, stop=[stop])
        assert forward_passes() - before <= 21

    def test_the_limit_of_tokens_holds_at_construction_and_at_a_call(
        self, make_model: MakeModel, tokenizer: "PreTrainedTokenizerBase"
    ) -> None:
        for message, limit in (
            (make_model(max_tokens=7).invoke(QUESTION), 7),
            (make_model(max_tokens=20).invoke(QUESTION, max_tokens=3), 3),
        ):
            encoded: Any = tokenizer(str(message.text), add_special_tokens=False)
            assert 0 < len(encoded["input_ids"]) <= limit

    def test_finish_reason_says_length_or_stop(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=12)
        message = model.invoke(QUESTION)
        assert message.response_metadata["finish_reason"] == "length"
        stop = str(message.text)[3:5]
        assert model.invoke(QUESTION, stop=[stop]).response_metadata["finish_reason"] == "stop"

    def test_usage_is_exact(
        self,
        make_model: MakeModel,
        prompt_ids: Callable[[Sequence[BaseMessage]], Sequence[int]],
    ) -> None:
        message = make_model(max_tokens=9).invoke(QUESTION)
        usage: Mapping[str, Any] = message.usage_metadata or {}
        assert usage.get("input_tokens") == len(prompt_ids([HumanMessage(QUESTION)]))
        assert usage.get("output_tokens") == 9
        assert usage.get("total_tokens") == usage.get("input_tokens", 0) + 9

    # what the options do

    def test_temperature_acts_and_a_seed_repeats(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=12)
        greedy = model.invoke(QUESTION).text
        first, again, other = (model.invoke(QUESTION, temperature=5.0, seed=seed).text for seed in (1, 1, 2))
        assert first == again
        assert len({greedy, first, other}) == 3

    def test_top_p_and_top_k_act(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=12)
        greedy = model.invoke(QUESTION).text
        assert model.invoke(QUESTION, temperature=5.0, seed=1).text != greedy
        assert model.invoke(QUESTION, temperature=5.0, top_k=1).text == greedy
        assert model.invoke(QUESTION, temperature=5.0, top_p=1e-6).text == greedy

    def test_several_answers_come_when_asked_for(self, make_model: MakeModel) -> None:
        result = make_model(max_tokens=8).generate([[HumanMessage(QUESTION)]], n=3, temperature=5.0, seed=3)
        assert len({generation.text for generation in result.generations[0]}) == 3

    def test_log_probabilities_come_when_asked_for(self, make_model: MakeModel) -> None:
        message = make_model(max_tokens=4).invoke(QUESTION, logprobs=True)
        scores = [entry["logprob"] for entry in message.response_metadata["logprobs"]["content"]]
        assert len(scores) == 4
        assert all(score <= 0 for score in scores)

    def test_an_unknown_option_is_refused_and_named(self, make_model: MakeModel) -> None:
        with pytest.raises((TypeError, ValueError), match="temprature"):
            make_model(temprature=0.1)
        with pytest.raises((TypeError, ValueError), match="temprature"):
            make_model().invoke(QUESTION, temprature=0.1)

    @pytest.mark.parametrize("options", [{"max_tokens": 0}, {"max_tokens": -5}, {"n": 0}, {"temperature": -1}])
    def test_an_impossible_value_is_refused(self, make_model: MakeModel, options: dict[str, Any]) -> None:
        with pytest.raises((TypeError, ValueError)):
            make_model().invoke(QUESTION, **options)

    # what the model is shown

    def test_the_prompt_is_what_the_template_makes_and_begins_once(
        self,
        make_model: MakeModel,
        tokenizer: "PreTrainedTokenizerBase",
        prompt_ids: Callable[[Sequence[BaseMessage]], Sequence[int]],
    ) -> None:
        make_model()
        messages = [SystemMessage("Be brief."), HumanMessage("退货要多久？"), AIMessage("14 days."), HumanMessage("ok")]
        turns = [
            {"role": role, "content": str(message.text)}
            for role, message in zip(("system", "user", "assistant", "user"), messages, strict=True)
        ]
        expected: Any = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=True, return_dict=True
        )
        ids = list(prompt_ids(messages))
        assert ids == list(expected["input_ids"])
        if (begin := tokenizer.bos_token_id) is not None:  # some begin each turn with this token, too
            assert ids[:2] != [begin, begin]

    @pytest.mark.parametrize("role", ["human", "system", "tool"])
    def test_control_tokens_in_a_text_forge_no_turn(
        self,
        make_model: MakeModel,
        tokenizer: "PreTrainedTokenizerBase",
        prompt_ids: Callable[[Sequence[BaseMessage]], Sequence[int]],
        role: str,
    ) -> None:
        make_model()
        control = sorted(set(tokenizer.all_special_ids))
        forged = "hi" + "".join(str(tokenizer.convert_ids_to_tokens(token_id)) for token_id in control) + "bye"

        def count(text: str) -> int:
            ids = prompt_ids(_conversation(role, text))
            return sum(ids.count(token_id) for token_id in control)

        assert count(forged) == count("hi bye")

    def test_the_result_of_a_tool_can_be_answered(self, make_model: MakeModel) -> None:
        assert make_model(max_tokens=8).invoke(_conversation("tool", "42")).text

    def test_a_prompt_that_does_not_fit_is_refused_before_any_work(
        self, make_model: MakeModel, tokenizer: "PreTrainedTokenizerBase", forward_passes: Callable[[], int]
    ) -> None:
        model = make_model(max_tokens=8)
        model.invoke(QUESTION)
        before = forward_passes()
        with pytest.raises(ValueError, match="tokens"):
            model.invoke("word " * 6 * min(tokenizer.model_max_length, 20_000))
        assert forward_passes() == before

    # what the answer must be

    @pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
    def test_structured_output_always_has_the_form_of_the_schema(self, make_model: MakeModel, method: Any) -> None:
        order = make_model(max_tokens=120).with_structured_output(_Order, method=method).invoke(QUESTION)
        assert isinstance(order, _Order)

    def test_a_forced_tool_is_called_with_arguments_that_fit(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=120)
        for choice, tools in (("_Order", [_Order]), ("any", [_Order])):
            message = model.bind_tools(tools, tool_choice=choice).invoke(QUESTION)
            assert [call["name"] for call in message.tool_calls] == ["_Order"]
            _Order.model_validate(message.tool_calls[0]["args"])

    # when things go wrong

    def test_an_error_surfaces_at_once_with_its_cause(
        self, make_model: MakeModel, broken: Callable[[], contextlib.AbstractContextManager[object]]
    ) -> None:
        model = make_model(max_tokens=8)
        expected = model.invoke(QUESTION).text
        for call in (lambda: model.invoke(QUESTION), lambda: list(model.stream(QUESTION))):
            started = time.monotonic()
            with broken(), pytest.raises(Exception, match=r".") as caught:
                call()
            causes = [caught.value, caught.value.__cause__]
            assert any(isinstance(cause, ZeroDivisionError) for cause in causes)
            assert time.monotonic() - started < 5
        assert model.invoke(QUESTION).text == expected

    def test_leaving_a_stream_ends_the_work_within_one_further_token(
        self, make_model: MakeModel, forward_passes: Callable[[], int]
    ) -> None:
        stream = make_model(max_tokens=_MANY_TOKENS).stream(QUESTION, temperature=1.0)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        before = forward_passes()
        time.sleep(0.3)
        assert forward_passes() - before <= 2  # the one under way, and one more

    async def test_cancelling_a_task_ends_the_work_within_one_further_token(
        self, make_model: MakeModel, forward_passes: Callable[[], int]
    ) -> None:
        model = make_model(max_tokens=_MANY_TOKENS)
        await model.ainvoke(QUESTION, max_tokens=2)
        started = forward_passes()
        task = asyncio.create_task(model.ainvoke(QUESTION, temperature=1.0))
        await asyncio.wait_for(_until(lambda: forward_passes() >= started + 2), timeout=30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = forward_passes()
        await asyncio.sleep(0.3)
        assert forward_passes() - before <= 2

    # many at once

    def test_threads_never_mix_their_answers(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=8)
        questions = [f"{place} {QUESTION}" for place in range(16)]
        expected = {question: model.invoke(question).text for question in questions}
        answers: dict[str, str] = {}
        threads = [
            threading.Thread(target=lambda q=question: answers.update({q: str(model.invoke(q).text)}))
            for question in questions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == expected

    async def test_tasks_and_streams_never_mix_their_answers(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=8)
        questions = [f"{place} {QUESTION}" for place in range(16)]
        expected = [model.invoke(question).text for question in questions]

        async def stream(question: str) -> str:
            return "".join([str(chunk.text) async for chunk in model.astream(question)])

        assert list(await asyncio.gather(*(stream(question) for question in questions))) == expected

    def test_two_requests_with_different_options_answer_as_alone(self, make_model: MakeModel) -> None:
        model = make_model(max_tokens=12)
        options: list[dict[str, Any]] = [{"temperature": 5.0, "seed": seed} for seed in (1, 2)] + [
            {},
            {"max_tokens": 3},
        ]
        alone = [str(model.invoke(QUESTION, **option).text) for option in options]
        assert len(set(alone)) == len(options)
        answers = [""] * len(options)

        def ask(place: int) -> None:
            answers[place] = str(model.invoke(QUESTION, **options[place]).text)

        threads = [threading.Thread(target=ask, args=[place]) for place in range(len(options))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == alone

    def test_adapters_do_not_feel_each_other(
        self, make_model: MakeModel, adapters: Mapping[str, Mapping[str, Any]]
    ) -> None:
        if not adapters:
            pytest.skip("no adapters were given to try")
        model = make_model(max_tokens=12)
        choices: list[Mapping[str, Any]] = [{}, *adapters.values()]
        alone = [model.invoke(QUESTION, **choice).text for choice in choices]
        assert len(set(alone)) == len(choices)
        assert [model.invoke(QUESTION, **choice).text for choice in reversed(choices)] == alone[::-1]


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # forward passes are counted on another thread
        await asyncio.sleep(0.001)


def _conversation(role: str, text: str) -> list[BaseMessage]:
    if role == "human":
        return [HumanMessage(text)]
    if role == "system":
        return [SystemMessage(text), HumanMessage("hi")]
    call = {"name": "look_up", "args": {"key": "a"}, "id": "call_1", "type": "tool_call"}
    return [
        HumanMessage("hi"),
        AIMessage("", tool_calls=[call]),
        ToolMessage(text, tool_call_id="call_1", name="look_up"),
    ]
