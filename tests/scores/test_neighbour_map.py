import sys
from types import SimpleNamespace

import numpy as np
import pytest

from leigh_mlops.scores.neighbour_map import neighbour_map, sample_groups


def test_rows_that_are_alike_lie_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 15)
    # Two coordinates alone mix the groups.
    rows = rng.normal(size=(45, 6)) + 8 * np.eye(6)[groups + 2]

    def purity(places: np.ndarray) -> float:
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        return float((groups[distances.argmin(axis=1)] == groups).mean())

    assert purity(rows[:, :2]) < 0.7
    places, method = neighbour_map(rows)
    assert method == "t-SNE"
    assert purity(places) == 1
    np.testing.assert_array_equal(places, neighbour_map(rows)[0])


def test_umap_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Umap:
        def __init__(self, **options: object) -> None:
            assert options == {"n_neighbors": 15, "random_state": 3, "n_jobs": 1}

        def fit_transform(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap, __spec__=object()))
    rows = np.random.default_rng(0).normal(size=(40, 3))
    places, method = neighbour_map(rows, seed=3)
    assert method == "UMAP"
    np.testing.assert_array_equal(places, rows[:, :2])


def test_few_or_equal_rows_have_no_map() -> None:
    assert neighbour_map(np.random.default_rng(0).normal(size=(11, 3))) is None
    assert neighbour_map(np.ones((30, 3))) is None


def test_a_sample_is_spread_over_the_groups() -> None:
    groups = ["A"] * 100 + ["B"] * 5 + ["C"] * 20
    chosen = sample_groups(groups, 24)
    counts = {name: sum(groups[row] == name for row in chosen) for name in "ABC"}
    assert sorted(counts.values()) == [5, 9, 10]
    assert sample_groups(groups, 1000).tolist() == list(range(125))
    assert chosen.tolist() == sample_groups(groups, 24).tolist()
    assert chosen.tolist() != sample_groups(groups, 24, seed=1).tolist()
