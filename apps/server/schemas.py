"""Wire format of the applications: requests with their limits, replies, and examples of both."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from apps.applications import ClassifierName
from apps.monitoring_view import DeadLetter, FeedPage, Precision, ShownAlert, Subject, TrendView, Verdict
from chains.customer_service import AnswerBudget, KnownQuestionsFit
from chains.monitoring import Alert, MonitoringReport, Post, TrendPoint
from chains.recommendation import RecommendationRequest
from llms.texts import Id
from retrievers import Event, EventTime

MAX_MESSAGE_CHARS = 4_000
MAX_TEXT_CHARS = 10_000
MAX_POSTS = 200
MAX_EVENTS = 500


def _check_year(moment: datetime) -> datetime:
    """Refuse dates at the ends of the calendar, where moving to another time zone leaves it."""
    if not 1970 <= moment.year < 3000:
        msg = "the year must lie between 1970 and 2999"
        raise ValueError(msg)
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_check_year)]
WireEventTime = Annotated[EventTime, AfterValidator(_check_year)]
WireId = Annotated[Id, Field(max_length=200)]


def wire_config(example: dict[str, Any]) -> ConfigDict:
    """Return the configuration of a wire object, with an example for its documentation."""
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


class AskRequest(BaseModel):
    """One message of a customer."""

    model_config = wire_config({"text": "Where is my parcel? The order number is 1048213."})

    text: str = Field(min_length=1, max_length=MAX_MESSAGE_CHARS, description="What the customer wrote.")


class ClassifyRequest(BaseModel):
    """Texts for one of the workspace's classifiers."""

    model_config = wire_config({"model": "sentiment", "texts": ["The new fees are a bad joke"]})

    model: ClassifierName = Field(description="intent: what a customer wants; topic and sentiment: of a post.")
    texts: tuple[Annotated[str, Field(max_length=MAX_TEXT_CHARS)], ...] = Field(
        min_length=1, max_length=64, description="One to 64 texts; the replies come in the same order."
    )


class WirePost(Post):
    """One text from one source, dated by when it was written."""

    model_config = wire_config(
        {"id": "p1", "source": "forum", "text": "The app is down again", "time": "2026-03-02T09:30:00+01:00"}
    )

    id: WireId = Field(description="The same post of a source always has the same id; repeats are dropped.")
    source: str = Field(max_length=200, description="Where it was published.")
    text: str = Field(max_length=MAX_TEXT_CHARS)
    time: Moment = Field(description="When it was published; a time without zone is refused.")


class PostsRequest(BaseModel):
    """Posts for the monitor, in any order."""

    model_config = wire_config(
        {
            "posts": [
                {"id": "p1", "source": "forum", "text": "The app is down again", "time": "2026-03-02T09:30:00+01:00"}
            ]
        }
    )

    posts: tuple[WirePost, ...] = Field(min_length=1, max_length=MAX_POSTS)


class PostOutcome(BaseModel):
    """What became of one post."""

    model_config = wire_config({"id": "p1", "outcome": "counted", "topic": "app", "sentiment": "negative"})

    id: str
    outcome: Literal["counted", "duplicate", "late", "future", "failed"] = Field(
        description="counted: classified and watched; duplicate: its source gave a post of this id before; late: older "
        "than the stream allows; future: dated ahead of now; failed: a classifier cannot read its text."
    )
    topic: str | None = Field(default=None, description="Only of a post that was counted.")
    sentiment: str | None = Field(default=None, description="Only of a post that was counted.")

    @classmethod
    def of_all(cls, posts: Sequence[Post], report: MonitoringReport) -> "tuple[PostOutcome, ...]":
        """Return what became of each post; of those that a source sends twice under one id, the first one counts."""
        readings = {reading.post.key: reading for reading in report.readings}
        set_aside = {item.post.key: item.reason for item in report.set_aside}
        outcomes = []
        for post in posts:
            reading = readings.pop(post.key, None)
            if reading is not None:
                labels = {"topic": reading.topic.label, "sentiment": reading.sentiment.label}
                outcomes.append(cls(id=post.id, outcome="counted", **labels))
            else:
                outcomes.append(cls(id=post.id, outcome=set_aside.get(post.key, "duplicate")))
        return tuple(outcomes)


class PostsReply(BaseModel):
    """What became of the posts, and the alerts they opened or closed."""

    model_config = wire_config(
        {"posts": [{"id": "p1", "outcome": "counted", "topic": "app", "sentiment": "negative"}], "alerts": []}
    )

    posts: tuple[PostOutcome, ...] = Field(description="In the order of the request.")
    alerts: tuple[Alert, ...] = Field(description="New and changed alerts; the same id comes again when it closes.")


class AlertsReply(BaseModel):
    """What the monitor has seen so far."""

    model_config = wire_config({"alerts": [], "trend": [], "num_posts": 0, "loading": False})

    alerts: tuple[ShownAlert, ...] = Field(description="The latest alerts, each in its last state, oldest first.")
    next: str | None = Field(default=None, description="What to pass as `before` for earlier alerts; None if none is.")
    trend: tuple[TrendPoint, ...] = Field(
        description="Posts by topic and step, of the last eight weeks; /v1/trend shows single topics in narrower steps."
    )
    trend_step_hours: int = Field(default=1, description="So long is a step of the trend.")
    num_posts: int = Field(ge=0, description="Posts counted so far.")
    late: int = Field(default=0, ge=0, description="Posts that came too late for the stream and do not count.")
    future: int = Field(default=0, ge=0, description="Posts dated ahead of the clock, which do not count.")
    duplicates: int = Field(default=0, ge=0, description="Posts that came before.")
    failed: int = Field(default=0, ge=0, description="Posts whose text a classifier cannot read.")
    loading: bool = Field(description="True while the recorded stream of the workspace is still being read.")
    undelivered: int = Field(default=0, ge=0, description="Messages about alerts that could not be delivered.")
    precision: Precision = Field(default=Precision(), description="Of the alerts that staff has judged.")


class DeliveryState(BaseModel):
    """What became of one message about an alert."""

    model_config = wire_config({"sink": "webhook", "state": "open", "status": "sent", "tries": 1, "reason": ""})

    sink: str
    state: str
    status: str = Field(description="waiting, sending, sent, dead, held or digested (for the digest of the day).")
    tries: int
    reason: str = Field(description="Why the last try failed.")


class AlertReply(BaseModel):
    """One alert with its cause, what happened around it, and who was told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert: ShownAlert
    chart: TrendView
    deliveries: tuple[DeliveryState, ...]


class VerdictRequest(BaseModel):
    """What somebody thinks of an alert."""

    model_config = wire_config({"alert": "fees@2026-03-19T06:10Z", "verdict": "confirmed"})

    alert: str = Field(max_length=10_000, description="Its id.")
    verdict: Verdict | None = Field(description="null takes an earlier verdict back.")


class TrendReply(BaseModel):
    """Trends of some topics, and which others there are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subjects: tuple[Subject, ...] = Field(description="Topics and companies of this page, most posts first.")
    num_subjects: int = Field(ge=0, description="On all pages.")
    step_hours: int
    points: tuple[TrendPoint, ...]


class FeedReply(FeedPage):
    """Posts that counted, the latest first, and what they can be filtered by."""

    sources: tuple[str, ...] = Field(default=(), description="Of all posts; on the first page only.")
    subjects: tuple[str, ...] = Field(default=(), description="Topics and companies; on the first page only.")


class DeadLettersReply(BaseModel):
    """Posts whose text a classifier cannot read."""

    model_config = wire_config({"dead_letters": [{"source": "forum", "id": "p7", "reason": "...", "tries": 5}]})

    dead_letters: tuple[DeadLetter, ...]


class RetryReply(DeadLettersReply):
    """What became of posts that could not be read."""

    model_config = wire_config({"counted": 1, "late": 0, "dead_letters": []})

    counted: int = Field(ge=0, description="Posts that can be read now.")
    late: int = Field(ge=0, description="Posts whose time is over.")


class WireEvent(Event):
    """One user did one thing with one item at one time."""

    model_config = wire_config({"user": "u558", "item": "i001", "event": "click", "time": "2026-03-02T09:30:00+01:00"})

    user: WireId
    item: WireId
    time: WireEventTime
    text: str = Field(default="", max_length=MAX_TEXT_CHARS, description="Of a comment: what was written.")


class EventsRequest(BaseModel):
    """What people did with items, in any order; sending the same again changes nothing."""

    model_config = wire_config(
        {"events": [{"user": "u558", "item": "i001", "event": "click", "time": "2026-03-02T09:30:00+01:00"}]}
    )

    events: tuple[WireEvent, ...] = Field(min_length=1, description=f"At most {MAX_EVENTS}; more are refused with 413.")


class RecommendRequest(RecommendationRequest):
    """Whom to recommend to, and what this one list must respect."""

    model_config = wire_config({"user": "u558", "k": 5, "max_price": 200.0})

    user: WireId = Field(description="May be unknown: then the list is for a newcomer.")
    events: tuple[WireEvent, ...] = Field(
        default=(), max_length=200, description="What the user just did; changes this list at once, without training."
    )
    exclude: tuple[WireId, ...] = Field(
        default=(), max_length=1000, description="Item ids that must not be recommended."
    )


class AnswerBudgetReply(BaseModel):
    """How many wrong answers are allowed, and what held-out messages prove of it; nulls without a fitted router."""

    model_config = wire_config(
        {
            "budget": {
                "budget": 0.03,
                "confidence": 0.95,
                "threshold": 0.81,
                "num_messages": 540,
                "right_share": 0.44,
                "wrong_share": 0.017,
                "wrong_bound": 0.029,
            },
            "kinds": {"intent": 144, "article": 144, "known": 10, "nothing": 242},
            "known_questions": None,
        }
    )

    budget: AnswerBudget | None
    kinds: dict[str, int] = Field(default_factory=dict, description="Held-out messages of each kind.")
    known_questions: KnownQuestionsFit | None = Field(description="The threshold of known questions by itself.")


class ScenarioHealth(BaseModel):
    """Whether one use case can be asked."""

    model_config = wire_config({"available": True})

    available: bool
    detail: str | None = Field(default=None, description="What to do where it is not.")


class Health(BaseModel):
    """Whether the service is ready, and for what."""

    model_config = wire_config({"status": "ready", "scenarios": {"customer_service": {"available": True}}})

    status: Literal["starting", "ready", "unavailable"]
    scenarios: dict[str, ScenarioHealth] = Field(default_factory=dict)
    models: tuple[str, ...] = Field(default=(), description="Classifiers that can be asked.")
    problems: tuple[str, ...] = Field(default=(), description="What staff should look at, ready or not.")


class FieldProblem(BaseModel):
    """One field of a request that does not fit."""

    model_config = wire_config({"field": "body.text", "message": "Field required"})

    field: str
    message: str


class Problem(BaseModel):
    """A refusal, as in RFC 9457."""

    model_config = wire_config(
        {"type": "about:blank", "title": "Too busy", "status": 429, "detail": "Try again in a second."}
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[FieldProblem, ...] | None = Field(default=None, description="Only with status 422.")
