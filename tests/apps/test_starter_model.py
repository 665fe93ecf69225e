"""The chat model in the package: it answers from the passages in its prompt, and what it makes up is never sent."""

import re

import pytest
from langchain_core.documents import Document

from apps.settings import load_settings
from apps.workspace_models import STARTER_FOLDER, open_chat_model
from chains.customer_service import TemplateBook, build_customer_service_chain
from chains.customer_service.grounding import find_unsupported
from chains.prompts import load_prompt
from llms.fakes import FixedClassifier, HashedEmbeddings, ScriptedChatModel
from llms.manifest import load_chat_manifest
from tests.apps.workspaces import write_workspace
from tests.chains.customer_service.shops import FixedRetriever

PAGES = [
    Document(
        "Gift cards\n\nA card of Voltaro is valid for six years. The printed card costs $3 extra.",
        metadata={"source": "gifts.md", "body_start": 12},
    ),
    Document(
        "Orbo vacuum\n\nReplace the filter of the Orbo vacuum every four months. The Orbo vacuum weighs 710 grams.",
        metadata={"source": "orbo.md", "body_start": 13},
    ),
]
# the names and numbers are of no sample record, so that no answer can have been learnt by heart
QUESTIONS = [
    "How heavy is the Orbo vacuum?",
    "How often do I change the filter of the Orbo vacuum?",
    "How many years is a Voltaro card valid?",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_workspace(tmp_path_factory.mktemp("starter") / "w", "no-encoder")
    settings = folder / "tunechain.toml"
    settings.write_text(settings.read_text("utf-8").replace("[models]", "[models]\nchat = 'starter'"), encoding="utf-8")
    return open_chat_model(load_settings(folder))


def _chain(chat_model):
    return build_customer_service_chain(
        classifier=FixedClassifier({"parcel": "track"}),
        templates=TemplateBook(answers={"track": "It is on its way."}),
        retriever=FixedRetriever(documents=PAGES),
        embeddings=HashedEmbeddings(),
        chat_model=chat_model,
    )


def test_the_folder_is_small_and_as_it_was_trained():
    manifest = load_chat_manifest(STARTER_FOLDER)
    assert manifest.reference_output is not None
    assert manifest.base_model == "untrained"
    assert sum(path.stat().st_size for path in STARTER_FOLDER.rglob("*") if path.is_file()) < 15e6
    assert "questions.csv" in (STARTER_FOLDER / "README.md").read_text("utf-8")


def test_it_repeats_a_sentence_of_its_passages_and_names_the_passage(model):
    prompt = load_prompt("chains.customer_service", "answer", variables=["passages"])
    passages = "\n\n".join(f"[{i}] {page.page_content}" for i, page in enumerate(PAGES, start=1))
    answers = (prompt | model).batch([{"passages": passages, "question": question} for question in QUESTIONS])
    for answer in answers:
        assert re.search(r"\[[12]\]$", answer.text)
        assert find_unsupported(answer.text, PAGES) is None


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_chain_sends_its_answer_with_the_article(model, question):
    reply = _chain(model).invoke(question)
    sentence, number = reply.text.removesuffix("]").rsplit(" [", 1)
    assert reply.route == "answer"
    assert [citation.source for citation in reply.citations] == [PAGES[int(number) - 1].metadata["source"]]
    assert sentence in reply.citations[0].quote


@pytest.mark.parametrize(
    "made_up", ["The Orbo vacuum weighs 711 grams. [2]", "The Kelvo weighs 710 grams. [2]", "UNKNOWN"]
)
def test_what_no_passage_says_is_replaced_by_quotes(made_up):
    question = "How heavy is the Orbo vacuum?"
    reply = _chain(ScriptedChatModel(answers=[made_up])).invoke(question)
    assert reply.text == _chain(None).invoke(question).text
