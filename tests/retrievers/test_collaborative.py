from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from llms.errors import ModelFolderError, TrainingDataError
from retrievers.collaborative import FactorRecommender, ItemItemRecommender, PopularityRecommender, Recommender
from retrievers.interactions import Event, EventWeights, Interactions
from retrievers.neighbours import NeighbourRecommender

START = datetime(2026, 1, 1, tzinfo=UTC)
EVEN = EventWeights(view=1, click=1, comment=1, share=1, buy=1, half_life_days=1e9)


def make_event(user: str, item: str, day: float = 0.0) -> Event:
    return Event(user=user, item=item, event="click", time=START + timedelta(days=day))


def make_checkerboard(num_users: int = 20, num_items: int = 10) -> Interactions:
    """Even users have even items, odd users odd ones; user u lacks the item u % num_items of their colour."""
    return Interactions(
        [
            make_event(f"u{user}", f"i{item}")
            for user in range(num_users)
            for item in range(num_items)
            if item % 2 == user % 2 and item != user % num_items
        ],
        EVEN,
        items=[f"i{item}" for item in range(num_items)],
    )


class RecommenderContract:
    """Subclasses provide `recommender`, trained on the checkerboard."""

    is_personal = True

    def test_gives_one_finite_score_per_item(self, recommender: Recommender):
        scores = recommender.score_items({"i0": 1.0})
        assert scores.shape == (len(recommender.items),)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_an_empty_or_unknown_history_gives_finite_scores(self, recommender: Recommender):
        np.testing.assert_array_equal(recommender.score_items({}), recommender.score_items({"unseen": 1.0}))

    def test_scoring_changes_nothing(self, recommender: Recommender):
        first = recommender.score_items({"i0": 1.0})
        expected = first.copy()
        first += 100
        np.testing.assert_array_equal(recommender.score_items({"i0": 1.0}), expected)

    def test_the_missing_item_of_the_colour_comes_first(self, recommender: Recommender):
        if not self.is_personal:
            pytest.skip("the same for everybody")
        board = make_checkerboard()
        for user in board.users:
            history = {event.item: 1.0 for event in board.history(user)}
            scores = {
                item: score
                for item, score in zip(recommender.items, recommender.score_items(history), strict=True)
                if item not in history
            }
            assert max(scores, key=scores.__getitem__) == f"i{int(user[1:]) % 10}"


class ItemItemContract(RecommenderContract):
    """What both item-item models do besides, so that lists can be made with either."""

    def test_many_histories_score_as_one_by_one_whoever_else_is_there(self, recommender):
        rng = np.random.default_rng(0)
        strengths = csr_matrix(rng.random((6, 10)) * (rng.random((6, 10)) < 0.4), dtype=np.float32)
        together = recommender.score_many(strengths)
        assert together.dtype == np.float32
        for row in range(6):
            np.testing.assert_array_equal(recommender.score_many(strengths[row])[0], together[row])
            history = {f"i{item}": strengths[row, item] for item in strengths[row].indices}
            np.testing.assert_allclose(recommender.score_items(history), together[row], atol=1e-6)

    def test_what_items_add_sums_up_to_the_score(self, recommender):
        sources = [0, 3, 4]
        scores = recommender.score_items({f"i{source}": 1.0 for source in sources})
        for row in range(10):
            assert recommender.weights_to(row, sources).sum() == pytest.approx(scores[row], abs=1e-6)
        assert recommender.weights_to(1, []).shape == (0,)

    def test_the_nearest_items_are_those_that_speak_most_for_an_item(self, recommender):
        neighbours, weights = recommender.nearest(3)
        assert neighbours.shape == weights.shape == (10, 3)
        for row in range(10):
            most = np.sort(recommender.weights_to(row, range(10)).clip(0))[-3:]
            np.testing.assert_allclose(np.sort(weights[row]), most, atol=1e-6)
            for neighbour, weight in zip(neighbours[row], weights[row], strict=True):
                if weight > 0:
                    assert recommender.weights_to(row, [neighbour])[0] == pytest.approx(weight)


class TestItemItem(ItemItemContract):
    @pytest.fixture
    def recommender(self):
        return ItemItemRecommender.train(make_checkerboard(), ridge=1.0)


class TestNeighbours(ItemItemContract):
    @pytest.fixture
    def recommender(self):
        return NeighbourRecommender.train(make_checkerboard(), ridge=1.0, num_neighbours=6)

    def test_its_arrays_make_the_same_model_again(self, recommender):
        again = NeighbourRecommender(recommender.items, recommender.neighbours, recommender.weights)
        for item in recommender.items:
            np.testing.assert_array_equal(again.score_items({item: 1.0}), recommender.score_items({item: 1.0}))
        np.testing.assert_array_equal(again.neighbours, recommender.neighbours)


class TestFactors(RecommenderContract):
    @pytest.fixture
    def recommender(self):
        return FactorRecommender.train(make_checkerboard(), num_factors=2)


class TestPopularity(RecommenderContract):
    is_personal = False

    @pytest.fixture
    def recommender(self):
        return PopularityRecommender.train(make_checkerboard())


def test_closed_form_equals_one_ridge_regression_per_item():
    board = make_checkerboard()
    user_items = board.user_items().toarray()
    weights = ItemItemRecommender.train(board, ridge=3.0, user_power=0.0).weights
    for column in range(user_items.shape[1]):
        others = np.delete(np.arange(user_items.shape[1]), column)
        inputs = user_items[:, others]
        by_hand = np.linalg.solve(inputs.T @ inputs + 3.0 * np.eye(len(others)), inputs.T @ user_items[:, column])
        np.testing.assert_allclose(weights[others, column], by_hand, atol=1e-5)
    assert (np.diag(weights) == 0).all()


def test_with_all_items_as_neighbours_it_is_the_dense_model():
    board = make_checkerboard()
    dense = ItemItemRecommender.train(board, ridge=3.0)
    sparse = NeighbourRecommender.train(board, ridge=3.0, num_neighbours=10)
    for item in board.items:
        np.testing.assert_allclose(sparse.score_items({item: 2.0}), dense.score_items({item: 2.0}), atol=1e-5)
    np.testing.assert_allclose(sparse.weights_to(4, [0, 2, 3]), dense.weights_to(4, [0, 2, 3]), atol=1e-5)


def test_factors_found_without_the_matrix_score_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    events = [make_event(f"u{rng.integers(40)}", f"i{rng.integers(30)}") for _ in range(300)]
    interactions = Interactions(events, EVEN)
    dense = FactorRecommender.train(interactions, num_factors=5)
    monkeypatch.setattr("retrievers.collaborative.MAX_DENSE_ITEMS", 10)
    sparse = FactorRecommender.train(interactions, num_factors=5)
    np.testing.assert_allclose(sparse.score_items({"i3": 1.0}), dense.score_items({"i3": 1.0}), atol=1e-4)


def test_dislikes_teach_no_model_what_goes_together():
    board = make_checkerboard()
    disliked = [Event(user="u0", item="i1", event="dislike", time=START)]
    longer = Interactions([*board.events, *disliked], EVEN, items=board.items)
    np.testing.assert_array_equal(ItemItemRecommender.train(longer).weights, ItemItemRecommender.train(board).weights)


def test_later_events_do_not_change_a_model_of_an_earlier_moment():
    board = make_checkerboard()
    longer = Interactions([*board.events, make_event("u0", "i1", day=5)], EVEN, items=board.items)
    np.testing.assert_allclose(
        ItemItemRecommender.train(longer, now=START).weights, ItemItemRecommender.train(board).weights, atol=1e-6
    )


def test_popularity_is_the_number_of_users():
    board = make_checkerboard(num_users=2, num_items=4)
    assert PopularityRecommender.train(board).score_items({}).tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("train", [ItemItemRecommender.train, FactorRecommender.train, NeighbourRecommender.train])
def test_nothing_to_learn_from_is_refused(train):
    with pytest.raises(TrainingDataError, match="no interactions"):
        train(Interactions([], items=["a"]))


def test_settings_without_meaning_are_refused():
    with pytest.raises(ValueError, match="ridge"):
        ItemItemRecommender.train(make_checkerboard(), ridge=0)
    with pytest.raises(ValueError, match="num_factors"):
        FactorRecommender.train(make_checkerboard(), num_factors=0)
    with pytest.raises(ValueError, match="num_neighbours"):
        NeighbourRecommender.train(make_checkerboard(), num_neighbours=0)


def test_more_factors_than_items_give_the_history_back():
    recommender = FactorRecommender.train(make_checkerboard(), num_factors=99)
    scores = recommender.score_items({"i3": 2.0})
    np.testing.assert_allclose(scores, np.eye(10)[3] * 2, atol=1e-5)
    assert np.count_nonzero(scores) == 1  # no rounding error is left for a model to learn from


def test_a_saved_model_scores_the_same(tmp_path: Path):
    recommender = ItemItemRecommender.train(make_checkerboard())
    recommender.save(tmp_path / "items.npz")
    loaded = ItemItemRecommender.load(tmp_path / "items.npz")
    assert loaded.items == recommender.items
    np.testing.assert_array_equal(loaded.score_items({"i1": 1.0}), recommender.score_items({"i1": 1.0}))


def test_a_damaged_missing_or_foreign_file_is_refused(tmp_path: Path):
    damaged, foreign, objects, torn = (
        tmp_path / name for name in ("damaged", "foreign.npz", "objects.npz", "torn.npz")
    )
    damaged.write_bytes(b"PK\x03\x04 not really")
    np.savez(foreign, items=np.array(["a"]), weights=np.zeros((2, 2)))
    np.savez(objects, items=np.array(["a", None], dtype=object), weights=np.zeros((2, 2)))
    ItemItemRecommender.train(make_checkerboard()).save(torn)
    torn.write_bytes(torn.read_bytes()[:-40])
    for path in (damaged, foreign, objects, torn, tmp_path / "missing.npz"):
        with pytest.raises(ModelFolderError):
            ItemItemRecommender.load(path)
