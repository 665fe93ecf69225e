from datetime import date

import pytest
from pydantic import ValidationError

from llms.errors import DataFileError
from retrievers.items import Item, ItemCatalogue


def test_text_holds_title_description_and_tags():
    item = Item(id="a", title="Kettle", description="Boils fast!", tags=("kitchen", "steel"))
    assert item.text == "Kettle. Boils fast! kitchen, steel"


def test_text_of_a_bare_item_is_its_title():
    assert Item(id="a", title="Kettle").text == "Kettle."


def test_document_leaves_out_what_is_unknown():
    assert Item(id="a", title="Kettle").to_document().metadata == {"title": "Kettle", "tags": []}
    full = Item(id="a", title="Kettle", price=3, created=date(2026, 1, 2)).to_document()
    assert full.id == "a"
    assert full.metadata["price"] == 3.0
    assert full.metadata["created"] == "2026-01-02"


def test_catalogue_keeps_the_order_given():
    catalogue = ItemCatalogue(Item(id=name, title=name) for name in "cab")
    assert list(catalogue) == ["c", "a", "b"]
    assert [catalogue.positions[name] for name in "cab"] == [0, 1, 2]
    assert [document.id for document in catalogue.to_documents()] == ["c", "a", "b"]
    assert len(catalogue) == 3
    assert "x" not in catalogue


def test_catalogue_refuses_an_id_twice():
    with pytest.raises(DataFileError, match="'a' occurs twice"):
        ItemCatalogue([Item(id="a", title="one"), Item(id="a", title="two")])


@pytest.mark.parametrize("wrong", [{"price": -1}, {"price": float("nan")}, {"id": ""}, {"title": ""}, {"colour": 1}])
def test_item_refuses_what_no_item_has(wrong):
    with pytest.raises(ValidationError):
        Item(**{"id": "a", "title": "A", **wrong})
