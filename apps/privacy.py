"""What a workspace holds of one person: export and deletion of it, and expiry of old records."""

import contextlib
import json
import mmap
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.answer_router import EXAMPLES_NAME
from apps.errors import SettingsError
from apps.event_log import EventLog
from apps.feedback import Feedback, FeedbackStore
from apps.keys import Key, KeyStore
from apps.known_answers import LEARNT_NAMES
from apps.review_entries import ReviewedEntry, ReviewedIntent, Reviews
from apps.settings import Settings, load_settings
from apps.wiring import open_conversation_storage
from chains.customer_service import ConversationKey, HandOver, Turn
from chains.errors import ConversationStorageError
from retrievers import Event

if TYPE_CHECKING:
    from apps.conversation_storage import ConversationStorage

RecordKind = Literal["conversations", "feedback", "reviewed", "events"]
_AGE = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class HeldConversation(BaseModel):
    """All that is held of a conversation; `state` is what the assistant remembers for the next message."""

    model_config = ConfigDict(frozen=True)

    conversation: str
    turns: tuple[Turn, ...]
    hand_over: HandOver | None
    state: dict[str, Any]


class HeldRecords(BaseModel):
    """All that a workspace holds of a person."""

    model_config = ConfigDict(frozen=True)

    owner: str
    conversations: tuple[HeldConversation, ...] = ()
    feedback: tuple[Feedback, ...] = Field(default=(), description="About their conversations, or by them.")
    reviewed: tuple[ReviewedEntry, ...] = Field(default=(), description="Messages of theirs to learn from.")
    events: tuple[Event, ...] = Field(default=(), description="What they did with items.")
    keys: tuple[Key, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many records of each kind there are."""
        return {name: len(getattr(self, name)) for name in ("conversations", "feedback", "reviewed", "events", "keys")}


class Deletion(BaseModel):
    """What was deleted, and what is left to do.

    Attributes:
        deleted: kind of record -> how many.
        undated: reviewed entries of earlier versions, which have no date to expire by.
        still_in: files of models that were trained with a deleted message, below the workspace.
    """

    model_config = ConfigDict(frozen=True)

    deleted: dict[str, int]
    undated: int = 0
    still_in: tuple[str, ...] = ()


def find_workspace_of(settings: Settings, *, owner: str | None = None, tenant: str | None = None) -> Settings:
    """Return the settings of the workspace that holds the records of an owner, or of a tenant.

    Args:
        settings: of the main workspace.
        owner: NAME or TENANT/NAME, as keys have it; decides where no tenant is given.
        tenant: as `[tenants]` names it.

    Raises:
        SettingsError: if there is no such tenant.
    """
    tenants = dict(settings.tenants)
    if tenant is not None and tenant not in tenants:
        known = ", ".join(sorted(tenants)) or "none"
        msg = f"there is no tenant {tenant!r} (there are: {known}); [tenants] in tunechain.toml names them"
        raise SettingsError(msg)
    name = tenant or (owner or "").partition("/")[0]
    return load_settings(settings.workspace / tenants[name]) if name in tenants else settings


def export_person(settings: Settings, owner: str) -> HeldRecords:
    """Return all that a workspace holds of an owner.

    Raises:
        ConversationBusyError: if another process has the conversations open.
    """
    with _open_conversations(settings) as storage:
        conversations = () if storage is None else tuple(_held(storage, key) for key in storage.keys_of(owner))
    said = {turn.text for one in conversations for turn in one.turns if turn.speaker == "customer"}
    reviews = Reviews(settings.records_folder(settings.customer_service))
    with (
        contextlib.closing(FeedbackStore(settings.feedback_file)) as feedback,
        contextlib.closing(EventLog(settings.events_file)) as events,
    ):
        return HeldRecords(
            owner=owner,
            conversations=conversations,
            feedback=tuple(feedback.of_person(owner)),
            reviewed=tuple(entry for entry in reviews.entries() if _is_of(entry, owner, said)),
            events=tuple(events.history(_user(owner))),
            keys=tuple(key for key in KeyStore.of(settings).list_all() if key.owner == owner),
        )


def delete_person(settings: Settings, held: HeldRecords) -> Deletion:
    """Delete all that a workspace holds of an owner; interrupted, it is simply done again.

    Args:
        settings: of the workspace.
        held: as `export_person` returns it.

    Raises:
        ConversationBusyError: if another process has the conversations open; then nothing was deleted.
    """
    said = {turn.text for one in held.conversations for turn in one.turns if turn.speaker == "customer"}
    with _open_conversations(settings) as storage:
        # the conversations come last: by what was said in them, reviewed entries without a source are found
        removed = _remove_reviewed(settings, lambda entry: _is_of(entry, held.owner, said))
        with contextlib.closing(FeedbackStore(settings.feedback_file)) as feedback:
            feedback.delete_person(held.owner)
            feedback.compact()
        with contextlib.closing(EventLog(settings.events_file)) as events:
            events.forget(_user(held.owner))
        KeyStore.of(settings).forget(held.owner)
        if storage is not None:
            for key in storage.keys_of(held.owner):
                storage.delete(key)
            storage.compact()
    return Deletion(deleted=held.counts, still_in=_files_with(settings, [entry.text for entry in removed]))


def expire_records(settings: Settings, *, before: datetime, kinds: Collection[RecordKind]) -> Deletion:
    """Delete what is older than a moment; of a conversation, the last message counts.

    Args:
        settings: of the workspace.
        before: with a time zone.
        kinds: of records; a conversation takes the feedback about it along.

    Raises:
        ConversationBusyError: if another process has the conversations open; then nothing was deleted.
    """
    deleted: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(_open_conversations(settings)) if "conversations" in kinds else None
        feedback = stack.enter_context(contextlib.closing(FeedbackStore(settings.feedback_file)))
        if "conversations" in kinds:
            deleted["conversations"] = 0 if storage is None else _expire_conversations(storage, feedback, before)
        if "feedback" in kinds:
            deleted["feedback"] = sum(one.time < before for one in feedback.read())
            feedback.delete_before(before)
        feedback.compact()
        if "events" in kinds:
            with contextlib.closing(EventLog(settings.events_file)) as events:
                deleted["events"] = events.forget_before(before)
        removed: list[ReviewedEntry] = []
        if "reviewed" in kinds:
            removed = _remove_reviewed(settings, lambda entry: entry.source is not None and entry.source.time < before)
            deleted["reviewed"] = len(removed)
    left = Reviews(settings.records_folder(settings.customer_service)).entries() if "reviewed" in kinds else []
    return Deletion(
        deleted=deleted,
        undated=sum(entry.source is None for entry in left),
        still_in=_files_with(settings, [entry.text for entry in removed]),
    )


def _user(owner: str) -> str:
    """Return the name under which events of an owner are kept: the one within the tenant."""
    return owner.rpartition("/")[2]


def read_age(text: str) -> timedelta:
    """Return a span of time: hours, days or weeks.

    Raises:
        SettingsError: if it is none.

    Example:
        >>> read_age("90d").days
        90
    """
    found = _AGE.fullmatch(text)
    if found is None:
        msg = f"an age is a whole number and a unit, h, d or w, such as 90d; got {text[:200]!r}"
        raise SettingsError(msg)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@contextlib.contextmanager
def _open_conversations(settings: Settings) -> "Iterator[ConversationStorage | None]":
    """Open where conversations are kept, or give None where there is none yet: reading makes no file."""
    if not (settings.customer_service.conversations or settings.conversations_file.exists()):
        yield None
        return
    with open_conversation_storage(settings) as storage:
        try:
            yield storage
        except storage.errors as error:
            msg = f"the storage of conversations cannot be used: {error}; check the disk or the database"
            raise ConversationStorageError(msg) from error


def _held(storage: "ConversationStorage", key: ConversationKey) -> HeldConversation:
    kept = storage.checkpointer.get_tuple({"configurable": {"thread_id": key.thread_id, "checkpoint_ns": ""}})
    return HeldConversation(
        conversation=key.conversation,
        turns=tuple(storage.transcripts.turns(key)),
        hand_over=storage.transcripts.hand_over(key),
        state={} if kept is None else dict(kept.checkpoint["channel_values"]),
    )


def _is_of(entry: ReviewedEntry, owner: str, said: Collection[str]) -> bool:
    """Whether an entry is a message of an owner; one without a source, from an earlier version, by its very words."""
    return entry.text in said if entry.source is None else entry.source.owner == owner


def _remove_reviewed(settings: Settings, is_unwanted: Callable[[ReviewedEntry], bool]) -> list[ReviewedEntry]:
    removed = Reviews(settings.records_folder(settings.customer_service)).remove(is_unwanted)
    if removed:  # vectors of messages about intents; made anew at the next start
        (settings.models_folder / EXAMPLES_NAME).unlink(missing_ok=True)
    if not all(isinstance(entry, ReviewedIntent) for entry in removed):
        # vectors of known questions; learnt anew at the next start
        for name in LEARNT_NAMES:
            (settings.models_folder / name).unlink(missing_ok=True)
    return removed


def _expire_conversations(storage: "ConversationStorage", feedback: FeedbackStore, before: datetime) -> int:
    num_deleted = 0
    for num_deleted, key in enumerate(storage.transcripts.keys_before(before), start=1):  # noqa: B007  # the last counts
        feedback.delete(key.owner, key.conversation)
        storage.delete(key)
    storage.compact()
    return num_deleted


def _files_with(settings: Settings, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the files of trained models that hold one of these texts, as text or within JSON."""
    wanted = {form.encode() for text in texts for form in (text, json.dumps(text)[1:-1])}
    folders = (settings.models_folder, settings.encoder_change_folder) if wanted else ()
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return tuple(path.relative_to(settings.workspace).as_posix() for path in files if _holds(path, wanted))


def _holds(path: Path, wanted: Collection[bytes]) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(text) >= 0 for text in wanted)
