"""A small shop: articles on disk, approved answers, and a chain over fakes."""

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from chains.customer_service import Slot, TemplateBook, build_customer_service_chain
from llms.fakes import FixedClassifier, HashedEmbeddings
from retrievers import FaissStore, HybridRetriever, read_documents, split_documents

ARTICLES = {
    "cards.md": """# Memory cards

Take the largest card your camera supports. A card of 15.5 cm is no memory card!

## Which card fits?

| Camera | Largest card |
|--------|--------------|
| Halden One | 512 GB |
| Halden Pro | 1 TB |

1. Open the lid. Push the card until it clicks.
2. Close the lid.

```
format card --slot 1
```
""",
    "battery.md": """# Battery care

Keep the battery between 20 and 80 percent. Never freeze a battery, e.g. in snow.
""",
    "zh/退货.md": """# 退货说明

签收后30天内可以退货。请保留“原包装。”拆封的游戏不能退！运费由商城承担；

- 先申请，再寄回。
""",
}
ORDER = Slot(pattern=r"(?i)\bVT-?\w{6}\b|\{order\}", ask="Which order?")
TEMPLATES = TemplateBook(
    slots={"order": ORDER, "name": Slot(pattern=r"(?<=I am )\S+", ask="Who are you?")},
    answers={
        "track": "Order {order} is on its way.",
        "greet": "{name}, we found {order} and {order}.",
        "hours": "9-5.",
    },
)
CLASSIFIER = FixedClassifier({"parcel": "track", "hello": "greet", "open on": "hours", "poem": "poems"})


class FixedRetriever(BaseRetriever):
    """A retriever that finds the same documents for any question."""

    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.documents


def write_articles(folder):
    """Write the articles below `folder` and return it."""
    for name, text in ARTICLES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def make_store(folder, embeddings):
    """A store in memory with the articles below `folder`."""
    store = FaissStore(embedding=embeddings)
    store.add_documents(split_documents(read_documents([folder])))
    return store


def make_chain(folder, **changes):
    """The chain of the shop; `changes` replace its parts."""
    embeddings = HashedEmbeddings()
    parts = {
        "classifier": CLASSIFIER,
        "templates": TEMPLATES,
        "retriever": HybridRetriever(store=make_store(folder, embeddings)),
        "embeddings": embeddings,
    }
    return build_customer_service_chain(**parts | changes)
