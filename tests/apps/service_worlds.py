"""A workspace of customer service over fakes: four answers, two articles, one question back, and no model."""

import yaml
from langchain_core.runnables import Runnable

from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import ServiceOptions, Slot, TemplateBook, build_customer_service_chain
from llms.classifier.results import Classification
from llms.fakes import HashedEmbeddings
from retrievers import FaissStore, HybridRetriever, read_documents, split_documents

__all__ = ["make_service_chain", "write_service_workspace"]

ARTICLES = {
    "battery.md": "# Battery care\n\nPhones live longer with care. Keep the battery between 20 and 80 percent.\n\n"
    "Heat ages a battery faster than anything else.\n",
    "help/退货.md": "# 退货说明\n\n签收后30天内可以退货。请保留原包装。\n",
}
WORDS = {"parcel": "track", "包裹": "track", "refund": "refund", "lost": "card_lost", "hours": "hours"}
TEMPLATES = TemplateBook(
    slots={"order": Slot(pattern=r"\b\d{6}\b", ask="What is the number of the order?")},
    answers={
        "track": "Order {order} is on its way.",
        "refund": "Refunds take five days.",
        "card_lost": "We have blocked the card.",
        "hours": "We are there from 9 to 5.",
    },
    titles={"card_lost": "a lost card"},
)


class WordClassifier(Runnable[str, Classification]):
    """The first known word decides; "card" alone may be one of two things."""

    def invoke(self, input, config=None, **kwargs):  # noqa: A002  # LangChain's name
        text = input.lower()
        label = next((label for word, label in WORDS.items() if word in text), None)
        if label is None and "card" in text:
            shares = {"card_lost": 0.5, "refund": 0.45, "hours": 0.05}
            return Classification(
                label="card_lost", probability=0.5, probabilities=shares, in_scope=1.0, accepted=False
            )
        if label is None:
            shares = {"hours": 0.3, "refund": 0.25}
            return Classification(label="hours", probability=0.3, probabilities=shares, in_scope=0.0, accepted=False)
        return Classification(label=label, probability=0.97, probabilities={label: 0.97}, in_scope=1.0, accepted=True)


def write_service_workspace(folder, *, settings=""):
    """Write a workspace with articles into `folder` and return its settings."""
    (folder / SETTINGS_NAME).write_text(settings, encoding="utf-8")
    (folder / "customer_service").mkdir()
    templates = yaml.safe_dump(TEMPLATES.model_dump(mode="json", exclude_defaults=True))
    (folder / "customer_service" / "templates.yaml").write_text(templates, encoding="utf-8")
    for name, text in ARTICLES.items():
        path = folder / "customer_service" / "knowledge" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_settings(folder)


def make_service_chain(settings, **changes):
    """The chain over the workspace's articles; `changes` replace its parts."""
    embeddings = HashedEmbeddings(dimension=512)  # so many that texts without a common word are far apart
    store = FaissStore(embedding=embeddings)
    knowledge = settings.workspace / "customer_service" / "knowledge"
    store.add_documents(split_documents(read_documents([knowledge])))
    parts = {
        "classifier": WordClassifier(),
        "templates": TEMPLATES,
        "retriever": HybridRetriever(store=store),
        "embeddings": embeddings,
        "options": ServiceOptions(min_relevance=0.2, handover_text=settings.customer_service.handover_text),
    }
    return build_customer_service_chain(**parts | changes)
