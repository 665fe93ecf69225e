"""Routes of opinion monitoring for people: single alerts and verdicts on them, trends, posts, and what went wrong."""

import asyncio
import csv
import functools
import io
from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from apps.monitoring_view import MAX_CHOICES, MAX_POINTS, FeedFilter, FeedPage, FeedPost, MonitoringView, ShownAlert
from apps.server.auth import CurrentOwner, require_staff
from apps.server.problems import ProblemError
from apps.server.request_validation import refuse_unknown_parameters
from apps.server.routes import describe_replies
from apps.server.schemas import (
    AlertReply,
    DeadLettersReply,
    DeliveryState,
    FeedReply,
    Moment,
    RetryReply,
    TrendReply,
    VerdictRequest,
)
from apps.server.state import CurrentWorkspace
from llms.texts.csv_table import guarded_row

MAX_FEED = 50  # posts of a reply, which stays below a megabyte whatever their texts are
_MAX_TEXT_CHARS = 1_500
_MAX_SUBJECTS = 50
_MAX_EXPORTED = 100_000
_EXPORT_PAGE = 500
_NAME = Query(max_length=10_000)
_COLUMNS = ("time", "source", "id", "topic", "sentiment", "copy", "companies", "text")
_READS = describe_replies(only=[401, 403, 422, 503])
_READS_ONE = describe_replies(only=[401, 403, 404, 422, 503])

router = APIRouter(tags=["monitoring"], dependencies=[Depends(require_staff), Depends(refuse_unknown_parameters)])


@router.get("/alert", responses=_READS_ONE, summary="Show one alert")
def show_alert(workspace: CurrentWorkspace, id: Annotated[str, _NAME]) -> AlertReply:  # noqa: A002  # on the wire
    """Return an alert with the whole texts of its posts, the trend around it, and who was told of it."""
    monitor = workspace.monitor()
    alert = monitor.view.read_alert(id)
    deliveries = monitor.outbox.deliveries(alert=id)
    return AlertReply(
        alert=alert,
        chart=monitor.view.read_surroundings(alert),
        deliveries=tuple(
            DeliveryState(sink=one.sink, state=one.state, status=one.status, tries=one.tries, reason=one.reason)
            for one in reversed(deliveries)
        ),
    )


@router.put("/alert/verdict", responses=describe_replies(also=[507]), summary="Confirm or reject an alert")
async def judge_alert(body: VerdictRequest, workspace: CurrentWorkspace, owner: CurrentOwner) -> ShownAlert:
    """Keep what the asker thinks of an alert, in place of an earlier verdict.

    Verdicts are counted as precision; posts of rejected alerts go to the rows of `tunechain monitor review`.
    """
    judge = functools.partial(workspace.monitor().view.judge, body.alert, body.verdict, judge=owner.name)
    return await asyncio.to_thread(judge)


@router.get("/trend", responses=_READS, summary="Show trends")
def show_trend(
    workspace: CurrentWorkspace,
    topic: Annotated[list[str] | None, Query(max_length=_MAX_SUBJECTS)] = None,
    words: Annotated[str, Query(max_length=200)] = "",
    since: Moment | None = None,
    until: Moment | None = None,
    max_points: Annotated[int, Query(ge=2, le=MAX_POINTS)] = MAX_POINTS,
    limit: Annotated[int, Query(ge=1, le=_MAX_SUBJECTS)] = 12,
    offset: Annotated[int, Query(ge=0, le=1_000)] = 0,
) -> TrendReply:
    """Return the trends of some topics and companies, by name, by words in their names, or page by page."""
    view = workspace.monitor().view
    found = [subject for subject in view.read_subjects() if words.casefold() in subject.topic.casefold()]
    if topic is not None:
        found = [subject for subject in found if subject.topic in topic]
    page = found[offset : offset + limit]
    names = [subject.topic for subject in page]
    trend = view.read_trend(names, since=since, until=until, max_points=max_points)
    return TrendReply(subjects=tuple(page), num_subjects=len(found), step_hours=trend.step_hours, points=trend.points)


async def _wanted(
    topic: Annotated[str | None, _NAME] = None,
    entity: Annotated[str | None, _NAME] = None,
    source: Annotated[str | None, _NAME] = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> FeedFilter:
    """Return the filter that a request asks for."""
    return FeedFilter(topic=topic, entity=entity, source=source, since=since, until=until)


Wanted = Annotated[FeedFilter, Depends(_wanted)]


@router.get("/posts", responses=_READS, summary="Show posts")
def show_posts(
    workspace: CurrentWorkspace,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=MAX_FEED)] = 50,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> FeedReply:
    """Return posts that counted, the latest first, with topic, sentiment and companies; copies are marked."""
    view = workspace.monitor().view
    page = _read_page(view, wanted, limit, after)
    posts = tuple(map(_cut, page.posts))
    if after is not None:
        return FeedReply(posts=posts, next=page.next)
    subjects = tuple(subject.topic for subject in view.read_subjects()[:MAX_CHOICES])
    return FeedReply(posts=posts, next=page.next, sources=tuple(view.read_sources()), subjects=subjects)


@router.get("/posts.csv", responses=_READS, response_class=StreamingResponse, summary="Export posts")
def export_posts(workspace: CurrentWorkspace, wanted: Wanted) -> StreamingResponse:
    """Return up to 100,000 posts that counted as a table; no cell of it is a formula to a spreadsheet."""
    return StreamingResponse(
        _to_csv(_read_all(workspace.monitor().view, wanted)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="posts.csv"'},
    )


@router.get("/dead-letters", responses=_READS, summary="Show posts that cannot be read")
def show_dead_letters(workspace: CurrentWorkspace) -> DeadLettersReply:
    """Return the posts whose text a classifier cannot read, with the reason."""
    return DeadLettersReply(dead_letters=tuple(workspace.monitor().view.read_dead_letters()))


@router.post("/dead-letters/retry", responses=describe_replies(also=[507]), summary="Try posts again")
async def retry_dead_letters(workspace: CurrentWorkspace) -> RetryReply:
    """Classify the posts again that could not be read, at most 1,000 of them; return how many now count."""
    monitor = workspace.monitor()
    report = await workspace.admission.run(monitor.retry_dead_letters)
    letters = await asyncio.to_thread(monitor.view.read_dead_letters)
    return RetryReply(counted=len(report.readings), late=report.late, dead_letters=tuple(letters))


def _read_page(view: MonitoringView, wanted: FeedFilter, limit: int, after: str | None) -> FeedPage:
    try:
        return view.read_feed(wanted, most=limit, after=after)
    except ValueError as error:
        msg = "`after` must be what an earlier page gave as `next`."
        raise ProblemError(422, msg) from error


def _cut(post: FeedPost) -> FeedPost:
    if len(post.text) <= _MAX_TEXT_CHARS:
        return post
    return post.model_copy(update={"text": f"{post.text[: _MAX_TEXT_CHARS - 1]}…"})


def _read_all(view: MonitoringView, wanted: FeedFilter) -> Iterator[FeedPost]:
    after: str | None = None
    for _ in range(_MAX_EXPORTED // _EXPORT_PAGE):
        page = view.read_feed(wanted, most=_EXPORT_PAGE, after=after)
        yield from page.posts
        after = page.next
        if after is None:
            return


def _to_csv(posts: Iterable[FeedPost]) -> Iterator[bytes]:
    yield "\ufeff".encode()  # Excel reads UTF-8 only with it
    yield _to_line(_COLUMNS)
    for post in posts:
        kind = "copy" if post.is_copy else ""
        companies = "; ".join(post.entities)
        values = (post.time.isoformat(), post.source, post.id, post.topic, post.sentiment, kind, companies, post.text)
        yield _to_line(values)


def _to_line(values: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(guarded_row(values))
    return line.getvalue().encode("utf-8", "backslashreplace")
