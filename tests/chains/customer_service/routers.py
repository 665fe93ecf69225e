"""Answer routers with weights written by hand, and messages for them."""

from langchain_core.documents import Document

from chains.customer_service import (
    AnswerRouter,
    IntentExamples,
    JudgedMessage,
    KnownMatch,
    KnownQuestion,
    RouteModel,
)
from chains.customer_service.routing import FEATURE_NAMES, ErrorPoint, Evidence
from llms import Classification
from llms.fakes import HashedEmbeddings

EXAMPLES = IntentExamples(["are you open on monday", "hello"], ["hours", "greet"], embeddings=HashedEmbeddings())
CURVE = tuple(ErrorPoint(threshold=1 - n / 1000, right=10 * n, wrong=n) for n in range(91))


def make_model(weights=None, *, curve=CURVE, num_messages=1000):
    """A route model; `weights` maps an outcome to the weights of some features, all others are 0."""
    weights = (
        {"template": {"in_scope": 9}, "answer": {"passage_relevance": 9}, "none": {}} if weights is None else weights
    )
    return RouteModel(
        means=(0.0,) * len(FEATURE_NAMES),
        scales=(1.0,) * len(FEATURE_NAMES),
        weights={outcome: tuple(float(own.get(name, 0)) for name in FEATURE_NAMES) for outcome, own in weights.items()},
        intercepts={outcome: 4.0 if outcome == "none" else 0.0 for outcome in weights},
        num_messages=num_messages,
        curve=curve,
    )


def make_router(weights=None, *, threshold=0.5):
    """A router that answers from this probability on."""
    model = make_model(weights, curve=(ErrorPoint(threshold=threshold, right=1000, wrong=0),))
    return AnswerRouter(model, model.budget(0.05), EXAMPLES)


def make_evidence(*, in_scope=0.0, relevance=0.0, known=None, source="a.md"):
    """What the parts say of a message: how much it is like the intents, an article and a known question."""
    match = None
    if known is not None:
        question = KnownQuestion(id="gift", question="Do gift cards expire?", answer="After five years.")
        match = KnownMatch(question, known, known / 2, accepted=True)
    passages = [Document("Blue.", metadata={"source": source, "relevance": relevance})] if relevance else []
    guess = Classification(label="hours", probability=0.9, probabilities={"hours": 0.9}, in_scope=in_scope)
    return Evidence(guess=guess, match=match, passages=passages, has_template=True)


def judged(kind, number, **evidence):
    """A held-out message whose right answer is of the kind "template", "curated", "answer" or "none"."""
    return JudgedMessage(evidence=make_evidence(**evidence), right=kind, kind=kind, group=f"{kind} {number}")
