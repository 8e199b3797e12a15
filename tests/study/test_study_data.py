from typing import Any

import pytest

from leigh_mlops.images import IntensityScale
from leigh_mlops.study import study_data
from leigh_mlops.study.study_data import StudyData


def test_networks_of_two_scales_share_what_judges_their_counterfactuals(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[str, Any]] = []

    def judges(_: object, full_scale: int) -> dict[str, Any]:
        fitted.append(("judges", full_scale))
        return {"judges": full_scale}

    def references(_: object, scale: IntensityScale, given: dict[str, Any]) -> dict[str, Any]:
        fitted.append(("maps", scale.transform))
        return {"maps": scale.transform} | given

    monkeypatch.setattr(study_data, "judge_arrays", judges)
    monkeypatch.setattr(study_data, "counterfactual_references", references)
    monkeypatch.setattr(StudyData, "at_size", lambda *_: None)
    data = StudyData(type("Data", (), {"image_size": 32})(), None, 0)  # type: ignore[arg-type]
    scales = [IntensityScale(kind, 255, (0.0,), (1.0,)) for kind in ("log", "linear", "log")]
    assert [data.references(32, scale) for scale in scales] == [
        {"maps": each.transform, "judges": 255} for each in scales
    ]
    assert fitted == [("judges", 255), ("maps", "log"), ("maps", "linear")]
    data.references(64, scales[0])
    assert fitted[-2:] == [("judges", 255), ("maps", "log")]
