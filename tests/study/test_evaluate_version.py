from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.plates import find_images, write_demo_plate
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.evaluate_version import matching_data
from leigh_mlops.study.evaluation import evaluate_package
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.plate_levels import PlateLevels
from leigh_mlops.study.prepare import DataSource, divided_table, prepare_data
from leigh_mlops.training import PreparedData

QUIET = Console(quiet=True)


@cache
def trained(folder: Path, scale_by: str) -> tuple[PreparedData, ModelPackage]:
    """Prepared data of two plates that differ in staining, and a package as if it were trained on them."""
    source = DataSource(folder, scale_by=scale_by)
    data = prepare_data(source, *divided_table(source, QUIET), 32, QUIET)
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=2, blocks=(1, 1), widths=(8, 8)).eval()
    about = {"exclude": list(source.excluded_flaws)}
    return data, make_package(model, data.scale("linear"), data, fit_baselines(data), about, references={})


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "plates"
    write_demo_plate(
        folder, plates=2, wells_per_class=16, fields_per_well=2, image_size_px=48, plate_effect=0.5, empty=0.1, seed=1
    )
    return folder


def level(data: PreparedData, plate: str) -> float:
    """Mean TMRM of a plate's training controls, as the network sees it."""
    table = data.table
    chosen = (table["Metadata_Plate"] == plate) & (table["Metadata_Control"] == "negcon") & ~table["Metadata_Excluded"]
    rows = np.intersect1d(np.flatnonzero(chosen), data.rows("train"))
    return float(data.cache.raw(rows)[:, 1].mean())


def test_training_evaluation_and_job_bring_plates_to_the_same_level(plates: Path) -> None:
    plain, _ = trained(plates, "training")
    names = sorted(plain.table["Metadata_Plate"].unique())
    assert plain.table["Metadata_Excluded"].any()
    assert abs(np.log(level(plain, names[0]) / level(plain, names[1]))) > 0.1
    data, package = trained(plates, "controls")
    np.testing.assert_allclose(level(data, names[0]), level(data, names[1]), rtol=1e-3)
    evaluated = matching_data(package, DataSource(plates), QUIET)
    np.testing.assert_array_equal(evaluated.cache.adjust, data.cache.adjust)
    adjustments = PlateLevels(package, find_images(plates).table, QUIET).adjustments
    for plate, adjust in zip(data.table["Metadata_Plate"], data.cache.adjust, strict=True):
        np.testing.assert_array_equal(np.float32(adjustments[plate]), adjust)


def test_the_loss_of_a_density_is_weighed_as_in_training(plates: Path) -> None:
    source = DataSource(plates)
    data = prepare_data(source, *divided_table(source, QUIET), 32, QUIET)
    torch.manual_seed(0)
    density = {"padded_channels": None, "head": "gaussian", "log_det": "series"}
    options = {"image_size": 32, "channels": 2, "blocks": (1,), "widths": (4,)} | density
    model = build_model("iresnet", classes=data.classes, **options).eval()
    package = make_package(model, data.scale("linear"), data, fit_baselines(data), {"beta": 10.0}, references={})
    weighed = evaluate_package(package, data, data.rows("val")[:4]).scores
    plain = evaluate_package(replace(package, about={}), data, data.rows("val")[:4]).scores
    assert plain["log_loss"] > 0.1
    assert weighed["loss"] - plain["loss"] == pytest.approx(9 * plain["log_loss"], rel=1e-4)


def test_without_controls_nothing_is_adjusted(plates: Path) -> None:
    data, package = trained(plates, "training")
    assert data.cache.adjust is None
    assert IntensityScale.from_json(package.scale).controls is None
    assert PlateLevels(package, data.table, QUIET).adjustments is None
    assert matching_data(package, DataSource(plates), QUIET).cache.adjust is None


def test_test_controls_are_no_yardstick(plates: Path) -> None:
    data, _ = trained(plates, "controls")
    split, control = data.table["Metadata_Split"], data.table["Metadata_Control"] == "negcon"
    bright = np.array(data.cache.pixels)
    bright[(control & (split == "test")).to_numpy()] = 60_000
    known = (split == "train").to_numpy(bool)
    raw = replace(data, cache=replace(data.cache, pixels=bright, adjust=None))
    assert raw.scale_by_controls(known).controls == data.controls
    everything = raw.scale_by_controls(np.ones(len(known), bool))
    assert everything.controls != data.controls


def test_a_plate_whose_training_wells_have_no_control_is_named(plates: Path) -> None:
    data, _ = trained(plates, "controls")
    train = data.table["Metadata_Split"] == "train"
    first = data.table["Metadata_Plate"] == data.table["Metadata_Plate"].iloc[0]
    moved = data.table["Metadata_Control"].mask(train & first)
    odd = replace(data, table=data.table.assign(Metadata_Control=moved))
    with pytest.raises(LeighError, match="none among the training wells"):
        odd.scale_by_controls(train.to_numpy(bool))


def test_a_plate_without_controls_cannot_be_explained(plates: Path) -> None:
    _, package = trained(plates, "controls")
    table = find_images(plates).table.drop(columns="Metadata_Control")
    with pytest.raises(LeighError, match="pert_type=negcon"):
        _ = PlateLevels(package, table, QUIET).adjustments


def test_treated_wells_are_scored_only_for_a_model_that_was_trained_on_them(plates: Path) -> None:
    _, package = trained(plates, "training")
    first = find_images(plates).table["Metadata_Well"].iloc[0]
    table = find_images(plates).table.assign(Metadata_Control=None)
    table["Metadata_Compound"] = table["Metadata_Well"].map({first: "rescuer"})
    table.to_parquet(plates / "treated.parquet")
    source = DataSource(plates / "treated.parquet")
    chosen = replace(package, about=package.about | {"train_on_compounds": True})
    everything = matching_data(chosen, source, QUIET)
    fewer = matching_data(package, source, QUIET)
    wells = [{well.partition("/")[2] for well in data.wells[data.rows()]} for data in (everything, fewer)]
    assert wells[0] - wells[1] == {first}
