"""Texts whose vectors lie in groups that are known, so that it can be told what was found."""

import numpy as np

from llms.encoder.text_encoder import TextEncoder

__all__ = ["PlantedEncoder", "plant_texts"]


class PlantedEncoder(TextEncoder):
    """Gives each planted text its vector, and any other one a vector of its own; counts what it is asked."""

    name = "planted"

    def __init__(self, vectors):
        super().__init__()
        self.vectors = vectors
        self.num_asked = 0

    @property
    def dimension(self):
        return len(next(iter(self.vectors.values())))

    def prepare(self, texts, role):
        raise NotImplementedError

    def _forward(self, batch):
        raise NotImplementedError

    def encode(self, texts, *, role="plain", batch_size=64, show_progress=False):
        self.num_asked += len(texts)
        rows = [self.vectors[text] if text in self.vectors else _own_vector(text, self.dimension) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.dimension)


def plant_texts(sizes, *, seed=0, spread=0.35, dimension=16):
    """Return (texts, the group of each, encoder): groups of these sizes around random middles."""
    random = np.random.default_rng(seed)
    middles = random.normal(size=(len(sizes), dimension))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    vectors = middles[groups] + spread * random.normal(size=(len(groups), dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # words without meaning, so that character n-grams tell nothing of the groups
    texts = [f"{''.join(random.choice(list('abcdefgh'), 12))} {place}" for place in range(len(groups))]
    return texts, groups, PlantedEncoder(dict(zip(texts, vectors, strict=True)))


def _own_vector(text, dimension):
    vector = np.random.default_rng(sum(text.encode())).normal(size=dimension)
    return vector / np.linalg.norm(vector)
