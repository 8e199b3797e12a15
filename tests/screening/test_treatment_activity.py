import numpy as np
import pytest

from leigh_mlops.scores.control_cloud import ControlCloud, off_axis_lengths
from leigh_mlops.screening import treatment_activity
from leigh_mlops.screening.treatment_activity import TreatmentActivity


def test_ways_off_the_axis_are_computed_once_for_all_treatments(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, clouds = np.random.default_rng(0), []
    monkeypatch.setattr(
        treatment_activity, "off_axis_lengths", lambda cloud: clouds.append(cloud) or off_axis_lengths(cloud)
    )
    profiles = rng.normal(size=(2, 12, 4))
    profiles[1, :2, 1] += 20  # two wells of the second plate move off the axis
    source = np.tile(np.arange(12) >= 4, 2)
    activity = TreatmentActivity(
        plates=np.repeat(np.array(["P", "Q"], object), 12),
        cell_shares=np.ones(24),
        clouds={name: ControlCloud(each, np.eye(4)[0], 3.0, 8) for name, each in zip("PQ", profiles, strict=True)},
        rows=np.tile(np.arange(12), 2),
        source=source,
        counted=source,
    )
    inert, inert_there, away = (activity.measure(np.array(places)) for places in ([0, 1], [14, 15], [12, 13]))
    assert len(clouds) == 2
    assert min(inert["off_axis_p"], inert_there["off_axis_p"]) > 0.05
    assert away["off_axis_p"] < 0.001
    assert away["off_axis"] == pytest.approx(20, rel=0.1)
