"""A drawn screen, in which a compound kills cells and those that survive look healthy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from leigh_mlops.images import open_cache, region_features
from leigh_mlops.images.nuclei import nucleus_centres
from leigh_mlops.images.regions import fit_thresholds
from leigh_mlops.jobs.reporting.screen_summary import summarise_screen
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.plates import find_images, write_demo_plate
from leigh_mlops.screening.compounds import CompoundOutcome
from leigh_mlops.screening.screen import screen


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Fields of the screen, classified by the brightness of mitochondria alone, as a network may do it."""
    folder = write_demo_plate(
        tmp_path_factory.mktemp("drawn") / "plate", classes=("DS", "WT"), wells_per_class=20, fields_per_well=3,
        image_size_px=64, seed=3, effect="intensity", plate_effect=0.0, compounds=("inert", "rescuer", "toxic"),
    )  # fmt: skip
    found = find_images(folder)
    rows = np.arange(len(found.table))
    cache = open_cache(found.table, found.channels, 64, Path(tmp_path_factory.mktemp("cache")))
    thresholds = fit_thresholds(cache, rows)
    measured = pd.DataFrame(
        [
            {f"image_{name}": value for name, value in region_features(raw, found.channels, thresholds).items()}
            | {"image_nuclei_count": float(len(nucleus_centres(raw[0], thresholds[0])))}
            for raw in cache.raw(rows)
        ]
    )
    table = found.table.reset_index(drop=True)
    controls = table["Metadata_Control"].notna()
    bright = np.log(measured[["image_mitochondria_intensity_TMRM"]].fillna(1.0).to_numpy())
    model = LogisticRegression(C=100.0).fit(bright[controls], table.loc[controls, "Metadata_Condition"])
    healthy = model.predict_proba(bright)[:, 1]
    return table.join(measured).assign(
        seen=False, predicted=np.where(healthy > 0.5, "WT", "DS"), probability_DS=1 - healthy, probability_WT=healthy
    )


@pytest.fixture
def package() -> ModelPackage:
    torch.manual_seed(0)
    model = build_model("iresnet", classes=["DS", "WT"], image_size=32, channels=2, blocks=(1, 1), widths=(8, 8))
    return ModelPackage(model, ("DAPI", "TMRM"), {})


def test_without_its_cell_count_a_toxic_compound_is_a_hit(fields: pd.DataFrame, package: ModelPackage) -> None:
    blind = fields.drop(columns=[name for name in fields if str(name).startswith("image_")])
    assert screen(blind, package).hits.set_index("compound")["hit"].to_dict() == {
        "rescuer": True, "toxic": True, "inert": False
    }  # fmt: skip


def test_a_toxic_compound_is_no_hit_and_the_reason_is_said(fields: pd.DataFrame, package: ModelPackage) -> None:
    found = screen(fields, package)
    hits = found.hits.set_index("compound")
    assert hits["hit"].to_dict() == {"rescuer": True, "toxic": False, "inert": False}
    toxic = hits.loc["toxic"]
    assert toxic["outcome"] == CompoundOutcome.FEW_CELLS
    assert toxic["cell_share"] < 0.4
    assert toxic["off_axis"] > hits.loc["rescuer", "off_axis"]
    assert toxic["activity_q"] < 0.05
    assert hits.loc["rescuer", "along_axis"] > hits.loc["rescuer", "off_axis"]
    assert {"cell_share", "along_axis", "off_axis"} <= set(found.wells)
    summary = summarise_screen(found)
    reasons = summary.screen.hits.set_index("compound")["reason"]
    assert reasons["toxic"].startswith("toxic, no hit: its wells hold ")
    assert "cells of the diseased controls" in reasons["toxic"]
    assert any("1 compound leaves less than 50% of the controls' cells" in each for each in summary.sentences)
