"""All that is learnt about the items before anybody asks: vectors of their texts, and models of who used what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from chains.recommendation.features import BehaviourModels, FeatureOptions, FeatureTable
from llms import find_cosine_floor, remove_shared_part
from llms.arrays import FloatArray
from retrievers import FactorRecommender, Interactions, ItemCatalogue, ItemItemRecommender, NeighbourRecommender
from retrievers.errors import VectorError

_NUM_READ = 20  # items whose texts tell the script of a catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemModels:
    """What `learn_item_models` learnt, as plain arrays in the order of the catalogue, which can be kept."""

    vectors: NDArray[np.float32]  # (num_items, dim) unit rows
    # (num_factors, num_items), see `FactorRecommender`: in this order the numbers lie in memory, and a product over
    # another order differs in its last bits
    factors: NDArray[np.float32]
    item_item: NDArray[np.float32] | None = None  # (num_items, num_items), see `ItemItemRecommender`
    neighbours: NDArray[np.int32] | None = None  # (num_items, num_neighbours), see `NeighbourRecommender`
    neighbour_weights: NDArray[np.float32] | None = None  # the same shape; of these or `item_item` one is there
    text_map: NDArray[np.float32] | None = None  # (dim + 1, num_factors), see `learn_text_map`

    @classmethod
    def of(cls, vectors: FloatArray, behaviour: BehaviourModels) -> Self:
        """Return the arrays of models."""
        model, factors, text_map = behaviour.item_item, behaviour.factors.factors.T, behaviour.text_map
        if isinstance(model, NeighbourRecommender):
            return cls(
                vectors=vectors,
                factors=factors,
                text_map=text_map,
                neighbours=model.neighbours,
                neighbour_weights=model.weights,
            )
        return cls(vectors=vectors, factors=factors, text_map=text_map, item_item=model.weights)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is there, by name: `ItemModels(**arrays)` is the same again."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in named.items() if array is not None}

    def _item_item(self, items: Sequence[str]) -> ItemItemRecommender | NeighbourRecommender:
        if self.item_item is not None:
            return ItemItemRecommender(items, self.item_item)
        assert self.neighbours is not None and self.neighbour_weights is not None  # noqa: S101, PT018  # see above
        return NeighbourRecommender(items, self.neighbours, self.neighbour_weights)

    def make_table(
        self,
        *,
        catalogue: ItemCatalogue,
        interactions: Interactions,
        options: FeatureOptions,
        now: datetime | None = None,
    ) -> FeatureTable:
        """Return the features of the items these were learnt from, by default at the moment of the last event."""
        behaviour = BehaviourModels(
            item_item=self._item_item(interactions.items),
            factors=FactorRecommender(interactions.items, self.factors.T),
            text_map=self.text_map,
        )
        return FeatureTable(
            catalogue=catalogue,
            vectors=self.vectors,
            interactions=interactions,
            options=options,
            now=now,
            behaviour=behaviour,
        )


def follow_catalogue(
    models: ItemModels, *, texts: Mapping[str, str], catalogue: ItemCatalogue, embeddings: Embeddings
) -> ItemModels:
    """Return models for another catalogue than they were learnt from; only new or changed texts are encoded.

    Nothing is known yet of who uses an item that is new, so it comes up by its text and what that foretells, by its
    date, and by what people do since.

    Args:
        models: as they were learnt.
        texts: item id -> text, of the items they were learnt from, in the order of the arrays.
        catalogue: the items now.
        embeddings: the encoder of the vectors in `models`.

    Raises:
        VectorError: if the new vectors are not one finite vector per item, of the length of the others.
    """
    if list(texts.items()) == [(item.id, item.text) for item in catalogue.values()]:
        return models
    old = {item: at for at, item in enumerate(texts)}
    origin = np.array([old.get(item, -1) for item in catalogue], dtype=np.intp)  # row before, or -1
    known = np.flatnonzero(origin >= 0)
    vectors = _follow_vectors(models.vectors, origin, texts=texts, catalogue=catalogue, embeddings=embeddings)
    factors = np.zeros((len(models.factors), len(catalogue)), dtype=np.float32)
    factors[:, known] = models.factors[:, origin[known]]
    followed = replace(models, vectors=vectors, factors=factors)
    if models.item_item is not None:
        item_item = np.zeros((len(catalogue), len(catalogue)), dtype=np.float32)
        item_item[np.ix_(known, known)] = models.item_item[np.ix_(origin[known], origin[known])]
        return replace(followed, item_item=item_item)
    assert models.neighbours is not None and models.neighbour_weights is not None  # noqa: S101, PT018  # one is there
    now_at = np.full(len(texts), -1, dtype=np.int32)
    now_at[origin[known]] = known
    neighbours = np.zeros((len(catalogue), models.neighbours.shape[1]), dtype=np.int32)
    weights = np.zeros(neighbours.shape, dtype=np.float32)
    moved = now_at[models.neighbours[origin[known]]]
    neighbours[known] = np.maximum(moved, 0)
    weights[known] = np.where(moved >= 0, models.neighbour_weights[origin[known]], 0.0)
    return replace(followed, neighbours=neighbours, neighbour_weights=weights)


def _follow_vectors(
    before: NDArray[np.float32],
    origin: NDArray[np.intp],
    *,
    texts: Mapping[str, str],
    catalogue: ItemCatalogue,
    embeddings: Embeddings,
) -> NDArray[np.float32]:
    changed = [at for at, item in enumerate(catalogue.values()) if texts.get(item.id) != item.text]
    if changed and _find_floor(catalogue, embeddings) > 0:
        # what all texts share has to be taken out of all of them; embeddings with a cache encode the changed ones only
        vectors = embed_catalogue(catalogue, embeddings)
        _refuse_other_length(before, vectors)
        return vectors
    vectors = before[np.maximum(origin, 0)]
    if changed:
        items = list(catalogue.values())
        fresh = embed_catalogue(ItemCatalogue(items[at] for at in changed), embeddings)
        _refuse_other_length(before, fresh)
        vectors[changed] = fresh
    return vectors


def _refuse_other_length(before: NDArray[np.float32], fresh: NDArray[np.float32]) -> None:
    if fresh.shape[1] != before.shape[1]:
        msg = f"the models have vectors of {before.shape[1]} numbers, the encoder makes {fresh.shape[1]}; learn anew"
        raise VectorError(msg)


def _find_floor(catalogue: ItemCatalogue, embeddings: Embeddings) -> float:
    """Return the floor of the encoder's cosines for texts like those of the items."""
    texts = " ".join(item.text for item, _ in zip(catalogue.values(), range(_NUM_READ), strict=False))
    return find_cosine_floor(embeddings, texts)


def compare_query(vectors: NDArray[np.float32], embeddings: Embeddings, text: str) -> NDArray[np.float32]:
    """Return `(num_items,)`: the cosines of a text and the items, from whose vectors the shared part was taken out.

    Args:
        vectors: as from `embed_catalogue`.
        embeddings: those that made them.
        text: what somebody looks for; without any, or without a vector, all cosines are 0.
    """
    query = np.array(embeddings.embed_query(text), dtype=np.float32) if text else np.zeros(vectors.shape[1], np.float32)
    length = float(np.linalg.norm(query))
    if not np.isfinite(length) or length == 0:
        return np.zeros(len(vectors), dtype=np.float32)
    # the items are at right angles to what all texts share, so what the query has of it only makes the cosines smaller
    own_part = np.float32(length * np.sqrt(1 - find_cosine_floor(embeddings, text)))
    cosines: NDArray[np.float32] = vectors @ query / own_part
    return cosines


def learn_item_models(
    *, catalogue: ItemCatalogue, embeddings: Embeddings, interactions: Interactions, options: FeatureOptions
) -> ItemModels:
    """Return what is to be known of the items; the same records, options and embeddings give the same.

    Args:
        catalogue: the items.
        embeddings: gives the item vectors.
        interactions: all events, on the catalogue's item axis.
        options: as the interest model was trained with.

    Raises:
        VectorError: if the embeddings are not one finite vector per item.
        TrainingDataError: if there are no events.
    """
    vectors = embed_catalogue(catalogue, embeddings)
    behaviour = BehaviourModels.learn(interactions, options, now=interactions.now, vectors=vectors)
    return ItemModels.of(vectors, behaviour)


def embed_catalogue(catalogue: ItemCatalogue, embeddings: Embeddings) -> NDArray[np.float32]:
    """Return `(num_items, dim)` float32 unit vectors of the items' texts, in catalogue order, from one call.

    What an encoder gives to all texts alike is taken out, so that items with nothing in common have a cosine near 0.

    Raises:
        VectorError: if the catalogue is empty, or the vectors are not one finite, non-zero vector per item.
    """
    vectors = np.array(embeddings.embed_documents([item.text for item in catalogue.values()]), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(catalogue) or not len(catalogue):
        msg = f"expected one vector for each of the {len(catalogue)} items, got an array of shape {vectors.shape}"
        raise VectorError(msg)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        msg = "the embeddings hold zeros only, NaN or infinity for some item; check the model"
        raise VectorError(msg)
    unit: NDArray[np.float32] = vectors / lengths
    return remove_shared_part(unit, _find_floor(catalogue, embeddings))
