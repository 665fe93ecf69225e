"""Catalogue of the items that are recommended, with their attributes."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from langchain_core.documents import Document
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from llms.errors import DataFileError
from llms.texts import Id


class Item(BaseModel):
    """One thing that can be recommended.

    Example:
        >>> item = Item(id="a1", title="Blue kettle", description="Boils a litre.", tags=("kitchen", "steel"))
        >>> item.text
        'Blue kettle. Boils a litre. kitchen, steel'
        >>> item.to_document().id
        'a1'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    title: str = Field(min_length=1)
    description: str = ""
    tags: tuple[str, ...] = ()
    price: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    created: date | None = None
    stock: int | None = Field(default=None, ge=0, description="How many there are; None where nobody counts.")
    available_from: date | None = Field(default=None, description="Not to be had before.")

    def is_available(self, today: date) -> bool:
        """Return whether the item can be had on a day: there are some, and it exists and is sold by then.

        Example:
            >>> item = Item(id="a1", title="Blue kettle", stock=2, available_from=date(2026, 3, 1))
            >>> item.is_available(date(2026, 2, 28)), item.is_available(date(2026, 3, 1))
            (False, True)
        """
        return self.stock != 0 and self.has_begun(today)

    def has_begun(self, today: date) -> bool:
        """Return whether the item exists and is sold on a day, be there any left or not."""
        return all(day is None or day <= today for day in (self.created, self.available_from))

    @property
    def text(self) -> str:
        """Title, description and tags as one text to embed."""
        sentences = [part.strip() for part in (self.title, self.description) if part.strip()]
        ended = [part if part.endswith((".", "!", "?", "。", "！", "？")) else f"{part}." for part in sentences]
        return " ".join([*ended, ", ".join(self.tags)]).strip()

    def to_document(self) -> Document:
        """Return the item as a document for a vector store, under its own id.

        The metadata leave out what is unknown, since a filter on a missing price must not match.
        """
        metadata: dict[str, object] = {"title": self.title, "tags": list(self.tags)}
        if self.price is not None:
            metadata["price"] = self.price
        if self.created is not None:
            metadata["created"] = self.created.isoformat()
        return Document(id=self.id, page_content=self.text, metadata=metadata)


class ItemCatalogue(Mapping[str, Item]):
    """All items by id, in the order given: the order is the item axis of every matrix built from it.

    Raises:
        DataFileError: if an id occurs twice; which of two prices holds is not ours to guess.

    Example:
        >>> catalogue = ItemCatalogue([Item(id="b", title="B"), Item(id="a", title="A")])
        >>> list(catalogue), catalogue["a"].title, catalogue.positions["a"]
        (['b', 'a'], 'A', 1)
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: dict[str, Item] = {}
        for item in items:
            if item.id in self._items:
                msg = f"item id {item.id!r} occurs twice; give every item its own id"
                raise DataFileError(msg)
            self._items[item.id] = item
        self.positions: Mapping[str, int] = {item_id: at for at, item_id in enumerate(self._items)}

    @override
    def __getitem__(self, key: str) -> Item:
        return self._items[key]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    @override
    def __len__(self) -> int:
        return len(self._items)

    def to_documents(self) -> list[Document]:
        """Return every item as a document, in catalogue order."""
        return [item.to_document() for item in self._items.values()]
