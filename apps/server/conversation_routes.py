"""Routes of conversations: customers write and read their own, staff see and answer those that wait."""

import functools
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from apps.articles import Passage
from apps.server import conversation_views as views
from apps.server.auth import CurrentOwner, Owner, require_staff
from apps.server.problems import ProblemError
from apps.server.routes import describe_replies
from apps.server.service_run import ServiceRun
from apps.server.state import CurrentServer, CurrentWorkspace, Workspace
from apps.server.streaming import EventStream, named_events, stream_service_run
from chains.customer_service import Conversations, PageRequest, ServiceReply, Turn

router = APIRouter(tags=["conversations"])

_READING = (401, 404, 422, 503)
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}

Limit = Annotated[int, Query(ge=1, le=200, description="How many are returned at most.")]
Skip = Annotated[int, Query(ge=0, le=10**9, description="How many are left out before.")]
After = Annotated[
    str | None, Query(max_length=3_000, description="`next` of the page before: cheaper than `skip` in long lists.")
]


async def _find_conversations(workspace: CurrentWorkspace) -> Conversations:
    return workspace.conversations()


CurrentConversations = Annotated[Conversations, Depends(_find_conversations)]
StaffOwner = Annotated[Owner, Depends(require_staff)]


async def _find_conversation_owner(
    owner: CurrentOwner,
    server: CurrentServer,
    named: Annotated[
        str | None, Query(alias="owner", max_length=200, description="Staff only: whose it is, if not their own.")
    ] = None,
) -> str:
    """Return whose conversation is meant; somebody else's is there for staff of the same workspace alone."""
    if named is None or named == owner.name:
        return owner.name
    if not (owner.is_staff and server.share_workspace(owner, named)):
        raise ProblemError(404, "There is no such conversation.")
    return named


ConversationOwner = Annotated[str, Depends(_find_conversation_owner)]


async def _find_page(
    owner: CurrentOwner, server: CurrentServer, limit: Limit = 50, skip: Skip = 0, after: After = None
) -> PageRequest:
    """Return which lines are meant, of those that are answered from the same workspace."""
    return PageRequest(limit=limit, skip=skip, after=after, is_shown=lambda name: server.share_workspace(owner, name))


CurrentPage = Annotated[PageRequest, Depends(_find_page)]


@router.get("/me", responses=describe_replies(only=(401, 403)), summary="Who am I?")
def show_identity(owner: CurrentOwner, workspace: CurrentWorkspace) -> views.Identity:
    """Return whom the key belongs to, whether it is of staff, and the language of the workspace."""
    return views.Identity(owner=owner.name, is_staff=owner.is_staff, language=workspace.settings.language)


# --- customers


@router.post("/conversations", responses=describe_replies(), summary="Begin a conversation")
def begin(_: views.NewConversationRequest, owner: CurrentOwner) -> views.NewConversation:
    """Return the id of a new conversation; it is there from its first message on."""
    del owner  # only so that nobody begins one without a key
    return views.NewConversation(id=str(uuid.uuid4()))


@router.get("/conversations", responses=describe_replies(only=_READING), summary="List conversations")
def list_conversations(
    owner: CurrentOwner,
    conversations: CurrentConversations,
    page_request: CurrentPage,
    *,
    everyone: Annotated[bool, Query(description="Staff only: those of all owners.")] = False,
) -> views.ConversationList:
    """Return one's own conversations, or for staff those of all owners, the latest first."""
    if everyone and not owner.is_staff:
        raise ProblemError(403, "Only staff see the conversations of everyone.")
    page = conversations.list_page(None if everyone else owner.name, page_request)
    return views.ConversationList(
        conversations=page.lines,
        num_conversations=page.num_lines,
        is_count_exact=page.is_count_exact,
        next=page.next,
    )


@router.get("/conversations/{conversation}", responses=describe_replies(only=_READING), summary="Read a conversation")
def read_conversation(
    conversation: uuid.UUID,
    caller: CurrentOwner,
    owner: ConversationOwner,
    conversations: CurrentConversations,
    workspace: CurrentWorkspace,
    *,
    limit: Limit = 100,
    skip: Skip = 0,
) -> views.ConversationView:
    """Return the latest turns, oldest first; `skip` leaves out so many of the latest."""
    latest = conversations.latest_turns(owner, str(conversation), limit=limit, skip=skip)
    handover = conversations.hand_over(owner, str(conversation))
    return views.ConversationView(
        id=str(conversation),
        turns=tuple(views.view_turn(turn, workspace.templates, is_staff=caller.is_staff) for turn in latest.turns),
        num_turns=latest.num_turns,
        awaits_person=handover is not None,
        hand_over=handover if caller.is_staff else None,
    )


@router.delete(
    "/conversations/{conversation}",
    status_code=204,
    responses=describe_replies(only=(*_READING, 429)),
    summary="Delete a conversation",
)
async def delete_conversation(
    conversation: uuid.UUID, owner: ConversationOwner, conversations: CurrentConversations, workspace: CurrentWorkspace
) -> None:
    """Delete everything that was said in a conversation and about it."""

    def delete() -> None:
        workspace.feedback.delete(owner, str(conversation))  # first: the conversation is what a second try looks for
        conversations.delete(owner, str(conversation))

    await workspace.changes.run(delete)


@router.post(
    "/conversations/{conversation}/messages", responses=describe_replies(also=(409,)), summary="Send a message"
)
async def send_message(
    conversation: uuid.UUID, body: views.MessageRequest, owner: CurrentOwner, workspace: CurrentWorkspace
) -> views.ReplyView:
    """Return the reply to a customer's message, once both are stored.

    The same `message_id` with the same text brings the same reply and stores nothing again.
    """
    run = _run_of(conversation, body, owner, workspace)
    return _view_reply(await run.reply(workspace.admission), body, owner, workspace)


@router.post(
    "/conversations/{conversation}/messages/stream",
    response_class=Response,
    responses=describe_replies(also=(409,)) | _EVENTS,
    summary="Send a message and follow the reply",
)
async def stream_message(
    conversation: uuid.UUID, body: views.MessageRequest, owner: CurrentOwner, workspace: CurrentWorkspace
) -> EventStream:
    """Return server-sent events: `text` (a part of the answer), `reply` (all of it, at the end), `error` (a problem).

    Staff get `step` and `route` as well. A client that leaves ends the run; the message is finished when it is sent
    again, or before the next one.
    """

    def show_reply(reply: ServiceReply) -> dict[str, Any]:
        return _view_reply(reply, body, owner, workspace).model_dump(mode="json")

    show = named_events(show_reply) if owner.is_staff else named_events(show_reply, ["text"])
    run = _run_of(conversation, body, owner, workspace)
    return stream_service_run(run, admission=workspace.admission, show=show)


@router.get(
    "/conversations/{conversation}/turns/{turn}/citations/{number}",
    responses=describe_replies(only=_READING),
    summary="Open a citation",
)
async def open_citation(
    conversation: uuid.UUID, turn: str, number: int, owner: ConversationOwner, workspace: CurrentWorkspace
) -> Passage:
    """Return the quote of a citation, counted from 0, with what stands around it in its article."""
    conversations = workspace.conversations()

    def find() -> Passage:
        reply = _find_answer(conversations, owner, conversation, turn).reply
        citations = () if reply is None else reply.citations
        if not 0 <= number < len(citations):
            raise ProblemError(404, "This answer has no such citation.")
        return workspace.articles.passage(citations[number])

    return await workspace.admission.run(find)  # a large article is work like a model's


@router.post(
    "/conversations/{conversation}/turns/{turn}/feedback",
    status_code=204,
    responses=describe_replies(),
    summary="Judge an answer",
)
def give_feedback(
    conversation: uuid.UUID,
    turn: str,
    body: views.FeedbackRequest,
    caller: CurrentOwner,
    owner: ConversationOwner,
    conversations: CurrentConversations,
    workspace: CurrentWorkspace,
) -> None:
    """Keep a thumb for an answer of the assistant, and what would be right; of one person the last one counts."""
    answer = _find_answer(conversations, owner, conversation, turn)
    workspace.feedback.put(
        owner=owner,
        conversation=str(conversation),
        turn=answer.id,
        rated_by=caller.name,
        thumb=body.thumb,
        correction=body.correction or None,
    )


# --- staff


@router.get("/inbox", responses=describe_replies(only=(401, 403, 422, 503)), summary="Who waits for a person?")
def show_inbox(_: StaffOwner, conversations: CurrentConversations, page_request: CurrentPage) -> views.Inbox:
    """Return the conversations of all owners in which a person is awaited, the longest waiting first."""
    page = conversations.waiting_page(None, page_request)
    return views.Inbox(
        waiting=page.lines, num_waiting=page.num_lines, is_count_exact=page.is_count_exact, next=page.next
    )


@router.post(
    "/conversations/{conversation}/answers",
    status_code=204,
    responses=describe_replies(also=(409,)),
    summary="Answer as staff",
)
async def answer_as_staff(
    conversation: uuid.UUID,
    body: views.AnswerRequest,
    _: StaffOwner,
    owner: ConversationOwner,
    conversations: CurrentConversations,
    workspace: CurrentWorkspace,
) -> None:
    """Say something where a person is awaited; with `close` the assistant answers from then on."""
    message = {"owner": owner, "conversation": str(conversation), "message_id": body.message_id or uuid.uuid4().hex}
    if body.close and not body.text:
        await workspace.changes.run(functools.partial(conversations.close, **message))
    else:
        answer = functools.partial(conversations.answer_as_staff, **message, text=body.text, close=body.close)
        await workspace.changes.run(answer)


def _run_of(conversation: uuid.UUID, body: views.MessageRequest, owner: Owner, workspace: Workspace) -> ServiceRun:
    return ServiceRun.of_message(
        workspace.conversations(),
        owner=owner.name,
        conversation=str(conversation),
        message_id=body.message_id,
        text=body.text,
    )


def _view_reply(reply: ServiceReply, body: views.MessageRequest, owner: Owner, workspace: Workspace) -> views.ReplyView:
    return views.view_reply(reply, workspace.templates, message_id=body.message_id, is_staff=owner.is_staff)


def _find_answer(conversations: Conversations, owner: str, conversation: uuid.UUID, turn: str) -> Turn:
    for found in conversations.turns(owner, str(conversation)):
        if found.reply is not None and views.turn_id(found.id) == turn:
            return found
    raise ProblemError(404, "The conversation has no such answer.")
