"""Contracts of the interfaces, for real objects and fakes alike; a test class inherits one and its fixture."""

import asyncio
import math

import pytest

from llms.classifier.results import Classification
from llms.errors import InputTextError, UnknownOptionError

__all__ = ["ChatModelContract", "ClassifierContract", "EmbeddingsContract"]

LONE_SURROGATE = "half a character: \ud83d"


class ChatModelContract:
    """Subclasses provide `model`: a fixture whose model gives the same answer of 8 or more characters to QUESTION."""

    def test_answer_does_not_repeat_the_question(self, model):
        assert not model.invoke("QUESTION").text.startswith("QUESTION")

    def test_the_same_question_gets_the_same_answer(self, model):
        assert len(model.invoke("QUESTION").text) >= 8
        assert model.invoke("QUESTION").text == model.invoke("QUESTION").text

    def test_stream_joined_equals_invoke(self, model):
        pieces = [chunk.text for chunk in model.stream("QUESTION")]
        assert len([piece for piece in pieces if piece]) > 1
        assert "".join(pieces) == model.invoke("QUESTION").text

    async def test_async_equals_sync(self, model):
        assert (await model.ainvoke("QUESTION")).text == model.invoke("QUESTION").text
        pieces = [chunk.text async for chunk in model.astream("QUESTION")]
        assert "".join(pieces) == model.invoke("QUESTION").text

    def test_batch_equals_single_calls(self, model):
        answers = [message.text for message in model.batch(["QUESTION", "QUESTION"])]
        assert answers == [model.invoke("QUESTION").text] * 2

    def test_answer_ends_before_the_stop_text(self, model):
        answer = model.invoke("QUESTION").text
        stop = answer[3:6]
        shown = answer[: answer.index(stop)]
        assert model.invoke("QUESTION", stop=[stop]).text == shown
        assert "".join(chunk.text for chunk in model.stream("QUESTION", stop=[stop])) == shown

    def test_a_stop_text_that_never_comes_changes_nothing(self, model):
        answer = model.invoke("QUESTION").text
        assert model.invoke("QUESTION", stop=[answer + "?"]).text == answer

    def test_an_unknown_option_is_refused_and_named(self, model):
        with pytest.raises(UnknownOptionError, match="temprature"):
            model.invoke("QUESTION", temprature=0.1)
        with pytest.raises(UnknownOptionError, match="temprature"):
            list(model.stream("QUESTION", temprature=0.1))

    @pytest.mark.parametrize("options", [{"temperature": -1}, {"max_tokens": 0}, {"top_p": 0}, {"top_k": 0}])
    def test_an_option_with_an_impossible_value_is_refused(self, model, options):
        with pytest.raises(ValueError, match="must"):
            model.invoke("QUESTION", **options)


class EmbeddingsContract:
    """Subclasses provide `embeddings`: a fixture whose vectors differ for different words."""

    def test_vectors_have_length_one(self, embeddings):
        vectors = [*embeddings.embed_documents(["refund my money", "card", "退货"]), embeddings.embed_query("pin")]
        assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * 4, abs=1e-5)

    def test_vectors_stand_in_the_order_of_the_texts(self, embeddings):
        texts = ["card", "refund my money back please", "parcel late", "a"]
        together = embeddings.embed_documents(texts)
        for text, vector in zip(texts, together, strict=True):
            assert embeddings.embed_documents([text])[0] == pytest.approx(vector, abs=1e-5)
        assert together[0] != pytest.approx(together[2], abs=1e-3)

    def test_no_texts_give_no_vectors(self, embeddings):
        assert embeddings.embed_documents([]) == []

    def test_a_query_is_embedded_as_a_document_where_the_model_has_no_prompts(self, embeddings):
        assert embeddings.embed_query("lost card") == pytest.approx(
            embeddings.embed_documents(["lost card"])[0], abs=1e-5
        )

    def test_an_empty_text_has_a_vector(self, embeddings):
        assert math.hypot(*embeddings.embed_query("")) == pytest.approx(1.0, abs=1e-5)

    def test_a_lone_surrogate_is_refused(self, embeddings):
        with pytest.raises(InputTextError, match="surrogate"):
            embeddings.embed_documents(["fine", LONE_SURROGATE])
        with pytest.raises(InputTextError, match="surrogate"):
            embeddings.embed_query(LONE_SURROGATE)

    async def test_async_equals_sync(self, embeddings):
        assert await embeddings.aembed_query("card") == pytest.approx(embeddings.embed_query("card"), abs=1e-5)


class ClassifierContract:
    """Subclasses provide `classifier`: a fixture, any classifier with two labels or more."""

    texts = ("refund my money", "card lost", "where is my parcel, it is late and nobody answers", "a", "退货")

    def test_probabilities_sum_to_one_and_stand_best_first(self, classifier):
        for reply in classifier.batch(list(self.texts)):
            assert isinstance(reply, Classification)
            values = list(reply.probabilities.values())
            assert sum(values) == pytest.approx(1.0, abs=1e-4)
            assert values == sorted(values, reverse=True)
            assert next(iter(reply.probabilities)) == reply.label
            assert reply.probability == values[0]

    def test_a_batch_answers_in_order_and_as_single_calls_do(self, classifier):
        together = classifier.batch(list(self.texts))
        for text, reply in zip(self.texts, together, strict=True):
            alone = classifier.invoke(text)
            assert reply.probabilities == pytest.approx(alone.probabilities, abs=5e-3)
            assert reply.in_scope == pytest.approx(alone.in_scope, abs=1e-2)

    def test_an_empty_batch_has_no_replies(self, classifier):
        assert classifier.batch([]) == []

    def test_a_call_option_is_refused_and_named(self, classifier):
        with pytest.raises(UnknownOptionError, match="threshold"):
            classifier.invoke("card", threshold=0.5)
        with pytest.raises(UnknownOptionError, match="threshold"):
            classifier.batch(["card"], threshold=0.5)

    def test_a_refused_text_does_not_take_the_others_with_it(self, classifier):
        replies = classifier.batch(["card", LONE_SURROGATE, "pin"], return_exceptions=True)
        assert [type(reply) for reply in replies] == [Classification, InputTextError, Classification]

    def test_a_refused_text_fails_the_batch_unless_exceptions_are_wanted(self, classifier):
        with pytest.raises(InputTextError, match="surrogate"):
            classifier.batch(["card", LONE_SURROGATE])

    async def test_async_equals_sync(self, classifier):
        reply, replies = await asyncio.gather(classifier.ainvoke("card"), classifier.abatch(["card", "pin"]))
        assert reply.probabilities == pytest.approx(classifier.invoke("card").probabilities, abs=1e-3)
        assert [r.label for r in replies] == [r.label for r in classifier.batch(["card", "pin"])]
