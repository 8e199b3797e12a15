from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from leigh_mlops.api.model import load
from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, save_package
from leigh_mlops.plates import DemoDesign, write_demo_plate
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study import plate_levels, prepare
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.evaluation import predict_rows
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.plate_levels import PlateLevels, load_statistics, save_statistics
from leigh_mlops.training import PreparedData
from tests.training.conftest import prepared

QUIET = Console(quiet=True)


def test_evaluation_and_use_adapt_to_the_same_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEIGH_CACHE", str(tmp_path / "cache"))
    design = DemoDesign(wells_per_class=6, fields_per_well=2, image_size_px=32, plates=2, plate_shift=1)
    data = prepared(write_demo_plate(tmp_path / "plates", design))
    torch.manual_seed(0)
    model = build_model(
        "resnext", classes=data.classes, image_size=32, channels=2, layers=[1, 1, 1, 1], groups=1, width_per_group=4
    )
    made = {
        choice: make_package(model, data.scale("linear"), data, fit_baselines(data), {"adaptation": choice})
        for choice in ("none", "controls")
    }
    plain, package = made["none"], made["controls"]
    assert PlateLevels(plain, data.table, QUIET).statistics is None
    assert (plain.arrays["calibration/scores"] != package.arrays["calibration/scores"]).any()
    # Rows of both plates in turn keep their order, though they are predicted plate by plate.
    rows = data.rows()[np.argsort(data.rows() * 7 % 11)]
    outputs = predict_rows(package, data, rows)
    np.testing.assert_array_equal(outputs.rows, rows)
    assert not np.allclose(outputs.values, predict_rows(plain, data, rows).values)
    save_package(package, tmp_path / "package")
    found = load(tmp_path / "package").predict(data.table)
    probabilities = found[[f"probability_{name}" for name in data.classes]].to_numpy()[rows]
    np.testing.assert_allclose(np.exp(outputs.values), probabilities, atol=1e-5)
    # A job keeps the statistics in a file.
    statistics = PlateLevels(package, data.table, QUIET).statistics or {}
    assert set(statistics) == {"plate1", "plate2"}
    save_statistics(tmp_path / "statistics.safetensors", statistics)
    again = load_statistics(tmp_path / "statistics.safetensors") or {}
    assert load_statistics(tmp_path / "none.safetensors") is None
    for plate, tensors in statistics.items():
        for name, tensor in tensors.items():
            assert torch.equal(again[plate][name], tensor)
    bare = data.table.assign(**{Metadata.CONTROL: ""})
    with pytest.raises(LeighError, match="plate plate1 has 0 fields of negative controls"):
        _ = PlateLevels(package, bare, QUIET).statistics
    # Both levels of a plate come from one reading.
    readings: list[pd.DataFrame] = []

    def add_pixels(table: pd.DataFrame, *options: Any) -> PreparedData:
        readings.append(table)
        return prepare.add_pixels(table, *options)

    monkeypatch.setattr(plate_levels, "add_pixels", add_pixels)
    known = (data.table[Metadata.SPLIT] == "train").to_numpy(bool)
    scale = data.scale_by_controls(known).scale("linear")
    levels = PlateLevels(replace(package, scale=scale.to_json()), data.table, QUIET)
    assert (set(levels.adjustments or {}), set(levels.statistics or {})) == ({"plate1", "plate2"},) * 2
    assert len(readings) == 1
