"""What is learnt once and kept: equal, renewed when its origin changes, and never needed."""

import numpy as np
import pytest

from apps.learnt import file_digest, load_or_learn

MADE = {"vectors": np.arange(6, dtype=np.float32).reshape(2, 3).T, "min_score": np.array([1 / 3])}


class Learner:
    """Counts how often it learns."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return MADE


def assert_equal(arrays):
    assert arrays.keys() == MADE.keys()
    for name, array in MADE.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_it_is_learnt_once_and_the_same_to_the_last_bit(tmp_path):
    learn, path = Learner(), tmp_path / "kept.safetensors"
    for _ in range(3):
        assert_equal(load_or_learn(path, {"budget": 0.02}, learn))
    assert learn.count == 1
    assert [file.name for file in tmp_path.iterdir()] == ["kept.safetensors"]


def test_another_origin_is_learnt_anew(tmp_path):
    learn, path = Learner(), tmp_path / "kept.safetensors"
    for budget in (0.02, 0.01, 0.01):
        load_or_learn(path, {"budget": budget}, learn)
    assert learn.count == 2


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 100])
def test_a_damaged_file_is_as_good_as_none(tmp_path, content):
    learn, path = Learner(), tmp_path / "kept.safetensors"
    path.write_bytes(content)
    assert_equal(load_or_learn(path, {}, learn))
    assert_equal(load_or_learn(path, {}, learn))
    assert learn.count == 1


def test_where_nothing_can_be_written_it_is_learnt_each_time(tmp_path):
    learn, path = Learner(), tmp_path / "none" / "kept.safetensors"
    assert_equal(load_or_learn(path, {}, learn))
    assert_equal(load_or_learn(path, {}, learn))
    assert learn.count == 2


def test_a_digest_tells_files_apart_and_takes_one_that_is_not_there(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("b")
    assert len({file_digest(one), file_digest(other), file_digest(tmp_path / "none")}) == 3
