"""Representative posts: those that explain an alert, most probably negative first, no two alike."""

from collections import deque

from chains.monitoring.schema import Cause, Reading

NUM_CAUSES = 5
NUM_KEPT = 200  # per topic; the oldest go first when a surge brings more
SHINGLE = 4  # characters; short enough for Chinese, long enough to tell English sentences apart
ALIKE_SHARE = 0.6  # of the shingles of two texts together: a quote or a reprint


class CauseKeeper:
    """Remembers the negative posts of one topic while a test holds evidence.

    Args:
        negative_label: the sentiment whose probability counts.
    """

    def __init__(self, negative_label: str) -> None:
        self._negative_label = negative_label
        self._kept: deque[Cause] = deque(maxlen=NUM_KEPT)

    def add(self, reading: Reading) -> None:
        """Remember a post if it is more likely negative than not."""
        probability = reading.sentiment.probabilities[self._negative_label]
        if probability > 0.5 or reading.sentiment.label == self._negative_label:
            post = reading.post
            self._kept.append(
                Cause(id=post.id, time=post.time, source=post.source, text=post.text, probability=probability)
            )

    def clear(self) -> None:
        """Forget all posts, because no surge is in sight."""
        self._kept.clear()

    def select(self, *, since_s: float, until_s: float) -> tuple[Cause, ...]:
        """Return the most probably negative posts between two Unix times, at most five, no two alike.

        Equally probable posts keep the order of their times.
        """
        recent = [cause for cause in self._kept if since_s <= cause.time.timestamp() <= until_s]
        chosen: list[tuple[Cause, set[str]]] = []
        for cause in sorted(recent, key=lambda cause: -cause.probability):
            shingles = _cut_shingles(cause.text)
            if all(_find_overlap(shingles, other) < ALIKE_SHARE for _, other in chosen):
                chosen.append((cause, shingles))
            if len(chosen) == NUM_CAUSES:
                break
        return tuple(cause for cause, _ in chosen)


def _cut_shingles(text: str) -> set[str]:
    letters = "".join(sign for sign in text.lower() if sign.isalnum())
    return {letters[start : start + SHINGLE] for start in range(max(1, len(letters) - SHINGLE + 1))}


def _find_overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
