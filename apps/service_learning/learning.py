"""From logged conversations to groups of requests that wait for a review; a run that was killed goes on."""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Protocol

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field

from apps.errors import WorkspaceError
from apps.service_learning.database import FILE_NAME
from apps.service_learning.state import LearningState, ReadConversation, StoredGroup, StoredRequest
from apps.settings import Settings
from chains.customer_service.learning import (
    GroupingOptions,
    GroupNames,
    LoggedConversation,
    RequestGroup,
    draft_group,
    find_outcomes,
    find_request,
    group_requests,
    unused_name,
    write_draft,
)
from llms import Classification
from llms.files import hold_lock

_VERSION = 1  # raised when requests are grouped or drafted in another way
_AT_ONCE = 200  # conversations of one transaction
_NUM_JUDGED = 20  # wordings of a group that say whether there is an intent for it
_NUM_WRITTEN = 30  # groups whose drafts a chat model writes; on a CPU each takes seconds
_FIT_SHARE = 0.6  # of them, from which on the group fits that intent

OnProgress = Callable[[str, int], None]
"""What is being done, and how much of it is done."""


class ReplacePrivate(Protocol):
    """Replaces private data in a text by placeholders; returns the text, and kind and text of what was replaced."""

    def __call__(self, text: str) -> tuple[str, Sequence[tuple[str, str]]]: ...  # noqa: D102


class LearnReport(BaseModel):
    """What came of reading logs."""

    model_config = ConfigDict(frozen=True)

    num_conversations: int = Field(description="Read so far, by this and by earlier runs.")
    num_new: int = Field(description="Read by this run.")
    num_requests: int = Field(description="Conversations in which something is asked.")
    num_later: int = Field(description="The latest of them, held back to measure the gain.")
    private: Mapping[str, int] = Field(description="Kind of private data -> how often it was replaced.")
    num_groups: int = Field(description="Groups that wait for a review.")
    num_grouped: int = Field(description="Requests in them.")


@contextlib.contextmanager
def open_learning(settings: Settings) -> Iterator[LearningState]:
    """Open what a workspace has learnt from logs."""
    with contextlib.closing(LearningState(settings.workspace / FILE_NAME)) as state:
        yield state


def read_into(
    state: LearningState,
    conversations: Iterable[LoggedConversation],
    *,
    replace_private: ReplacePrivate,
    on_progress: OnProgress = lambda _what, _done: None,
) -> int:
    """Keep what conversations ask and what was answered, without private data; return how many are new.

    Each conversation is kept once, however often it is read.
    """
    num_new = num_read = 0
    part: list[LoggedConversation] = []
    for conversation in conversations:
        part.append(conversation)
        if len(part) == _AT_ONCE:
            num_new += _keep(state, part, replace_private)
            num_read += len(part)
            part = []
            on_progress("reading", num_read)
    num_new += _keep(state, part, replace_private)
    on_progress("reading", num_read + len(part))
    return num_new


def _keep(state: LearningState, conversations: Sequence[LoggedConversation], replace_private: ReplacePrivate) -> int:
    private: list[tuple[str, str]] = []
    kept = []
    for conversation in conversations:
        key = state.key_of(conversation)
        if state.is_known(key):
            continue
        request = find_request(conversation)
        if request is not None:
            text, found = replace_private(request.text)
            private += found
            answer = request.answer
            if answer is not None:
                answer, found = replace_private(answer)
                private += found
            # ids of a log are often numbers of orders or people
            request = replace(request, text=text, answer=answer, conversation=key.hex())
        kept.append(ReadConversation(key=key, request=request))
    return state.add(kept, private) if kept else 0


def find_groups(
    state: LearningState,
    *,
    embeddings: Embeddings,
    encoder: str,
    options: GroupingOptions | None = None,
    classifier: Runnable[str, Classification] | None = None,
    outside_intent: str = "",
    slots: Sequence[str] = (),
    chat_model: BaseChatModel | None = None,
    on_progress: OnProgress = lambda _what, _done: None,
) -> None:
    """Find the groups of requests that nobody has decided on, in place of those found before.

    Args:
        state: what was read.
        embeddings: turns texts into vectors.
        encoder: what the vectors depend on; with another one groups are found anew.
        options: of the grouping.
        classifier: of the intents that there are, or None.
        outside_intent: the one that stands for everything else.
        slots: that templates may use.
        chat_model: writes names and answers of the largest groups; without one they are taken from the texts.
        on_progress: is told of each step.
    """
    options = options or GroupingOptions()
    state.hold_back_latest()
    stored = state.free_requests()
    intents = sorted(getattr(classifier, "labels", ()))
    made_of = json.dumps([_VERSION, encoder, asdict(options), intents, sorted(slots), [one.seq for one in stored]])
    done = hashlib.sha256(made_of.encode()).hexdigest()
    if state.is_done(done):
        return
    on_progress("grouping", len(stored))
    requests = [one.request for one in stored]
    groups = group_requests(requests, embeddings=embeddings, options=options) if requests else []
    group_of = {request.conversation: number for number, group in enumerate(groups) for request in group.requests}
    outcomes = find_outcomes(requests, group_of)
    on_progress("drafting", len(groups))
    made = list(_draft(stored, groups, outcomes, classifier=classifier, outside_intent=outside_intent, slots=slots))
    if chat_model is not None:
        made = _written(made, chat_model, slots, on_progress)
    state.replace_groups(made, {one.seq: outcomes[one.request.conversation] for one in stored}, done)


def _draft(
    stored: Sequence[StoredRequest],
    groups: Sequence[RequestGroup],
    outcomes: Mapping[str, float | None],
    *,
    classifier: Runnable[str, Classification] | None,
    outside_intent: str,
    slots: Sequence[str],
) -> Iterator[StoredGroup]:
    place_of = {one.request.conversation: one.seq for one in stored}
    texts = [[request.text for request in group.requests] for group in groups]
    names = GroupNames(texts)
    taken: set[str] = set(getattr(classifier, "labels", ()))
    for group, said in zip(groups, texts, strict=True):
        intent = _fitting_intent(said, classifier, outside_intent)
        draft = draft_group(
            group.requests, names=names, confidence=group.confidence, outcomes=outcomes, intent=intent, slots=slots
        )
        if intent is None:
            draft = draft.model_copy(update={"name": unused_name(draft.name, taken)})
            taken.add(draft.name)
        places = [place_of[request.conversation] for request in group.requests]
        yield StoredGroup(id=_group_id(places), draft=draft, members=tuple(zip(places, group.paths, strict=True)))


def _written(
    groups: Sequence[StoredGroup], chat_model: BaseChatModel, slots: Sequence[str], on_progress: OnProgress
) -> list[StoredGroup]:
    """Return groups, the largest ones with names and answers that a chat model wrote."""
    taken = {group.draft.name for group in groups}
    written = []
    for number, group in enumerate(groups):
        draft = group.draft
        if number < _NUM_WRITTEN:
            on_progress("writing", number)
            draft = write_draft(draft, chat_model, slots=slots)
        if draft.name != group.draft.name:
            draft = draft.model_copy(update={"name": unused_name(draft.name, taken)})
            taken.add(draft.name)
        written.append(replace(group, draft=draft))
    return written


def _fitting_intent(
    texts: Sequence[str], classifier: Runnable[str, Classification] | None, outside_intent: str
) -> str | None:
    """Return the intent that most of the typical texts are sure to have, or None."""
    if classifier is None:
        return None
    judged = list(dict.fromkeys(texts))[:_NUM_JUDGED]
    labels = Counter(reply.label for reply in classifier.batch(judged) if reply.accepted)
    if not labels:
        return None
    label, count = labels.most_common(1)[0]
    return label if label != outside_intent and count >= _FIT_SHARE * len(judged) else None


def _group_id(places: Sequence[int]) -> str:
    digest = hashlib.blake2b(json.dumps(sorted(places)).encode(), digest_size=6).hexdigest()
    return f"g-{digest}"


@contextlib.contextmanager
def only_learner(settings: Settings) -> Iterator[None]:
    """Keep a second run from learning in the same workspace at the same time.

    Raises:
        WorkspaceError: if there is one.
    """
    busy = WorkspaceError(f"another run learns from logs in {settings.workspace} right now; wait until it is done")
    with hold_lock(settings.workspace / f"{FILE_NAME}.lock", busy):
        yield
