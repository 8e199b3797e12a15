import numpy as np
import pytest

from leigh_mlops.scores.control_cloud import PlateFeatures, control_clouds, movement, off_axis_lengths

PLACES = np.arange(8), np.arange(8, 16)


def plate(seed: int, *others: np.ndarray, features: int = 6) -> PlateFeatures:
    """Eight controls of each kind, six standard deviations apart on the first feature, and further wells."""
    rng = np.random.default_rng(seed)
    wells = rng.normal(size=(16, features)) * np.arange(1, features + 1)
    wells[8:, 0] += 6
    return PlateFeatures(np.concatenate([wells, *(each[None] for each in others)]), *PLACES)


def test_wells_like_controls_move_nowhere_else() -> None:
    lengths = {"controls": [], "others": []}
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        own = plate(seed, *(rng.normal(size=6) * np.arange(1, 7) for _ in range(4)))
        (cloud,) = control_clouds([own])
        assert cloud is not None
        lengths["controls"].append(off_axis_lengths(cloud)[:8].mean())
        lengths["others"].append(off_axis_lengths(cloud)[16:].mean())
    controls, others = (np.mean(each) for each in lengths.values())
    assert others == pytest.approx(controls, rel=0.05)


def test_the_mean_of_inert_wells_moves_nowhere_else() -> None:
    scale, found = np.arange(1, 41), []
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        wells = [rng.normal(size=40) * scale for _ in range(8)]
        away = [each + 6 * scale * np.eye(40)[3] for each in wells]
        (cloud,) = control_clouds([plate(seed, *wells, *away, features=40)])
        assert cloud is not None
        found.append([movement(cloud, np.arange(start, start + 8)).elsewhere for start in (16, 24)])
    inert, moved = np.array(found).T
    # What noise explains is taken away: half of the means or more have less, and the length 0.
    assert 0.2 < np.mean(inert > 0) < 0.5
    assert np.mean(moved) == pytest.approx(6, rel=0.15)


def test_the_way_is_split_along_and_elsewhere() -> None:
    start, scale = np.zeros(6), np.arange(1, 7)
    towards, away = 6 * np.eye(6)[0], 12 * scale * np.eye(6)[2]
    (cloud,) = control_clouds([plate(0, start, towards, away)])
    assert cloud is not None
    moves = [movement(cloud, np.array([place])) for place in (16, 17, 18)]
    assert abs(moves[0].along) < 1.5
    assert moves[0].elsewhere < 2
    assert 3 < moves[1].along < 9
    assert moves[1].elsewhere < 3
    assert abs(moves[2].along) < 4
    assert moves[2].elsewhere > 8


def test_plates_share_the_spread_and_keep_their_own_centre() -> None:
    first, second = plate(0), plate(1)
    shifted = PlateFeatures(second.wells + 100, *PLACES)
    together = control_clouds([first, second])
    moved = control_clouds([first, shifted])
    for one, other in zip(together, moved, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one.profiles, other.profiles, atol=1e-8)


def test_without_enough_controls_there_is_no_cloud() -> None:
    own = plate(0)
    assert control_clouds([own])[0] is not None
    assert control_clouds([PlateFeatures(own.wells, np.arange(1), np.arange(8, 16))]) == [None]
    assert control_clouds([PlateFeatures(own.wells, np.arange(2), np.arange(8, 10))]) == [None]
    assert control_clouds([PlateFeatures(np.ones((16, 6)), *PLACES)]) == [None]


def test_a_missing_feature_is_no_movement() -> None:
    gap = np.array([0, np.nan, np.nan, 0, 0, 0])
    (cloud,) = control_clouds([plate(0, gap, np.full(6, np.nan))])
    assert cloud is not None
    assert np.isfinite(cloud.profiles[:17]).all()
    assert np.isnan(cloud.profiles[17]).all()
