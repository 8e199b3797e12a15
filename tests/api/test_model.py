"""Numbers of a notebook are those of the batch job."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from rich.console import Console

from leigh_mlops.api.model import Model, load
from leigh_mlops.api.served_model import ServedModel
from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import MAP_METHODS, ExplanationContext, explain_fields
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder, statistics_file
from leigh_mlops.plates import find_images
from leigh_mlops.report.image_files import read_tiff16
from leigh_mlops.study.plate_levels import PlateLevels, save_statistics
from tests.api.conftest import read_arrays
from tests.test_rooms import BLOCKED

QUIET = Console(quiet=True)


def worker(
    package: Path, table: pd.DataFrame, out: Path, methods: tuple[str, ...] = (), **options: object
) -> FieldWorker:
    """Worker of a job on the table, as `ExplainJob` orders it."""
    out.mkdir()
    table.to_parquet(out / "table.parquet")
    loaded = load(package).package
    adjust = PlateLevels(loaded, table, QUIET).adjustments
    if (statistics := PlateLevels(loaded, table, QUIET).statistics) is not None:
        save_statistics(statistics_file(out, ""), statistics)
    asked = ExplainOptions(**options)  # type: ignore[arg-type]
    return FieldWorker(WorkOrder(str(package), str(out / "table.parquet"), str(out), methods, asked, adjust))


def job_records(job: FieldWorker, size: int) -> list[dict[str, object]]:
    rows = list(range(len(job.table)))
    return [record for start in rows[::size] for record in job.explain(rows[start : start + size])]


@pytest.mark.parametrize("family", ["iresnet", "resnext", "controls", "adapted"])
def test_predictions_are_those_of_the_job(
    packages: dict[str, Path], table: pd.DataFrame, tmp_path: Path, family: str
) -> None:
    model = load(packages[family])
    assert (model.package.scale["controls"] is not None) == (family in ("controls", "adapted"))
    assert model.package.is_adapted == (family == "adapted")
    found = model.predict(table)
    records = job_records(worker(packages[family], table, tmp_path / "out"), model._batch_size)
    for name in ("predicted", "probability_DS", "probability_TT"):
        assert found[name].tolist() == [record["numbers"][name] for record in records]  # type: ignore[index]
    assert found["seen"].tolist() == [record["seen"] for record in records]
    assert set(found["predicted"]) == {"DS", "TT"}
    pd.testing.assert_frame_equal(found[[*table.filter(regex="^Metadata_")]], table.filter(regex="^Metadata_"))


def test_arrays_as_read_are_predicted_like_their_files(model: Model, table: pd.DataFrame) -> None:
    expected = model.predict(table)[["predicted", "probability_DS", "probability_TT", "seen"]]
    images = read_arrays(table)
    assert images.shape[2:] != (model.image_size, model.image_size)
    pd.testing.assert_frame_equal(model.predict(images), expected)
    pd.testing.assert_frame_equal(model.predict(list(images.astype(">u2"))), expected)
    swapped = images[:, ::-1]
    pd.testing.assert_frame_equal(model.predict(swapped, channels=["TMRM", "DAPI"]), expected)
    assert not np.allclose(model.predict(swapped)["probability_DS"], expected["probability_DS"])


def test_a_part_of_a_table_keeps_its_index(model: Model, table: pd.DataFrame) -> None:
    part = table[table["Metadata_Condition"] == "TT"]
    found = model.predict(part)
    assert found.index.tolist() == part.index.tolist() != list(range(len(part)))
    assert found["Metadata_Well"].tolist() == part["Metadata_Well"].tolist()


def test_a_broken_file_is_a_row_and_not_an_error(model: Model, table: pd.DataFrame, tmp_path: Path) -> None:
    assert "failure" not in model.predict(table.head(3))
    broken = table.head(3).copy()
    (tmp_path / "broken.tiff").write_bytes(b"II*\0")
    broken.loc[1, ["FileName_TMRM", "PathName_TMRM"]] = ["broken.tiff", str(tmp_path)]
    found = model.predict(broken)
    assert "broken.tiff" in found["failure"][1]
    assert found["predicted"].notna().tolist() == [True, False, True]
    with pytest.raises(LeighError, match=r"broken\.tiff"):
        model.predict(broken.iloc[[1]])
    with pytest.raises(LeighError, match=r"broken\.tiff"):
        model.heatmap(broken)


def test_a_model_scaled_by_controls_takes_them_from_the_table_or_from_controls(
    packages: dict[str, Path], table: pd.DataFrame
) -> None:
    model = load(packages["controls"])
    expected = model.predict(table)
    some = table[table["Metadata_Control"] != "negcon"]
    with pytest.raises(LeighError, match=r"none of plate .*; pass the table of the whole plate as controls="):
        model.predict(some)
    columns = ["predicted", "probability_DS", "probability_TT"]
    np.testing.assert_allclose(
        model.predict(some, controls=table)["probability_DS"], expected.loc[some.index, "probability_DS"], rtol=1e-5
    )
    with pytest.raises(LeighError, match="as controls="):
        model.predict(read_arrays(table))
    found = model.predict(read_arrays(table), controls=table)
    pd.testing.assert_frame_equal(found[columns], expected[columns])


def test_arrays_of_controls_give_the_level_that_their_files_give(
    packages: dict[str, Path], table: pd.DataFrame
) -> None:
    model = load(packages["controls"])
    # A plate that the model has not seen is measured on all of its controls.
    arrays = {name: array for name, array in model.package.arrays.items() if name != "validation_digests"}
    arrays["training_digests"] = np.zeros(0, np.uint64)
    model.package = replace(model.package, arrays=arrays)
    negative = table[table["Metadata_Control"] == "negcon"]
    assert 0 < len(negative) < len(table)
    expected = model.predict(table)["probability_DS"]
    found = model.predict(read_arrays(table), controls=read_arrays(negative))["probability_DS"]
    np.testing.assert_array_equal(found, expected)
    brighter = model.predict(read_arrays(table), controls=2 * read_arrays(negative))["probability_DS"]
    assert not np.allclose(brighter, expected)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "occlusion_TMRM"])
def test_heatmaps_are_those_of_the_job(model: Model, table: pd.DataFrame, method: str) -> None:
    found = model.heatmap(table.head(3), method, target="TT", window=16, stride=8)
    raw = np.stack([FieldReader(model.package, table, None, None).read(row).raw for row in range(3)])
    explainer = method if method in MAP_METHODS else "occlusion_channels"
    context = ExplanationContext(target="TT", window=16, stride=8)
    explained = explain_fields(model.package, raw, [explainer], context)
    np.testing.assert_array_equal(found.maps, np.stack([each.maps[method] for each in explained]))
    assert found.maps.dtype == np.float32
    assert found.maps.shape == (3, 32, 32)
    assert found.table["target"].tolist() == ["TT"] * 3
    assert found.unit == {"integrated_gradients": "logits per pixel"}.get(method, "logits")
    other = model.heatmap(table.head(3), method, window=16, stride=8)
    assert other.table["target"].tolist() == other.table["predicted"].tolist()


@pytest.mark.parametrize("family", ["iresnet", "controls"])
def test_counterfactuals_are_those_that_the_job_saves(
    packages: dict[str, Path], table: pd.DataFrame, tmp_path: Path, family: str
) -> None:
    model, kind = load(packages[family]), "typical"
    found = model.counterfactual(table.head(4), controls=table)
    job = worker(packages[family], table, tmp_path / "out", ("counterfactual",), counterfactual=(kind,))
    records = job.explain([0, 1, 2, 3])
    for row, record in enumerate(records):
        saved, _ = read_tiff16(tmp_path / "out" / "images" / str(record["field"]) / f"counterfactual_{kind}.tif")
        np.testing.assert_array_equal(found.images[row], saved.astype(np.float32))
        assert not np.allclose(found.images[row], found.originals[row], atol=1)
        measured = found.measures.iloc[row]
        for name in ("class", "probability", "valid", "reencoding_error", "clipped", "changed", "change_TMRM"):
            assert measured[name] == record["numbers"][f"counterfactual_{kind}_{name}"]
        assert measured["status"] in {"green", "amber", "red"}
        assert measured["target"] == record["numbers"]["counterfactual_target"] != measured["predicted"]


def test_an_image_that_is_the_target_has_no_counterfactual_and_says_so(model: Model, table: pd.DataFrame) -> None:
    found = model.counterfactual(table, target="TT")
    predicted = model.predict(table)["predicted"]
    made = np.isfinite(found.images).all(axis=(1, 2, 3))
    assert made.tolist() == (predicted == "DS").tolist()
    assert set(found.measures["note"][~made]) == {"already TT"}
    assert found.measures["probability"].isna().tolist() == (~made).tolist()
    # Whole counts of the camera can be handed in again.
    again = model.predict(np.clip(np.rint(found.images[made]), 0, 65535).astype(np.uint16))
    assert (again["predicted"] == "TT").mean() > 0.9


def test_figures_say_what_they_show(model: Model, table: pd.DataFrame) -> None:
    figures = [model.heatmap(table.head(2)).show(), model.counterfactual(table.head(2)).show()]
    said = [" ".join(text.get_text() for text in figure.findobj(Text)) for figure in figures]
    for each in said:
        assert "well B0" in each
        assert "Raw intensity from black to full colour: DAPI" in each
    assert "logits per pixel" in said[0]
    assert "counterfactual minus image" in said[1]
    assert "as TT: p = 0." in said[1]


@pytest.mark.parametrize(
    ("family", "call", "sentence"),
    [
        ("autoencoder", "predict", "a prediction needs a model that can classify"),
        ("autoencoder", "heatmap", "integrated_gradients needs a model that can classify"),
        ("resnext", "counterfactual", "take a model of the family iresnet"),
    ],
)
def test_a_model_says_what_it_cannot_do(
    packages: dict[str, Path], table: pd.DataFrame, family: str, call: str, sentence: str
) -> None:
    with pytest.raises(LeighError, match=sentence):
        getattr(load(packages[family]), call)(table.head(1))


@pytest.mark.parametrize(
    ("call", "options", "sentence"),
    [
        ("heatmap", {"method": "lrp"}, "take deep_lift or integrated_gradients"),
        ("heatmap", {"method": "magic"}, "Unknown heatmap 'magic'; choose from occlusion, occlusion_DAPI"),
        ("heatmap", {"target": "XX"}, "The class 'XX' is unknown to the model; choose one of DS, TT"),
        ("heatmap", {"window": 99}, "give a window no larger than the image"),
        ("counterfactual", {"target": "XX"}, "The class 'XX' is unknown"),
        ("counterfactual", {"kind": "far"}, "Unknown counterfactual 'far'"),
        ("counterfactual", {"confidence": 0.4}, "give one above 0.5 and below 1"),
    ],
)
def test_unknown_options_are_refused(
    model: Model, table: pd.DataFrame, call: str, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(LeighError, match=sentence):
        getattr(model, call)(table.head(1), **options)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="is not a folder; give the folder of a model package"):
        load(tmp_path / "absent")


def test_the_table_of_a_plate_is_not_changed(model: Model, plate: Path) -> None:
    table = find_images(plate).table
    model.predict(table)
    pd.testing.assert_frame_equal(table, find_images(plate).table)


def test_a_folder_is_loaded_and_predicts_without_ray_and_mlflow(packages: dict[str, Path], plate: Path) -> None:
    code = f"""
import leigh_mlops as lm
model = lm.load({str(packages["iresnet"])!r})
table = lm.read_plate({str(plate)!r})
lm.show(table.head(1))
print(len(model.predict(table.head(2))), len(model.heatmap(table.head(1)).maps))
"""
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "1"], done.stderr


def test_a_network_that_adapts_to_plates_takes_their_controls_from_wherever_they_are(
    packages: dict[str, Path], table: pd.DataFrame
) -> None:
    model, images = load(packages["adapted"]), read_arrays(table)
    known = (table["Metadata_Control"] == "negcon").to_numpy()
    expected = model.predict(table)
    # A few fields of a table are predicted as the whole table is, given its controls.
    few = model.predict(table.tail(2), controls=table)
    np.testing.assert_allclose(few["probability_DS"], expected["probability_DS"].tail(2), rtol=1e-5)
    own = model.predict(images, controls=table)
    np.testing.assert_allclose(own["probability_DS"], expected["probability_DS"], rtol=1e-5)
    # Another plate would be another network.
    darker = model.predict(images, controls=images[known] // 2)
    assert not np.allclose(darker["probability_DS"], expected["probability_DS"])
    with pytest.raises(LeighError, match="scaled and adapted by negative controls of each plate"):
        model.predict(images)
    with pytest.raises(LeighError, match="has 3 images, and a network is adapted to a plate by 4 or more"):
        model.predict(images, controls=images[known][:3])
    with pytest.raises(LeighError, match="but the table has none of plate"):
        model.predict(table[~known])
    heatmap = model.heatmap(table.head(1), controls=table)
    assert np.isfinite(heatmap.maps).all()


def test_a_served_network_that_adapts_to_plates_needs_controls_in_each_request(
    packages: dict[str, Path], table: pd.DataFrame
) -> None:
    served, images = ServedModel(packages["adapted"]), read_arrays(table)
    negative = np.flatnonzero(table["Metadata_Control"] == "negcon")
    answer = served.answer(images, controls=negative.tolist())
    expected = load(packages["adapted"]).predict(images, controls=images[negative])
    assert isinstance(answer, pd.DataFrame)
    assert answer["probability_DS"].tolist() == expected["probability_DS"].tolist()
    with pytest.raises(LeighError, match="as the parameter controls"):
        served.answer(images, adjustment=[0.0, 1.0, 0.0, 1.0])
