"""Promotion of reviewed entries: train beside the model in use, compare, promote or leave it."""

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from apps.answer_router import ROUTER_NAME
from apps.errors import WorkspaceError
from apps.evaluate import evaluate_customer_service, service_questions
from apps.review_entries import Reviews
from apps.router_fitting import fit_answer_router
from apps.settings import Settings
from apps.training import classifier_options, export_encoders, labelled_rows, with_reviewed_rows
from apps.wiring import build_reviewed_service
from chains.customer_service import ServiceScores, evaluate_service
from llms import LocalClassifier
from llms.finetuning import finetune_classifier
from llms.finetuning.trainer import replace_folder
from llms.manifest import MANIFEST_NAME, load_manifest

_RIGHT = ("intents_answered", "questions_answered", "unanswerable_handed_over")
_WRONG = ("intents_wrong", "questions_wrong")


class PromotionReport(BaseModel):
    """Customer service before and after, on the same frozen messages."""

    model_config = ConfigDict(frozen=True)

    before: ServiceScores
    after: ServiceScores
    promoted: bool
    reason: str = Field(description="Why it was promoted or not.")
    num_entries: int = Field(description="Reviewed entries that the new version uses.")


def retrain_service(settings: Settings, *, show_progress: bool = False) -> PromotionReport:
    """Train with all rows and reviewed entries, measure on the test messages, and promote if nothing got worse.

    The model in use stays until the new one is promoted, and is kept for `roll_back_service`.

    Raises:
        WorkspaceError: if there is neither an entry that is not in use yet, nor another row than in the last training.
    """
    reviews = Reviews(settings.records_folder(settings.customer_service))
    entries = reviews.entries()
    labelled = labelled_rows(settings, "intent")
    in_use = reviews.in_use()
    if len(entries) == len(in_use) and with_reviewed_rows(labelled, in_use).sha256 == _trained_with(settings):
        msg = (
            "there is nothing new to learn from; review conversations first with: tunechain service review, or groups "
            "from logs with: tunechain service review-groups"
        )
        raise WorkspaceError(msg)
    before = evaluate_customer_service(settings)
    candidate = settings.models_folder / "intent.candidate"
    rows = with_reviewed_rows(labelled, entries)
    finetune_classifier(rows, candidate, classifier_options(settings, "intent", show_progress=show_progress))
    classifier = LocalClassifier(candidate, device=settings.models.device)
    router = settings.models_folder / "router.candidate.json"
    fit_answer_router(settings, router, classifier=classifier, entries=entries)
    chain = build_reviewed_service(settings, classifier=classifier, entries=entries, router_path=router)
    after = evaluate_service(chain, service_questions(settings))
    worse = _what_got_worse(before, after)
    if worse is None:
        _copy(settings.models_folder / "intent", _previous(settings))
        _put_back(settings.models_folder / ROUTER_NAME, _previous_router(settings))
        _copy(candidate, settings.models_folder / "intent")
        router.replace(settings.models_folder / ROUTER_NAME)
        reviews.use_all()
        export_encoders(settings)
    shutil.rmtree(candidate)
    router.unlink(missing_ok=True)
    reason = "no share got worse" if worse is None else worse
    return PromotionReport(before=before, after=after, promoted=worse is None, reason=reason, num_entries=len(entries))


def roll_back_service(settings: Settings) -> None:
    """Put the model and the reviewed entries back that were in use before the last promotion.

    Raises:
        WorkspaceError: if there is no earlier version.
    """
    previous = _previous(settings)
    if not (previous / MANIFEST_NAME).exists():
        msg = f"there is no earlier model in {previous}; one is kept when `tunechain service retrain` promotes"
        raise WorkspaceError(msg)
    Reviews(settings.records_folder(settings.customer_service)).go_back()
    _copy(previous, settings.models_folder / "intent")
    _put_back(_previous_router(settings), settings.models_folder / ROUTER_NAME)
    shutil.rmtree(previous)


def _trained_with(settings: Settings) -> str:
    """Return the sum of the rows that the intent model was trained with; "" where that is not known."""
    folder = settings.models_folder / "intent"
    return load_manifest(folder).data_sha256 if (folder / MANIFEST_NAME).exists() else ""


def _previous(settings: Settings) -> Path:
    return settings.models_folder / "intent.previous"


def _previous_router(settings: Settings) -> Path:
    return settings.models_folder / "router.previous.json"


def _put_back(source: Path, target: Path) -> None:
    """Move a router to where another lies; a workspace of an earlier version has none, and then there is none."""
    target.unlink(missing_ok=True)
    if source.exists():
        source.replace(target)


def _copy(source: Path, target: Path) -> None:
    with replace_folder(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True)


def _what_got_worse(before: ServiceScores, after: ServiceScores) -> str | None:
    """Return the first share that got worse, in words, or None."""
    for names, sign in ((_RIGHT, 1.0), (_WRONG, -1.0)):
        for name in names:
            old, new = getattr(before, name), getattr(after, name)
            if old is not None and sign * (new - old) < 0:
                return f"{name.replace('_', ' ')} went from {old:.3f} to {new:.3f}"
    return None
