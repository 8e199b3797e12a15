from pathlib import Path

import numpy as np
from PIL import Image

from leigh_mlops.explanations import FieldExplanation
from leigh_mlops.jobs.colour_limits import colour_limits, select_colour_limit, smooth_map, write_colour_bars


def explained(**maps: np.ndarray) -> FieldExplanation:
    return FieldExplanation(maps=maps)


def test_full_colour_is_what_all_but_half_a_percent_of_the_pixels_stay_below() -> None:
    ramp = np.linspace(-1000, 0, 1001)[:, None]
    limits = colour_limits([explained(occlusion=ramp), explained(occlusion=ramp, grad_cam=0 * ramp)])
    assert limits == {"occlusion": 995.0, "grad_cam": 1.0}
    assert colour_limits([]) == {}


def test_a_kind_that_no_sampled_field_has_borrows_that_of_another() -> None:
    limits = {"occlusion": 3.0, "counterfactual_confident_map": 0.2}
    assert select_colour_limit("occlusion", limits) == 3.0
    assert select_colour_limit("counterfactual_boundary_map", limits) == 0.2
    assert select_colour_limit("lrp", limits) == 1.0
    assert select_colour_limit("counterfactual_boundary_map", {"occlusion": 3.0}) == 1.0


def test_each_kind_has_a_picture_of_its_scale(tmp_path: Path) -> None:
    write_colour_bars(tmp_path, {"occlusion": 2.5, "counterfactual_confident_map": 1e-4})
    assert sorted(path.name for path in (tmp_path / "scales").iterdir()) == [
        "counterfactual_confident_map.png", "occlusion.png",
    ]  # fmt: skip
    with Image.open(tmp_path / "scales" / "occlusion.png") as picture:
        assert picture.height == 64


def test_a_lattice_of_gradients_is_drawn_as_what_it_sums_to_and_windows_as_they_are() -> None:
    lattice = np.indices((224, 224)).sum(axis=0) % 2 * 2.0 - 1
    assert np.abs(lattice).min() == 1
    assert np.abs(smooth_map("deep_lift", lattice.astype(np.float32))).max() < 0.05
    for name in ("occlusion_DAPI", "grad_cam", "prediction_difference"):
        assert smooth_map(name, lattice) is lattice
    spot = np.zeros((224, 224), np.float32)
    spot[3, 3] = 1
    drawn = smooth_map("counterfactual_confident_map", spot)
    assert drawn.max() < 0.1
    np.testing.assert_allclose(drawn.sum(), 1, rtol=1e-4)
