"""Documents and vectors to fill stores with: written by a seeded generator, so that nothing has to be embedded."""

import numpy as np
from langchain_core.embeddings import Embeddings

__all__ = ["DIMENSION", "FixedDimension", "metadata_of", "texts_of", "vectors_of"]

DIMENSION = 384
_NUM_TOPICS, _NUM_FACTORS, _NOISE = 2_000, 48, 0.35
_TEXT = (
    "parcel refund order account card payment delivery invoice address colour size shoe lamp charger cable battery "
    "warranty repair return exchange stock price discount member password login code message courier window policy "
    "退货 退款 订单 物流 发票 客服 保修 尺码"
)


class FixedDimension(Embeddings):
    """Says only how long its vectors are; the benchmarks bring their own."""

    fingerprint = "benchmark"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, always the same."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return a vector, always the same."""
        del text
        return [1.0] + [0.0] * (DIMENSION - 1)


def vectors_of(count: int, *, seed: int = 0) -> np.ndarray:
    """Return (count, 384) unit vectors around 2,000 topics that have 48 factors in common, with noise.

    Sentence vectors look like that: neighbours share a topic, and far fewer directions matter than there are.
    """
    fixed = np.random.default_rng(12345)  # the topics are the same for every seed
    factors = fixed.standard_normal((_NUM_FACTORS, DIMENSION), dtype=np.float32)
    topics = fixed.standard_normal((_NUM_TOPICS, _NUM_FACTORS), dtype=np.float32)
    random = np.random.default_rng(seed)
    vectors = np.empty((count, DIMENSION), dtype=np.float32)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        centres = topics[random.integers(0, _NUM_TOPICS, size)]
        centres = centres + 0.7 * random.standard_normal((size, _NUM_FACTORS), dtype=np.float32)
        block = centres @ factors
        block += (
            _NOISE
            * np.linalg.norm(block, axis=1, keepdims=True)
            / np.sqrt(DIMENSION)
            * random.standard_normal((size, DIMENSION), dtype=np.float32)
        )
        vectors[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def texts_of(count: int, *, seed: int = 0) -> list[str]:
    """Return texts of about 250 characters, each another one."""
    random, words = np.random.default_rng(seed), _TEXT.split()
    picks = random.integers(0, len(words), (count, 38))
    return [f"{index} " + " ".join(words[pick] for pick in row) for index, row in enumerate(picks)]


def metadata_of(count: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Return metadata with a language, a price in [0, 1000) and a rare flag, evenly spread."""
    random = np.random.default_rng(seed)
    prices, languages = random.integers(0, 1000, count).tolist(), random.integers(0, 3, count).tolist()
    return [
        {"price": price, "lang": ("en", "zh", "de")[language], "source": f"page-{index // 20}.md"}
        for index, (price, language) in enumerate(zip(prices, languages, strict=True))
    ]
