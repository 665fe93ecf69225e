"""Customer service with its parts exchanged: each is one argument, and any LangChain object takes its place.

Run: python docs/examples/swap_a_part.py
"""

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from chains.customer_service import Slot, TemplateBook, build_customer_service_chain
from llms import Classification, LocalEmbeddings
from retrievers import FaissStore, HybridRetriever

ARTICLES = [
    Document("Gift cards are valid for five years. They can be spent in every shop.", metadata={"source": "cards.md"}),
    Document("Let the battery rest between 20 and 80 percent.", metadata={"source": "battery.md"}),
]
TEMPLATES = TemplateBook(
    slots={"order": Slot(pattern=r"VT-\d+", ask="Which order is it?")},
    answers={"track": "Order {order} is on its way."},
)


def find_intent(text: str) -> Classification:
    """Stand in for a trained `LocalClassifier`: any Runnable from text to `Classification` will do."""
    is_order = "order" in text.lower()
    return Classification(
        label="track",
        probability=0.95 if is_order else 0.1,
        probabilities={"track": 0.95 if is_order else 0.1},
        in_scope=1.0 if is_order else 0.1,
        accepted=is_order,
    )


def build_parts() -> dict:
    """Return the parts of a small shop."""
    embeddings = LocalEmbeddings()
    store = FaissStore(embedding=embeddings)
    store.add_documents(ARTICLES)
    return {
        "classifier": RunnableLambda(find_intent),
        "templates": TEMPLATES,
        "retriever": HybridRetriever(store=store),
        "embeddings": embeddings,
    }


def main() -> None:
    """Ask the same question of four services that differ in one part each."""
    parts = build_parts()
    question = "For how many years are gift cards valid?"
    other_store = InMemoryVectorStore.from_documents(ARTICLES, parts["embeddings"])
    chat_model = FakeListChatModel(responses=["Gift cards are valid for five years [1]. They cost nothing [1]."])
    services = {
        "quotes": build_customer_service_chain(**parts),
        "another vector store": build_customer_service_chain(**parts | {"retriever": other_store.as_retriever()}),
        "another chat model": build_customer_service_chain(**parts, chat_model=chat_model),
    }
    for name, service in services.items():
        print(f"{name}: {service.invoke(question).text}")
    print(f"a template: {services['quotes'].invoke('Where is my order VT-7?').text}")


if __name__ == "__main__":
    main()
