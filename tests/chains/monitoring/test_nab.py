"""Scores of the Numenta Anomaly Benchmark, on examples worked by hand from its published rules."""

import math

import numpy as np
import pytest

from tests.chains.monitoring import nab

NUM_POINTS, WINDOW = 2_000, (1_000, 1_099)  # the probation ends at 300


def flags(*places):
    detected = np.zeros(NUM_POINTS, dtype=bool)
    detected[list(places)] = True
    return detected


def worth(place):
    """The sigmoid of the paper, written down a second time."""
    return 2 / (1 + math.exp(5 * place)) - 1


def score(*places, windows=(WINDOW,)):
    return nab.score_series(flags(*places), windows)


def test_nothing_detected_is_0_and_all_at_once_is_100():
    assert nab.normalise(score(), 1) == 0.0
    assert nab.normalise(score(1_000), 1) == pytest.approx(100.0)
    assert nab.normalise(score(1_000, 1_500, windows=[WINDOW, (1_500, 1_599)]), 2) == pytest.approx(100.0)


@pytest.mark.parametrize(("at", "place"), [(1_000, -1.0), (1_050, -0.5), (1_099, -0.01)])
def test_a_detection_counts_more_the_earlier_it_comes(at, place):
    assert score(at) == pytest.approx(worth(place) / worth(-1.0))


def test_of_a_window_the_best_detection_counts_once():
    assert score(1_010, 1_020, 1_030) == score(1_010)


def test_false_detections_cost_more_the_further_they_lie_behind_a_window():
    near, far, before = score(1_110) - score(), score(1_900) - score(), score(500) - score()
    assert near == pytest.approx(0.11 * worth(11 / 99))
    assert (far, before) == (pytest.approx(-0.11), pytest.approx(-0.11))


def test_each_false_detection_costs():
    assert score(500, 501, 502) - score() == pytest.approx(-0.33)


def test_the_probation_counts_for_nothing():
    assert score(0, 299) == score()
    assert score(300) < score()
    assert score(250, windows=[(200, 280)]) == 0.0  # a window that ends in it is none


def test_probation_has_a_limit():
    assert nab.score_series(np.arange(100_000) == 750, []) == -0.11
    assert nab.score_series(np.arange(100_000) == 749, []) == 0.0


def test_settings_are_chosen_for_all_series_or_for_the_others():
    table = np.array([[1.0, 1.0, -1.0], [0.5, 0.5, 0.9], [-1.0, -1.0, 1.0]])
    best, common = nab.score_common(table, 3)
    assert (best, common) == (1, pytest.approx(100 * (1.9 + 3) / 6))
    # the first two series choose by the others the second and the third row alike; the last one the first row
    others = [0.5 + 0.9, 0.5 + 0.9, 1.0 + 1.0]
    assert others == [max(table[:, [1, 2]].sum(1)), max(table[:, [0, 2]].sum(1)), max(table[:, [0, 1]].sum(1))]
    assert nab.score_left_out(table, 3) == pytest.approx(100 * (0.5 + 0.5 - 1.0 + 3) / 6)


def test_thresholds_give_a_row_each():
    series = [nab.Series("a", np.zeros(NUM_POINTS), np.arange(NUM_POINTS), [WINDOW])]
    table = nab.score_thresholds(series, lambda _, limit: flags(1_000) if limit < 1 else flags(), [0.5, 2.0])
    assert table.tolist() == [[pytest.approx(1.0)], [-1.0]]
