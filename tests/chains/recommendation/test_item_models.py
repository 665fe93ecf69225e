"""Vectors of items, whatever the encoder."""

from datetime import date

import numpy as np
import pytest

from chains.recommendation import embed_catalogue
from retrievers import Item, ItemCatalogue
from tests.lifted import LiftedEmbeddings


def test_cosines_of_items_do_not_depend_on_where_those_of_the_encoder_begin():
    words = [
        "red",
        "blue",
        "kettle",
        "lamp",
        "chair",
        "table",
        "phone",
        "radio",
        "bread",
        "cheese",
        "garden",
        "window",
        "river",
        "stone",
    ]
    catalogue = ItemCatalogue(
        [
            Item(id=f"{first}-{second}", title=f"{first} {second}", created=date(2026, 1, 1))
            for first, second in zip(words, [*words[3:], *words[:3]], strict=True)
        ]
    )
    plain, lifted = (embed_catalogue(catalogue, LiftedEmbeddings(lift=lift)) for lift in (0.0, 0.9))
    assert np.linalg.norm(lifted, axis=1) == pytest.approx(np.ones(len(words)), abs=1e-5)
    others = ~np.eye(len(words), dtype=bool)
    np.testing.assert_allclose((lifted @ lifted.T)[others], (plain @ plain.T)[others], atol=0.15)
