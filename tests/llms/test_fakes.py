"""The public fakes keep the contracts of the real models."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from llms.fakes import FixedClassifier, HashedEmbeddings, ScriptedChatModel
from tests.contracts import ChatModelContract, ClassifierContract, EmbeddingsContract


class TestScriptedChatModel(ChatModelContract):
    @pytest.fixture
    def model(self):
        return ScriptedChatModel(answers=["one  two\nthree four"])


class TestHashedEmbeddings(EmbeddingsContract):
    @pytest.fixture
    def embeddings(self):
        return HashedEmbeddings(dimension=32)


class TestFixedClassifier(ClassifierContract):
    @pytest.fixture
    def classifier(self):
        return FixedClassifier({"refund": "money", "card": "card"}, default="other")


def test_scripted_answers_come_in_turn_and_the_questions_are_remembered():
    model = ScriptedChatModel(answers=["yes", "no"])
    assert [model.invoke(question).text for question in "abc"] == ["yes", "no", "yes"]
    assert model.prompts == [[HumanMessage(question)] for question in "abc"]


def test_a_scripted_message_keeps_its_calls_and_usage_also_in_a_stream():
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    call = {"name": "look", "args": {"at": "it"}, "id": "c1", "type": "tool_call"}
    model = ScriptedChatModel(answers=[AIMessage("I look STOP", tool_calls=[call], usage_metadata=usage)])
    bound = model.bind_tools([{"type": "function", "function": {"name": "look"}}], tool_choice="any")
    whole, *chunks = bound.invoke("QUESTION", stop=["STOP"]), *bound.stream("QUESTION", stop=["STOP"])
    streamed = sum(chunks[1:], start=chunks[0])
    for message in (whole, streamed):
        assert (message.text, message.tool_calls, message.usage_metadata) == ("I look ", [call], usage)
    assert [options["tool_choice"] for options in model.options] == ["any", "any"]


def test_several_scripted_answers_may_be_asked_for_at_once():
    model = ScriptedChatModel(answers=["a", "b", "c"])
    [answers] = model.generate([[HumanMessage("QUESTION")]], n=2).generations
    assert [answer.text for answer in answers] == ["a", "b"]


def test_an_empty_scripted_answer_can_be_streamed():
    assert "".join(chunk.text for chunk in ScriptedChatModel(answers=[""]).stream("QUESTION")) == ""


def test_texts_that_share_words_are_close():
    red, shoe, sky = HashedEmbeddings().embed_documents(["red shoe", "blue shoe", "night sky"])
    assert sum(a * b for a, b in zip(red, shoe, strict=True)) > sum(a * b for a, b in zip(red, sky, strict=True)) + 0.2


def test_the_hashed_fingerprint_names_the_dimension():
    assert HashedEmbeddings(dimension=8).fingerprint != HashedEmbeddings(dimension=16).fingerprint


def test_the_default_label_is_not_accepted():
    reply = FixedClassifier({"refund": "money"}).invoke("hello")
    assert (reply.label, reply.accepted, reply.in_scope) == ("other", False, 0.0)


def test_a_single_label_is_certain():
    assert FixedClassifier({"refund": "other"}).invoke("refund").probabilities == {"other": 1.0}
