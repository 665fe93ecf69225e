"""Fitted probabilities of choices: sure only as often as right, never worse on rows of their kind, kept as JSON."""

import json

import numpy as np
import pytest

from llms import FittedChoices, LocalChatModel
from llms.chat.fitted_choices import fit_choices
from llms.errors import ConstraintError, DataFileError, OptionValueError

CHOICES = ("refund", "delivery", "退货")


def rows(num_rows, *, sharpness, bias=(0.0, 0.0, 0.0), seed=0):
    """Return probabilities that are too sure by a factor and lean to some choices, and labels of the true ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(num_rows, 3)) * 1.5
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = [CHOICES[random.choice(3, p=row)] for row in true]
    told = np.exp(sharpness * logits + np.asarray(bias))
    told /= told.sum(axis=1, keepdims=True)
    return [dict(zip(CHOICES, row, strict=True)) for row in told.tolist()], labels


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_a_model_that_is_too_sure_or_not_sure_enough_is_calibrated(sharpness):
    fitted = fit_choices(*rows(600, sharpness=sharpness))
    assert fitted.scale == pytest.approx(1 / sharpness, rel=0.25)
    assert fitted.report.calibration_error < 0.06
    assert fitted.report.calibration_error <= fitted.report.calibration_error_before + 0.02
    assert abs(fitted.report.accuracy - fitted.report.accuracy_before) < 0.03


def test_a_leaning_to_some_choices_is_taken_back():
    fitted = fit_choices(*rows(600, sharpness=1.0, bias=(3.0, 0.0, 0.0)))
    assert fitted.report.accuracy > fitted.report.accuracy_before + 0.1
    assert fitted.biases[0] < min(fitted.biases[1:]) - 1


def test_few_rows_leave_a_good_model_as_it_is():
    fitted = fit_choices(*rows(20, sharpness=1.0))
    assert 0.3 < fitted.scale < 3
    assert fitted.report.num_rows == 20


def test_it_is_applied_by_name_whatever_the_order_and_sums_to_one():
    fitted = FittedChoices(CHOICES, 0.5, (0.0, 1.0, -1.0), fit_choices(*rows(10, sharpness=1.0)).report)
    one = fitted.apply({"refund": 0.2, "delivery": 0.3, "退货": 0.5})
    other = fitted.apply({"退货": 0.5, "refund": 0.2, "delivery": 0.3})
    assert one == pytest.approx(other)
    assert sum(one.values()) == pytest.approx(1)
    assert list(other) == ["退货", "refund", "delivery"]
    with pytest.raises(OptionValueError, match="fit again"):
        fitted.apply({"refund": 1.0})
    assert fitted.apply({"refund": 0.0, "delivery": 0.0, "退货": 1.0})["退货"] > 0.9


def test_it_is_saved_and_loaded(tmp_path):
    fitted = fit_choices(*rows(40, sharpness=2.0))
    fitted.save(tmp_path / "fit.json")
    loaded = FittedChoices.load(tmp_path / "fit.json")
    assert (loaded, loaded.report) == (fitted, fitted.report)
    assert "退货" in (tmp_path / "fit.json").read_text("utf-8")


@pytest.mark.parametrize("change", [{"format": 2}, {"biases": [1.0]}, {"scale": None}, {"report": {}}, {"choices": []}])
def test_another_file_is_refused_with_the_reason(tmp_path, change):
    path = tmp_path / "fit.json"
    fit_choices(*rows(40, sharpness=2.0)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(DataFileError, match="holds no fit of choices"):
        FittedChoices.load(path)
    with pytest.raises(DataFileError, match="no fit of choices"):
        FittedChoices.load(tmp_path / "none.json")


def test_rows_that_make_no_fit_are_refused():
    scores, labels = rows(10, sharpness=1.0)
    for bad in (([], []), (scores[:3], labels[:3]), (scores, labels[:9])):
        with pytest.raises(OptionValueError, match="as many rows as folds"):
            fit_choices(*bad)
    with pytest.raises(ConstraintError, match="'other' is none of the choices"):
        fit_choices(scores, [*labels[:9], "other"])
    with pytest.raises(ConstraintError, match="different choices"):
        fit_choices([*scores[:9], {"refund": 1.0}], labels)


def test_a_chat_model_fits_and_uses_its_own_probabilities(chat_folder):
    model = LocalChatModel(model=str(chat_folder), engine="torch", device="cpu")
    asked = [(f"question {number}", "yes" if number % 3 else "no") for number in range(12)]
    fitted = model.fit_choices(asked, ["yes", "no"], num_folds=3)
    raw, corrected = (model.score_choices("question 1", ["yes", "no"], fitted=one) for one in (None, fitted))
    assert corrected == pytest.approx(fitted.apply(raw))
    assert fitted.report.num_rows == 12
    with pytest.raises(ConstraintError, match="'maybe' is none of the 2 choices"):
        model.fit_choices([("a", "maybe")], ["yes", "no"])


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -0.1, "x", None])
def test_what_is_no_probability_is_refused(odd):
    rows, labels = [{"yes": 0.6, "no": 0.4}] * 6, ["yes", "no"] * 3
    with pytest.raises(OptionValueError, match="probabilities"):
        fit_choices([*rows[1:], {"yes": odd, "no": 0.4}], labels)
    with pytest.raises(OptionValueError, match="probabilities"):
        fit_choices(rows, labels).apply({"yes": odd, "no": 0.4})


def test_labels_of_several_kinds_are_refused_by_name():
    with pytest.raises(ConstraintError, match="label 1 "):
        fit_choices([{"yes": 0.6, "no": 0.4}] * 5, [1, "x", None, "yes", "no"])


@pytest.mark.parametrize(
    "change", [{"choices": ["yes", "yes"]}, {"scale": -1}, {"scale": "inf"}, {"biases": [0, "1e400"]}]
)
def test_a_fit_that_makes_no_probabilities_is_not_loaded(tmp_path, change):
    path = tmp_path / "fit.json"
    fit_choices([{"yes": 0.6, "no": 0.4}] * 6, ["yes", "no"] * 3).save(path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(DataFileError):
        FittedChoices.load(path)
