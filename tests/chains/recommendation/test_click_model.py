import contextlib
import json
import multiprocessing
import os
import resource
from datetime import timedelta

import numpy as np
import pytest

from chains.recommendation import InterestModel, InterestOptions, embed_catalogue, train_interest_model
from chains.recommendation.features import FEATURE_NAMES, FeatureTable
from chains.recommendation.training import build_examples
from chains.recommendation.user_profile import build_profile
from llms.errors import ModelFolderError, TrainingDataError
from retrievers import ItemCatalogue
from retrievers.interactions import Interactions
from tests.chains.recommendation.worlds import (
    EMBEDDINGS,
    OPTIONS,
    START,
    make_catalogue,
    make_event,
    make_interactions,
    train_model,
)

CATALOGUE = make_catalogue()
VECTORS = embed_catalogue(CATALOGUE, EMBEDDINGS)


def make_table(interactions):
    return FeatureTable(catalogue=CATALOGUE, vectors=VECTORS, interactions=interactions, options=OPTIONS.features)


def test_training_is_repeatable(interest):
    assert train_model() == interest


def test_the_model_tells_groups_apart_and_is_calibrated(interest):
    assert interest.metrics["auc"] > 0.8
    assert interest.metrics["calibration_error"] < 0.1
    assert interest.metrics["positive_share"] == pytest.approx(1 / 11, abs=0.02)


def test_probability_is_higher_for_the_users_group(interest):
    interactions = make_interactions()
    profile = build_profile("u0", interactions.history("u0"), interactions.weights, interactions.now)
    table = make_table(interactions)
    probabilities = interest.predict(table.compute(table.score_user(profile)))
    own = np.array([item.startswith("garden") for item in CATALOGUE])
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert probabilities[own].mean() > 3 * probabilities[~own].mean()


def test_weighed_features_add_up_to_the_log_odds(interest):
    features = np.random.default_rng(0).standard_normal((5, len(FEATURE_NAMES)))
    log_odds = interest.weigh(features).sum(axis=1) + interest.intercept
    np.testing.assert_allclose(interest.predict(features), 1 / (1 + np.exp(-log_odds)))


def test_a_feature_that_hardly_varied_in_training_is_not_magnified():
    interactions = make_interactions()
    old = interactions.now.date() - timedelta(days=15 * OPTIONS.features.newness_days)
    items = [
        item.model_copy(update={"created": old - timedelta(days=at)}) for at, item in enumerate(CATALOGUE.values())
    ]
    model = train_interest_model(
        catalogue=ItemCatalogue(items), vectors=VECTORS, interactions=interactions, options=OPTIONS
    )
    column = FEATURE_NAMES.index("newness")
    assert 0 < model.means[column] < 1e-5
    features = np.zeros((2, len(FEATURE_NAMES)))
    features[1, column] = 1.0  # the first new item
    assert abs(np.subtract(*model.predict_log_odds(features))) < 0.1


def test_a_model_of_an_earlier_version_that_divides_by_a_rounding_error_ignores_that_feature(interest):
    column = FEATURE_NAMES.index("factors")
    scales = [1e-6 if at == column else scale for at, scale in enumerate(interest.scales)]
    model = interest.model_copy(update={"scales": tuple(scales)})
    features = np.zeros((2, len(FEATURE_NAMES)))
    features[1, column] = 1e-5
    assert model.predict_log_odds(features)[0] == model.predict_log_odds(features)[1]


def test_extreme_features_give_a_probability_without_overflow(interest):
    extreme = interest.predict(np.full((1, len(FEATURE_NAMES)), 1e6))
    assert 0 <= extreme[0] <= 1


def test_examples_take_labels_from_after_and_features_from_before():
    before, after = make_interactions().split_by_time(0.6)
    examples = build_examples(make_table(before), before, after, OPTIONS)
    start, table = 0, make_table(before)
    for user in dict.fromkeys(examples.users.tolist()):
        size = int((examples.users == user).sum())
        rows = slice(start, start + size)
        profile = build_profile(user, before.history(user), before.weights, before.now)
        wanted = {e.item for e in after.history(user) if e.event != "view"} - set(profile.recent)
        assert examples.labels[rows].sum() == len(wanted)
        positions = [CATALOGUE.positions[item] for item in wanted]
        expected = table.compute(table.score_user(profile), np.array(positions))
        found = examples.features[rows][examples.labels[rows]]
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-5)
        start += size


def test_negatives_are_items_the_user_never_touched():
    before = Interactions([make_event("u", "garden0")], items=list(CATALOGUE))
    after = Interactions(
        [make_event("u", "garden1", day=1), make_event("u", "music1", "view", 1)], items=list(CATALOGUE)
    )
    options = InterestOptions(num_negatives=999, features=OPTIONS.features)
    examples = build_examples(make_table(before), before, after, options)
    assert examples.labels.sum() == 1
    assert len(examples.labels) == 1 + len(CATALOGUE) - 3


def test_an_item_made_after_the_cut_is_no_negative():
    items = [item.model_copy(update={"created": None}) for item in CATALOGUE.values()]
    late = items[-1].model_copy(update={"created": (START + timedelta(days=30)).date()})
    catalogue = ItemCatalogue([*items[:-1], late])
    before = Interactions([make_event("u", "garden0")], items=list(catalogue))
    after = Interactions([make_event("u", "garden1", day=1)], items=list(catalogue))
    options = InterestOptions(num_negatives=999, features=OPTIONS.features)
    table = FeatureTable(catalogue=catalogue, vectors=VECTORS, interactions=before, options=OPTIONS.features)
    examples = build_examples(table, before, after, options)
    assert len(examples.labels) == len(catalogue) - 2  # without the one that was used and the one of later


def test_too_few_positives_are_refused():
    events = [make_event("u", "garden0", day=day) for day in range(10)]
    with pytest.raises(TrainingDataError, match="0 of 0 rows"):
        train_interest_model(
            catalogue=CATALOGUE,
            vectors=VECTORS,
            interactions=Interactions(events, items=list(CATALOGUE)),
            options=OPTIONS,
        )


@pytest.mark.parametrize(
    "wrong", [{"cut_shares": ()}, {"cut_shares": (1.0,)}, {"label_share": 0}, {"num_negatives": 0}]
)
def test_training_options_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        InterestOptions(**wrong)


def test_a_saved_model_is_the_same_model(interest, tmp_path):
    interest.save(tmp_path / "interest.json")
    assert InterestModel.load(tmp_path / "interest.json") == interest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_names": [*FEATURE_NAMES[:-1], "height"]}, "height"),
        ({"feature_names": list(FEATURE_NAMES[::-1])}, "another order"),
        ({"feature_names": list(FEATURE_NAMES[:-1])}, "history_size"),
        ({"version": 2}, "version"),
        ({"scales": [0.0] * len(FEATURE_NAMES)}, "scale must be positive"),
        ({"means": [0.0]}, "numbers each"),
        ({"intercept": float("nan")}, "finite"),
        ({"surprise": 1}, "surprise"),
        ({"feature_options": {"ridge": 0}}, "ridge must be positive"),
        ({"feature_options": {"rigde": 1}}, "rigde"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(interest, tmp_path, change, message):
    path = tmp_path / "interest.json"
    path.write_text(json.dumps(json.loads(interest.model_dump_json()) | change))
    with pytest.raises(ModelFolderError, match=message):
        InterestModel.load(path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"{"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "interest.json").write_bytes(content)
    with pytest.raises(ModelFolderError, match="no interest model"):
        InterestModel.load(tmp_path / "interest.json")
    with pytest.raises(ModelFolderError, match="missing"):
        InterestModel.load(tmp_path / "missing.json")


def _save_without_room(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # Python ignores SIGXFSZ, so that writing fails
    with contextlib.suppress(OSError):
        make_plain_model(intercept=2.0).save(folder / "interest.json")
        os._exit(1)


def make_plain_model(intercept):
    size = len(FEATURE_NAMES)
    return InterestModel(means=(0.0,) * size, scales=(1.0,) * size, coefficients=(0.1,) * size, intercept=intercept)


def test_a_full_disk_leaves_the_model_of_before(tmp_path):
    make_plain_model(intercept=1.0).save(tmp_path / "interest.json")
    process = multiprocessing.get_context("spawn").Process(target=_save_without_room, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert InterestModel.load(tmp_path / "interest.json").intercept == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["interest.json"]
