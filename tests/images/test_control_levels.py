from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from leigh_mlops.errors import LeighError
from leigh_mlops.images import PixelCache, fit_scale, open_cache
from leigh_mlops.images.control_levels import (
    ControlLevel,
    adjust_cache,
    adjustment,
    control_levels,
    fit_control_reference,
    invert_adjustment,
)
from leigh_mlops.images.scale import ControlReference
from tests.conftest import table_of

PLATES = ["P1"] * 4 + ["P2"] * 4
CONTROLS = {"P1": np.array([0, 1]), "P2": np.array([4, 5])}


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    """Two plates of four fields; the second is 100 + 3 times the first."""
    first = np.random.default_rng(0).gamma(3, 200, (4, 32, 32)).astype(np.uint16)
    paths = [tmp_path / f"{number}.tif" for number in range(8)]
    for path, image in zip(paths, np.concatenate([first, 100 + 3 * first]), strict=True):
        tifffile.imwrite(path, image)
    return open_cache(table_of(paths, ("TMRM",)), ("TMRM",), 32, tmp_path / "c")


def test_levels_are_mean_and_deviation_of_the_controls_pixels_as_acquired(cache: PixelCache) -> None:
    levels = control_levels(cache, CONTROLS | {"P3": np.array([], int)})
    assert list(levels) == ["P1", "P2"]
    for plate, rows in CONTROLS.items():
        raw = cache.pixels[rows].astype(np.float64)
        np.testing.assert_allclose(levels[plate].mean, raw.mean(), rtol=1e-12)
        np.testing.assert_allclose(levels[plate].std, raw.std(), rtol=1e-12)
    brought = adjust_cache(cache, PLATES, levels, fit_control_reference(levels))
    assert control_levels(brought, CONTROLS) == levels


def test_an_affine_image_of_a_plate_becomes_equal_to_it(cache: PixelCache) -> None:
    raw = cache.raw(np.arange(8))
    assert np.abs(raw[:4] - raw[4:]).min() > 100
    levels = control_levels(cache, CONTROLS)
    brought = adjust_cache(cache, PLATES, levels, fit_control_reference(levels)).raw(np.arange(8))
    np.testing.assert_allclose(brought[:4], brought[4:], rtol=1e-5, atol=0.01)


def test_every_plates_controls_get_the_references_level(cache: PixelCache) -> None:
    levels = control_levels(cache, CONTROLS)
    reference = ControlReference((500.0,), (70.0,))
    brought = adjust_cache(cache, PLATES, levels, reference)
    for rows in CONTROLS.values():
        assert abs(cache.raw(rows).mean() - 500) > 10
        assert brought.raw(rows).mean() == pytest.approx(500, rel=1e-5)
        assert brought.raw(rows).std() == pytest.approx(70, rel=1e-5)
    assert fit_scale(brought, CONTROLS["P1"], "linear").mean[0] == pytest.approx(500 / 65535, rel=1e-5)


def test_a_plates_own_controls_as_reference_change_nothing(cache: PixelCache) -> None:
    levels = control_levels(cache, {"P1": np.arange(8)})
    brought = adjust_cache(cache, ["P1"] * 8, levels, fit_control_reference(levels))
    assert brought.adjust is not None
    np.testing.assert_allclose(brought.adjust, np.tile([0.0, 1.0], (8, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(brought.raw([0, 7]), cache.raw([0, 7]), rtol=1e-6)


def test_each_plate_counts_alike_in_the_reference() -> None:
    levels = {"P1": ControlLevel((100.0, 1.0), (10.0, 2.0)), "P2": ControlLevel((300.0, 3.0), (20.0, 4.0))}
    assert fit_control_reference(levels) == ControlReference((200.0, 2.0), (15.0, 3.0))
    with pytest.raises(LeighError, match="pert_type=negcon"):
        fit_control_reference({})


@pytest.mark.parametrize(("wanted", "found"), [(20.0, 0.0), (0.0, 20.0), (0.0, 0.0)])
def test_controls_that_do_not_vary_leave_the_gain_at_one(wanted: float, found: float) -> None:
    moved = adjustment(ControlReference((50.0,), (wanted,)), ControlLevel((80.0,), (found,)))
    np.testing.assert_array_equal(moved, [[-30.0, 1.0]])


@pytest.mark.parametrize("seed", range(5))
def test_unadjusted_undoes_an_adjustment(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some() -> tuple[float, ...]:
        return tuple(rng.uniform(10, 1000, 3).tolist())

    moved = adjustment(ControlReference(some(), some()), ControlLevel(some(), some()))
    raw: npt.NDArray[np.float32] = rng.uniform(0, 65535, (2, 3, 8, 8)).astype(np.float32)
    adjusted = moved[:, 0, None, None] + moved[:, 1, None, None] * raw
    assert np.abs(adjusted - raw).max() > 1
    np.testing.assert_allclose(invert_adjustment(adjusted, moved), raw, rtol=1e-4, atol=0.05)


def test_what_a_cache_adjusts_can_be_written_back(cache: PixelCache) -> None:
    levels = control_levels(cache, CONTROLS)
    brought = adjust_cache(cache, PLATES, levels, ControlReference((500.0,), (70.0,)))
    assert brought.adjust is not None
    for row in (0, 6):
        np.testing.assert_allclose(
            invert_adjustment(brought.raw([row])[0], brought.adjust[row]), cache.raw([row])[0], rtol=1e-5, atol=0.01
        )


def test_plates_without_controls_are_named(cache: PixelCache) -> None:
    levels = control_levels(cache, {"P1": CONTROLS["P1"]})
    reference = fit_control_reference(levels)
    assert adjust_cache(replace(cache), ["P1"] * 8, levels, reference).adjust is not None
    with pytest.raises(LeighError, match="plate P2 has no negative control wells; add pert_type=negcon to its"):
        adjust_cache(cache, PLATES, levels, reference)
    with pytest.raises(LeighError, match="plates P2, P3 have no negative control wells"):
        adjust_cache(cache, [*PLATES[:7], "P3"], levels, reference)
