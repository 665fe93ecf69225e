"""Retraining of recommendation: a new generation beside the one in use, compared on the last week, promoted or not."""

import functools
import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from apps.errors import GenerationError
from apps.generations import Generation, Generations, adapt_generation
from apps.learnt import load_or_learn
from apps.settings import Settings
from apps.training import fit_interest
from apps.wiring import open_generations, read_behaviour
from apps.workspace_models import open_item_embeddings
from chains.errors import ChainInputError
from chains.recommendation import (
    EvaluationOptions,
    InterestModel,
    ItemModels,
    RankingOptions,
    RecommendationOptions,
    RecommendationReport,
    build_recommendation_chain,
    compare_reports,
    embed_catalogue,
    evaluate_recommender,
    learn_item_models,
    rank_with_chain,
)
from llms import LocalEmbeddings
from llms.errors import ModelFolderError, TrainingDataError
from retrievers import Interactions, ItemCatalogue

MEASURED_DAYS = 7.0
MIN_USERS = 10  # measured on fewer, a difference says nothing
_PLAN_NAME = "plan"
_NOTHING_NEW = "no events came since the generation in use was learnt"
_VERSION = 2  # raised when something is learnt in another way: then nothing of before is gone on with

_log = logging.getLogger(__name__)

OnStep = Callable[[str], None]


class RetrainReport(BaseModel):
    """What came out of a retraining."""

    model_config = ConfigDict(frozen=True)

    generation: str | None = Field(description="The new one, if it was promoted.")
    promoted: bool
    reason: str
    ndcg_before: float | None = Field(default=None, description="Of the generation in use, on the last week.")
    ndcg_after: float | None = Field(default=None, description="Of the new way, learnt from before that week.")
    difference_low: float | None = Field(default=None, description="After minus before, 95 % interval by user.")
    difference_high: float | None = None
    num_users: int = Field(default=0, description="Who could be measured.")


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What one retraining works with."""

    settings: Settings
    catalogue: ItemCatalogue
    interactions: Interactions
    embeddings: LocalEmbeddings
    work: Path  # of this plan: what is done is not done again after a kill
    fingerprint: str


def retrain_recommendation(settings: Settings, *, on_step: OnStep = lambda _step: None) -> RetrainReport:
    """Learn from all events, compare with the generation in use on the last week, and promote unless it is worse.

    Cut off, it goes on where it was, as long as items, events and settings are the same. The generation in use stays
    until the new one is promoted, and is kept for `roll_back_recommendation`.

    Raises:
        WorkspaceError: if another retraining is at work.
        TrainingDataError: if there are too few events.
        OSError: if something cannot be written; the generation in use stays.
    """
    generations = open_generations(settings)
    with generations.held():
        on_step("reading events")
        job = _start(settings, generations)
        on_step("measuring on the last week")
        try:
            before = generations.open_current()
        except GenerationError as error:
            _log.warning("%s", error)
            before = None
        comparison = _compare(job, before)
        is_worse = comparison.difference_high is not None and comparison.difference_high < 0
        if is_worse or comparison.reason == _NOTHING_NEW:  # else it would push the generation before out
            shutil.rmtree(job.work, ignore_errors=True)
            return comparison
        on_step("learning from all events")
        interest = _learn_interest(job, "interest", job.interactions)
        models = _learn_models(job, "item_models", job.interactions, interest)
        on_step("putting it into use")
        name = generations.write(
            item_models=models.arrays(),
            interest=interest,
            texts=[(item.id, item.text) for item in job.catalogue.values()],
            learnt_until=job.interactions.now,
            num_events=len(job.interactions),
            encoder=job.embeddings.fingerprint,
            ndcg=comparison.ndcg_after,
        )
        generations.promote(name)
        shutil.rmtree(job.work, ignore_errors=True)
    return comparison.model_copy(update={"promoted": True, "generation": name})


def roll_back_recommendation(settings: Settings) -> str:
    """Put the generation into use again that was before the last promotion, and return its name.

    Raises:
        WorkspaceError: if there is none.
        GenerationError: if it is damaged; then the one in use stays.
    """
    generations = open_generations(settings)
    with generations.held():
        return generations.roll_back()


def _start(settings: Settings, generations: Generations) -> _Job:
    """Return what to work with, and go on with what a training of the same plan had done."""
    catalogue, interactions = read_behaviour(settings)
    if not interactions.events:
        msg = "there are no events to learn from; put them into events.csv, or send them to /v1/events"
        raise TrainingDataError(msg)
    embeddings = open_item_embeddings(settings)
    plan = {
        "version": _VERSION,
        "items": [item.model_dump(mode="json") for item in catalogue.values()],
        "events": _digest_events(interactions),
        "weights": asdict(interactions.weights),
        "encoder": embeddings.fingerprint,
        "seed": settings.finetuning.seed,
        "in_use": generations.names()[:1],
    }
    fingerprint = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    work = generations.work_folder
    path = work / _PLAN_NAME
    if not path.exists() or path.read_text(encoding="utf-8") != fingerprint:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        path.write_text(fingerprint, encoding="utf-8")
    return _Job(
        settings=settings,
        catalogue=catalogue,
        interactions=interactions,
        embeddings=embeddings,
        work=work,
        fingerprint=fingerprint,
    )


def _digest_events(interactions: Interactions) -> str:
    digest = hashlib.sha256()
    for event in interactions.events:
        digest.update(f"{event.user}\0{event.item}\0{event.event}\0{event.time}\0{event.opinion}\n".encode())
    return digest.hexdigest()


def _compare(job: _Job, before: Generation | None) -> RetrainReport:
    """Return how the new way and the generation in use foresee what neither of them has seen."""
    if before is None:
        return RetrainReport(generation=None, promoted=False, reason="there was no generation to compare with")
    end = job.interactions.now
    start = max(end - timedelta(days=MEASURED_DAYS), before.manifest.learnt_until + timedelta(microseconds=1))
    early, late = _split(job.interactions, start)
    if not late.events:
        return RetrainReport(generation=None, promoted=False, reason=_NOTHING_NEW)
    try:
        interest = _learn_interest(job, "trial_interest", early)
        models = _learn_models(job, "trial_item_models", early, interest)
        after = _measure(job, interest, models, early, late)
        adapted = adapt_generation(before, job.catalogue, job.embeddings)
        compared = _measure(job, before.interest, adapted, early, late)
    except (TrainingDataError, ChainInputError) as error:
        reason = f"nothing could be measured: {error}"
        return RetrainReport(generation=None, promoted=False, reason=reason)
    if after.num_users < MIN_USERS:
        reason = f"only {after.num_users} people did anything since that could be foreseen, too few to compare"
        return RetrainReport(generation=None, promoted=False, reason=reason, num_users=after.num_users)
    _, low, high = compare_reports(after, compared)
    return RetrainReport(
        generation=None,
        promoted=False,
        reason="worse on the last week" if high < 0 else "not worse on the last week",
        ndcg_before=compared.ndcg,
        ndcg_after=after.ndcg,
        difference_low=low,
        difference_high=high,
        num_users=after.num_users,
    )


def _split(interactions: Interactions, moment: datetime) -> tuple[Interactions, Interactions]:
    make = functools.partial(Interactions, weights=interactions.weights, items=interactions.items)
    early = [event for event in interactions.events if event.time < moment]
    return make(early), make(interactions.events[len(early) :])


def _measure(
    job: _Job, interest: InterestModel, models: ItemModels, early: Interactions, late: Interactions
) -> RecommendationReport:
    chain = build_recommendation_chain(
        catalogue=job.catalogue,
        embeddings=job.embeddings,
        interactions=early,
        interest=interest,
        item_models=models,
        clock=lambda: early.now,
        options=RecommendationOptions(
            ranking=RankingOptions(diversity=job.settings.recommendation.diversity), look_again_days=math.inf
        ),
    )
    options = EvaluationOptions(num_resamples=200)
    return evaluate_recommender(rank_with_chain(chain), train=early, test=late, vectors=models.vectors, options=options)


def _learn_interest(job: _Job, name: str, interactions: Interactions) -> InterestModel:
    path = job.work / f"{name}.json"
    try:
        return InterestModel.load(path)
    except ModelFolderError:
        vectors = embed_catalogue(job.catalogue, job.embeddings)
        model = fit_interest(job.settings, catalogue=job.catalogue, vectors=vectors, interactions=interactions)
        model.save(path)
        return model


def _learn_models(job: _Job, name: str, interactions: Interactions, interest: InterestModel) -> ItemModels:
    def learn() -> Mapping[str, NDArray[Any]]:
        return learn_item_models(
            catalogue=job.catalogue,
            embeddings=job.embeddings,
            interactions=interactions,
            options=interest.feature_options,
        ).arrays()

    return ItemModels(**load_or_learn(job.work / f"{name}.safetensors", {"plan": job.fingerprint}, learn))
