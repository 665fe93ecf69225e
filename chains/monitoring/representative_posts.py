"""Representative posts: those that explain an alert, most probably negative first, no two alike."""

import hashlib
import heapq
from collections.abc import Iterable
from typing import Any

from chains.monitoring.schema import Cause, Reading

NUM_CAUSES = 5
NUM_KEPT = 200  # per topic; of more, a sample is kept
SHINGLE = 4  # characters; short enough for Chinese, long enough to tell English sentences apart
ALIKE_SHARE = 0.6  # of the shingles of two texts together: a quote or a reprint


class CauseKeeper:
    """Remembers negative posts of one topic while a test holds evidence.

    Of more than can be kept, those with the lowest hash of their ids are: a fair sample of all of them, the first
    as well as the last, and the same one each time.

    Args:
        negative_label: the sentiment whose probability counts.

    References:
        Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
    """

    def __init__(self, negative_label: str) -> None:
        self._negative_label = negative_label
        self._kept: list[tuple[int, int, Cause]] = []  # heap with the highest hash on top
        self._num_added = 0  # breaks ties, because causes have no order

    def add(self, reading: Reading) -> None:
        """Remember a post if it is more likely negative than not."""
        probability = reading.sentiment.probabilities[self._negative_label]
        if probability > 0.5 or reading.sentiment.label == self._negative_label:
            post = reading.post
            self._keep(Cause(id=post.id, time=post.time, source=post.source, text=post.text, probability=probability))

    def _keep(self, cause: Cause) -> None:
        name = f"{cause.source}\0{cause.id}".encode("utf-8", "replace")
        place = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
        self._num_added += 1
        heapq.heappush(self._kept, (-place, self._num_added, cause))
        if len(self._kept) > NUM_KEPT:
            heapq.heappop(self._kept)

    def clear(self) -> None:
        """Forget all posts, because no surge is in sight."""
        self._kept.clear()

    def select(self, *, since_s: float, until_s: float) -> tuple[Cause, ...]:
        """Return the most probably negative posts between two Unix times, at most five, no two alike.

        Equally probable posts keep the order of their times.
        """
        in_order = [cause for _, _, cause in sorted(self._kept, key=lambda entry: entry[1])]
        recent = [cause for cause in in_order if since_s <= cause.time.timestamp() <= until_s]
        chosen: list[tuple[Cause, set[str]]] = []
        for cause in sorted(recent, key=lambda cause: -cause.probability):
            shingles = _cut_shingles(cause.text)
            if all(_find_overlap(shingles, other) < ALIKE_SHARE for _, other in chosen):
                chosen.append((cause, shingles))
            if len(chosen) == NUM_CAUSES:
                break
        return tuple(cause for cause, _ in chosen)

    def dump(self) -> list[dict[str, Any]]:
        """Return what is kept, as plain values."""
        in_order = sorted(self._kept, key=lambda entry: entry[1])
        return [cause.model_dump(mode="json") for _, _, cause in in_order]

    def load(self, state: Iterable[dict[str, Any]]) -> None:
        """Go on from what `dump` returned."""
        self.clear()
        for values in state:
            self._keep(Cause.model_validate(values))


def _cut_shingles(text: str) -> set[str]:
    letters = "".join(sign for sign in text.lower() if sign.isalnum())
    return {letters[start : start + SHINGLE] for start in range(max(1, len(letters) - SHINGLE + 1))}


def _find_overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
