"""Questions made of articles, and held-out messages of every kind."""

from langchain_core.documents import Document

from chains.customer_service import (
    HeldOutIntent,
    KnownQuestion,
    KnownQuestions,
    SentenceVectors,
    ServiceSources,
    collect_messages,
)
from chains.customer_service.made_questions import make_questions
from llms import Classification
from llms.fakes import HashedEmbeddings
from retrievers import HybridRetriever
from tests.chains.customer_service.routers import EXAMPLES
from tests.chains.customer_service.shops import CLASSIFIER, TEMPLATES, make_store

OPENINGS = ["where is my parcel now", "怎么退货比较快"]
TEXT = "Keep the battery between 20 and 80 percent. Never freeze a battery in the deep snow."


def _passages():
    return [Document(TEXT, metadata={"source": f"{name}.md"}) for name in "ab"]


def test_a_made_question_has_words_of_its_article_behind_the_beginning_of_a_message():
    for question in make_questions(_passages(), OPENINGS[:1], count=4):
        words = question.text.split()
        assert words[0] == "where"
        assert 2 <= len([word for word in words[1:] if word in TEXT]) < len(TEXT.split())


def test_articles_are_asked_about_in_turn_and_never_more_than_wanted():
    sources = [question.source for question in make_questions(_passages(), OPENINGS, count=3)]
    assert sources == ["a.md", "b.md", "a.md"]
    assert make_questions([], OPENINGS, count=3) == []
    assert len(make_questions(_passages(), [], count=99)) == 4


def test_making_questions_can_be_repeated():
    first, again = (make_questions(_passages(), OPENINGS, count=4, seed=7) for _ in range(2))
    assert first == again
    assert first != make_questions(_passages(), OPENINGS, count=4, seed=8)


def test_chinese_questions_have_no_spaces_between_their_characters():
    passage = Document("拆封的游戏不能退换，运费由商城承担。", metadata={"source": "退货.md"})
    (question,) = make_questions([passage], ["怎么退货比较快"], count=1)
    assert question.text.startswith("怎")
    assert " " not in question.text


def test_every_kind_of_message_is_asked_with_its_answer_and_without(articles):
    embeddings = HashedEmbeddings()
    store = make_store(articles, embeddings)
    gift = KnownQuestion(id="gift", question="Do gift cards expire?", answer="Never.", wordings=("gift cards expire",))
    dog = KnownQuestion(id="dog", question="May my dog come in?", answer="Yes.")
    sources = ServiceSources(
        classifier=CLASSIFIER,
        templates=TEMPLATES,
        known_questions=KnownQuestions([gift, dog], embeddings=embeddings),
        retriever=HybridRetriever(store=store),
        examples=EXAMPLES,
        vectors=SentenceVectors(embeddings),
    )
    sure = Classification(label="hours", probability=0.9, probabilities={"hours": 0.9})
    intents = [
        HeldOutIntent("open on monday", "hours", sure),
        HeldOutIntent("where is it", "track", sure),
        HeldOutIntent("a poem", "poems", sure),  # has no approved answer
    ]
    messages = collect_messages(sources, intents, store.all_documents())
    assert [message.right for message in messages if message.kind == "intent"] == ["template", "none"]
    (wording,) = [message for message in messages if message.kind == "known"]
    assert wording.right == "curated"
    assert wording.evidence.match.relevance < 0.99  # the very wording is not in the book
    asked = [message for message in messages if message.kind == "article"]
    assert {message.right for message in asked} >= {"answer"}
    unanswered = [message for message in messages if message.kind == "nothing"]
    assert len(asked) / 4 <= len(unanswered) - 3 < len(asked)
    assert {message.right for message in unanswered} == {"none"}
    for message in unanswered:
        if message.group.startswith("article"):
            assert message.evidence.source != message.group.removeprefix("article ")
