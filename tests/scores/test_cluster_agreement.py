import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from leigh_mlops.scores.cluster_agreement import (
    adjusted_rand,
    match_clusters,
    normalised_information,
    position_agreement,
)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_agreement_is_that_of_scikit_learn(noise: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=200)
    second = np.where(rng.random(200) < noise, rng.integers(6, size=200), first + 10)
    assert normalised_information(first, second) == pytest.approx(normalized_mutual_info_score(first, second))
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))


def test_one_group_tells_nothing() -> None:
    halves = [0, 0, 1, 1]
    assert normalised_information([0] * 4, halves) == adjusted_rand([0] * 4, halves) == 0
    assert normalised_information([0] * 4, [1] * 4) == adjusted_rand([0] * 4, [1] * 4) == 1
    with pytest.raises(ValueError, match="do not divide the same points"):
        normalised_information([0, 1], halves)


def test_renamed_clusters_are_matched() -> None:
    former, names = np.random.default_rng(1).integers(5, size=300), np.array([3, 0, 4, 1, 2])
    latter = names[former]
    assert (latter != former).any()
    assert (match_clusters(former, latter, 5)[latter] == former).all()


def test_clusters_of_a_column_are_no_chance_and_those_of_a_class_are() -> None:
    rows, columns = np.indices((8, 12)).reshape(2, -1)
    classes = columns % 2
    by_class = position_agreement(classes, columns, classes)
    assert by_class.is_by_chance
    assert position_agreement(classes, columns).information > 0.4
    assert not position_agreement(classes, columns).is_by_chance
    assert not position_agreement((columns > 5).astype(int), columns, classes).is_by_chance
    assert position_agreement((columns > 5).astype(int), rows, classes).is_by_chance
