"""Relations between pairs: which texts answer which query, contradictions, and groups that stay together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from llms.errors import TrainingDataError
from llms.finetuning.data.pairs import TextPair
from llms.finetuning.data.splits import draw

_MIN_QUERIES = 4  # one to hold out, and a batch in which the others are negatives of each other
_MAX_SCORE_GAP = 0.5  # more is a contradiction, less is two people's opinion


def same_text(text: str) -> str:
    """Return what two texts have in common that differ in case and spaces only.

    Example:
        >>> same_text(" Where is  my CARD?") == same_text("where is my card?")
        True
    """
    return " ".join(text.split()).casefold()


@dataclass(frozen=True, slots=True)
class KnownPositives:
    """For each query the documents that answer it, as far as the pairs say; a document not known is no positive."""

    documents_of: dict[str, frozenset[str]]
    group_documents: dict[str, frozenset[str]]
    groups_of: dict[str, frozenset[str]]

    @classmethod
    def from_pairs(cls, pairs: Sequence[TextPair]) -> "KnownPositives":
        """Return what `pairs` say.

        Example:
            >>> known = KnownPositives.from_pairs([TextPair("q", "a"), TextPair("q", "b", score=0)])
            >>> known.covers("Q", "A"), known.covers("q", "b")
            (True, False)
        """
        documents: dict[str, set[str]] = {}
        in_group: dict[str, set[str]] = {}
        groups: dict[str, set[str]] = {}
        for pair in pairs:
            if not pair.is_positive:
                continue
            query, document = same_text(pair.query), same_text(pair.document)
            documents.setdefault(query, set()).add(document)
            if pair.group is not None:
                groups.setdefault(query, set()).add(pair.group)
                in_group.setdefault(pair.group, set()).update((query, document))
        return cls(_frozen(documents), _frozen(in_group), _frozen(groups))

    def answers_to(self, query: str) -> frozenset[str]:
        """Return the documents that answer the query, each as `same_text` has it."""
        query = same_text(query)
        in_groups = (self.group_documents[group] for group in self.groups_of.get(query, ()))
        answers = self.documents_of.get(query, frozenset()).union(*in_groups)
        # in its group a query stands too; itself it answers only where a pair says so
        return answers if query in self.documents_of.get(query, ()) else answers - {query}

    def covers(self, query: str, document: str) -> bool:
        """Return whether the document must not be a negative of the query: an answer, or the query itself."""
        return same_text(document) in self.answers_to(query) | {same_text(query)}


def merge_pairs(pairs: Sequence[TextPair]) -> list[TextPair]:
    """Return each pair once, with the hard negatives of its repetitions, in the order of their first coming.

    Scores of one pair that differ a little become their mean.

    Raises:
        TrainingDataError: if the scores of a pair contradict each other, a document is both answer and hard negative
            of a query, every document is its own query, or fewer than four queries have an answer.
    """
    merged: dict[tuple[str, str], TextPair] = {}
    for pair in pairs:
        key = (same_text(pair.query), same_text(pair.document))
        seen = merged.setdefault(key, pair)
        if seen is pair:
            continue
        negatives = tuple(dict.fromkeys(seen.hard_negatives + pair.hard_negatives))
        merged[key] = replace(seen, hard_negatives=negatives, score=_merged_score(seen, pair))
    kept = list(merged.values())
    _refuse_contradictions(kept, KnownPositives.from_pairs(kept))
    if pairs and all(same_text(pair.query) == same_text(pair.document) for pair in kept):
        msg = "every document is its own query, so there is nothing to learn; are two columns the same one?"
        raise TrainingDataError(msg)
    queries = {same_text(pair.query) for pair in kept if pair.is_positive}
    if len(queries) < _MIN_QUERIES:
        msg = f"at least {_MIN_QUERIES} different queries with a document are needed, found {len(queries)}; add pairs"
        raise TrainingDataError(msg)
    return kept


def split_pairs(
    pairs: Sequence[TextPair], *, held_out_share: float, seed: int
) -> tuple[list[TextPair], list[TextPair]]:
    """Return (kept, held out); equal queries, and those that share a document or group, stay on one side.

    Where documents tie more than half of the pairs together, only equal queries and groups do; then a held-out
    query may have a document that was trained on.

    Raises:
        TrainingDataError: if all pairs hang together, so that none can be held out.

    Example:
        >>> pairs = [TextPair(f"q{i}", f"d{i // 2}") for i in range(8)]
        >>> kept, held_out = split_pairs(pairs, held_out_share=0.25, seed=0)
        >>> len(held_out), {pair.document for pair in kept} & {pair.document for pair in held_out}
        (2, set())
    """
    parts = _parts(pairs, ties_documents=True)
    if max(len(part) for part in parts) > len(pairs) / 2:
        parts = _parts(pairs, ties_documents=False)
    order = sorted(parts, key=lambda part: draw(seed, min(same_text(pairs[index].query) for index in part)))
    wanted = max(1.0, held_out_share * len(pairs))
    held_out: set[int] = set()
    for part in order:
        has_positive = any(pairs[index].is_positive for index in part)
        if has_positive and len(held_out) + len(part) <= max(wanted, min(map(len, parts))):
            held_out.update(part)
    rest = [pair for index, pair in enumerate(pairs) if index not in held_out]
    if not held_out or not any(pair.is_positive for pair in rest):
        msg = f"no query can be held out of {len(pairs)} pairs, they all hang together; add pairs of other texts"
        raise TrainingDataError(msg)
    return rest, [pairs[index] for index in sorted(held_out)]


def _parts(pairs: Sequence[TextPair], *, ties_documents: bool) -> list[list[int]]:
    """Return the indices of pairs that hang together, each once."""
    leader: dict[tuple[str, str], tuple[str, str]] = {}

    def find(name: tuple[str, str]) -> tuple[str, str]:
        path = [name]
        while (above := leader.setdefault(path[-1], path[-1])) != path[-1]:
            path.append(above)
        for passed in path:
            leader[passed] = path[-1]
        return path[-1]

    for pair in pairs:
        query = ("text", same_text(pair.query))
        if ties_documents and pair.is_positive:
            leader[find(query)] = find(("text", same_text(pair.document)))
        if pair.group is not None:
            leader[find(query)] = find(("group", pair.group))
    parts: dict[tuple[str, str], list[int]] = {}
    for index, pair in enumerate(pairs):
        parts.setdefault(find(("text", same_text(pair.query))), []).append(index)
    return list(parts.values())


def _refuse_contradictions(pairs: Sequence[TextPair], known: KnownPositives) -> None:
    for pair in pairs:
        for negative in pair.hard_negatives:
            if same_text(negative) in known.documents_of.get(same_text(pair.query), ()):
                msg = (
                    f"{_where(pair)}a document is both an answer and a hard negative of {pair.query!r:.60}: "
                    f"{negative!r:.60}; remove it from one side"
                )
                raise TrainingDataError(msg)


def _merged_score(first: TextPair, second: TextPair) -> float | None:
    if first.score is None and second.score is None:
        return None
    scores = [1.0 if pair.score is None else pair.score for pair in (first, second)]
    if abs(scores[0] - scores[1]) > _MAX_SCORE_GAP:
        msg = (
            f"{_where(first, second)}a pair has the scores {scores[0]:g} and {scores[1]:g}: "
            f"{first.query!r:.60} with {first.document!r:.60}; decide on one"
        )
        raise TrainingDataError(msg)
    return sum(scores) / 2


def _where(*pairs: TextPair) -> str:
    lines = [str(pair.line) for pair in pairs if pair.line is not None]
    return f"line {' and '.join(lines)}: " if lines else ""


def _frozen(sets: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(values) for name, values in sets.items()}


def unique_texts(texts: Iterable[str]) -> list[str]:
    """Return the first of each group of equal texts, in their order.

    Example:
        >>> unique_texts(["card", "Card ", "order"])
        ['card', 'order']
    """
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(same_text(text), text)
    return list(first.values())
