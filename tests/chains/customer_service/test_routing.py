"""The answer router: one scale for all answers, and a threshold whose wrong answers keep to a budget."""

import random

import numpy as np
import pytest

from chains.customer_service import RouteModel, fit_route_model
from chains.customer_service.router_fitting import error_curve
from chains.customer_service.routing import ErrorPoint, likeliest_routes
from llms.errors import ModelFolderError, OptionValueError, TrainingDataError
from llms.metrics import clopper_pearson_upper_bound
from tests.chains.customer_service.routers import judged, make_evidence, make_model, make_router


def _messages(count=60):
    """Messages of four kinds whose signs overlap a little."""
    rng = random.Random(0)
    signs = {"template": "in_scope", "answer": "relevance", "curated": "known"}
    messages = []
    for number in range(count):
        for kind, sign in signs.items():
            strong, weak = rng.uniform(0.45, 1.0), rng.uniform(0.05, 0.55)
            messages.append(judged(kind, number, **dict.fromkeys(signs.values(), 0.1) | {sign: strong}))
            messages.append(judged("none", f"{kind} {number}", **dict.fromkeys(signs.values(), 0.1) | {sign: weak}))
    return messages


def test_probabilities_of_all_outcomes_sum_to_one():
    features = np.stack([make_evidence(in_scope=0.7, relevance=0.4).features()] * 3)
    assert sum(make_model().predict(features).values()) == pytest.approx(np.ones(3))


@pytest.mark.parametrize(("signs", "route"), [({"in_scope": 0.9}, "template"), ({"relevance": 0.9}, "answer")])
def test_the_answer_most_probably_right_is_chosen(signs, route):
    choice = make_router().choose(make_evidence(**{"in_scope": 0.3, "relevance": 0.3} | signs))
    assert (choice.route, choice.accepted) == (route, True)


def test_an_answer_less_probable_than_the_threshold_is_chosen_but_not_accepted():
    choice = make_router(threshold=0.999).choose(make_evidence(in_scope=0.9, relevance=0.1))
    assert choice.route == "template"
    assert not choice.accepted


def test_an_answer_that_is_not_there_is_never_chosen():
    nothing = make_evidence()
    assert make_router({"answer": {}, "none": {}}).choose(nothing).route is None
    assert make_router({"curated": {}, "none": {}}).choose(make_evidence(known=1.0)).route == "curated"


def test_the_threshold_is_the_lowest_whose_bound_keeps_to_the_budget():
    model = make_model()
    budget = model.budget(0.03)
    wrong = {point.threshold: point.wrong for point in model.curve}
    assert clopper_pearson_upper_bound(wrong[budget.threshold], 1000) == budget.wrong_bound <= 0.03
    next_lower = max(threshold for threshold in wrong if threshold < budget.threshold)
    assert clopper_pearson_upper_bound(wrong[next_lower], 1000) > 0.03
    assert budget.is_proven
    assert model.budget(0.06).right_share > budget.right_share


def test_too_few_messages_prove_nothing_and_the_bound_says_so():
    curve = (ErrorPoint(threshold=0.9, right=5, wrong=0), ErrorPoint(threshold=0.8, right=6, wrong=1))
    budget = make_model(curve=curve, num_messages=10).budget(0.03)
    assert (budget.threshold, budget.wrong_share) == (0.9, 0)
    assert budget.wrong_bound > 0.2
    assert not budget.is_proven


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_budget_that_cannot_be_meant_is_refused(share):
    with pytest.raises(OptionValueError, match="between 0 and 1"):
        make_model().budget(share)


def test_the_bound_holds_for_messages_that_were_not_seen():
    messages = _messages()
    model = fit_route_model(messages[::2] + messages[1::4])
    budget = model.budget(0.05)
    unseen = messages[3::4]
    choices = likeliest_routes(model, [message.evidence for message in unseen])
    wrong = [
        probability >= budget.threshold and route != message.right
        for (route, probability), message in zip(choices, unseen, strict=True)
    ]
    assert np.mean(wrong) <= 0.1


def test_fitting_learns_which_sign_speaks_for_which_answer():
    model = fit_route_model(_messages())
    assert [route for route, _ in likeliest_routes(model, [make_evidence(in_scope=0.9, relevance=0.1, known=0.1)])] == [
        "template"
    ]
    assert model.kinds == {"template": 60, "answer": 60, "curated": 60, "none": 180}
    assert 0 <= model.metrics["calibration_error"] < 0.15


def test_one_kind_of_answer_is_enough():
    messages = [judged("answer", n, relevance=0.9) for n in range(6)]
    messages += [judged("none", n, relevance=0.2) for n in range(6)]
    model = fit_route_model(messages)
    assert model.has_learnt("answer")
    assert not model.has_learnt("template")


@pytest.mark.parametrize("kind", ["answer", "none"])
def test_messages_that_are_all_alike_teach_nothing(kind):
    with pytest.raises(TrainingDataError, match="some with one and some without"):
        fit_route_model([judged(kind, n, relevance=0.5) for n in range(9)])


def test_equal_probabilities_are_one_point_of_the_curve():
    choices = [("answer", 0.9), ("answer", 0.9), (None, 0.0), ("template", 0.5)]
    curve = error_curve(choices, ["answer", "none", "none", "template"])
    assert [(point.threshold, point.right, point.wrong) for point in curve] == [(0.9, 1, 1), (0.5, 2, 1)]


def test_a_model_is_kept_as_readable_json(tmp_path):
    model = fit_route_model(_messages(8))
    model.save(tmp_path / "router.json")
    assert RouteModel.load(tmp_path / "router.json") == model
    assert '"passage_relevance"' in (tmp_path / "router.json").read_text("utf-8")


@pytest.mark.parametrize("text", ["", "{}", '{"version": 9}', None])
def test_a_file_that_holds_no_router_is_named(tmp_path, text):
    path = tmp_path / "router.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelFolderError, match=r"router\.json is no answer router"):
        RouteModel.load(path)


def test_a_model_of_other_signs_is_refused(tmp_path):
    path = tmp_path / "router.json"
    make_model().save(path)
    path.write_text(path.read_text("utf-8").replace("passage_relevance", "passage_luck"), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="fitted on other signs"):
        RouteModel.load(path)
