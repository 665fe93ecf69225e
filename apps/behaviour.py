"""Behaviour of a workspace's users: read from its log of events, into which events.csv is imported."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from langchain_core.runnables import Runnable
from typing_extensions import override

from apps.errors import EventFileError
from apps.event_log import EventLog
from apps.learnt import file_digest, file_stamp
from apps.readers import read_catalogue, read_events, warn_of_rejected
from apps.settings import MonitoringSettings, Settings
from chains.monitoring import find_sentiment
from llms import Classification
from llms.errors import TuneChainError
from retrievers import DatedEvent, Event, Interactions, ItemCatalogue

_log = logging.getLogger(__name__)

EVENTS_NAME = "events.csv"
_MANY_REPEATS = 0.1  # of the events; fewer are clicks within one second, more an export that was appended again

JudgeEvents = Callable[[Sequence[DatedEvent]], Sequence[DatedEvent]]


class LiveItems(Collection[str]):
    """The ids of the items in a file as it is now; while it cannot be read, they are those of before.

    Raises:
        TuneChainError: when it is made, if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = file_stamp(path)
        self._ids = frozenset(read_catalogue(path)[0])

    def _current(self) -> frozenset[str]:
        stamp = file_stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._ids = frozenset(read_catalogue(self._path)[0])
            except (TuneChainError, OSError) as error:
                _log.warning("%s; the items of before go on", error)
        return self._ids

    @override
    def __contains__(self, item: object) -> bool:
        return item in self._current()

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    @override
    def __len__(self) -> int:
        return len(self._current())


def read_behaviour_log(
    settings: Settings, log: EventLog, *, judge: JudgeEvents
) -> tuple[ItemCatalogue, Interactions, int | None]:
    """Return items and events, and the number of the last event in the log, after a look whether events.csv is new.

    Where nothing may be written there is no log and no number: then events.csv is all that is known.

    Args:
        settings: of the workspace.
        log: of the workspace.
        judge: returns events of a new file, comments with what their text says of the item.

    Raises:
        EventFileError: if the log cannot be used.
    """
    folder = settings.records_folder(settings.recommendation)
    catalogue, rejected = read_catalogue(folder / "items.csv")
    warn_of_rejected(folder / "items.csv", rejected)
    try:
        _import_file(settings, catalogue, log, judge)
    except EventFileError as error:
        if log.path.exists():
            raise
        _log.warning("%s; until then only events.csv counts", error)
        events = _read_file(folder / EVENTS_NAME, catalogue)
        return catalogue, Interactions(events, items=list(catalogue)), None
    events, last = log.read()
    return catalogue, Interactions([event for event in events if event.item in catalogue], items=list(catalogue)), last


def _import_file(settings: Settings, catalogue: ItemCatalogue, log: EventLog, judge: JudgeEvents) -> None:
    """Bring the events of events.csv into the log, in place of those of its earlier content."""
    folder = settings.records_folder(settings.recommendation)
    path = folder / EVENTS_NAME
    has_sentiment = (settings.models_folder / "sentiment").exists()
    # an event waits for its item, and a comment for its reader
    digest = f"{file_digest(path)} {file_digest(folder / 'items.csv')} {has_sentiment}"
    known = log.file_digest(EVENTS_NAME)
    if digest == known or (known and not path.exists()):  # what was imported stays
        return
    events = _read_file(path, catalogue)
    log.replace_file(EVENTS_NAME, digest, judge(events))


def _read_file(path: Path, catalogue: ItemCatalogue) -> Sequence[Event]:
    """Return the events of a file; the log counts the rows that cannot be used, and many repeats."""
    events, rejected = read_events(path, catalogue)
    warn_of_rejected(path, rejected)
    num_repeats = Interactions(events, items=list(catalogue)).num_repeats
    if num_repeats > _MANY_REPEATS * len(events):
        text = "%d of %d events in %s stand there before; each counts once. Was an export appended again?"
        _log.warning(text, num_repeats, len(events), path)
    return events


def read_opinions(
    section: MonitoringSettings, sentiment: Runnable[str, Classification], texts: Sequence[str]
) -> list[float | None]:
    """Return how likely each text is for its subject, less how likely it is against it."""
    opinions: list[float | None] = []
    for found in sentiment.batch(list(texts)):
        labels = list(found.probabilities)
        negative = section.negative_label or find_sentiment("negative", labels)
        positive = section.positive_label or find_sentiment("positive", labels)
        if negative not in found.probabilities:
            opinions.append(None)  # such a model tells no opinion
            continue
        against = found.probabilities[negative]
        # a model without a positive label: what is not against counts as for
        opinions.append(found.probabilities.get(positive or "", 1.0 - against) - against)
    return opinions
