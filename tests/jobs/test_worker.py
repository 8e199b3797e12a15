from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from leigh_mlops.explanations import Context, explain_fields, predict_fields
from leigh_mlops.jobs import worker as worker_module
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder
from leigh_mlops.models import build_model, save_package
from leigh_mlops.report.files import read_tiff16
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.finalists import make_package
from tests.training.conftest import prepared


@pytest.fixture
def worker(class_folders: Path, tmp_path: Path) -> FieldWorker:
    data = prepared(class_folders)
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
    images = next(iter(data.batches("train", data.scale("linear"), 64))).images
    with torch.no_grad():  # as many images of either class, so that each has a mean latent
        list(model.head.parameters())[-1].sub_(model(images).median(dim=0).values)
    save_package(make_package(model, data.scale("linear"), data, fit_baselines(data), {}), tmp_path / "package")
    data.table.to_parquet(tmp_path / "table.parquet")
    return FieldWorker(WorkOrder(str(tmp_path / "package"), str(tmp_path / "table.parquet"), str(tmp_path / "out"), ()))


def test_fields_that_made_the_model_are_marked(worker: FieldWorker) -> None:
    records = worker.explain(list(range(24)))
    split = pd.read_parquet(worker.order.table)["Metadata_Split"]
    assert [record["seen"] for record in records] == (split != "test").tolist()
    assert all({"predicted", "probability_DS", "probability_TT"} <= set(record["numbers"]) for record in records)


def test_one_field_that_cannot_be_explained_does_not_take_its_neighbours(
    worker: FieldWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("failure" in record for record in worker.explain([0, 1, 2]))
    save = FieldWorker._save

    def broken(self: FieldWorker, field: worker_module.Field, found: object) -> dict[str, object]:
        if field.row == 1:
            raise ValueError("3 pixels are not finite")
        return save(self, field, found)

    monkeypatch.setattr(FieldWorker, "_save", broken)
    records = worker.explain([0, 1, 2])
    assert [record.get("failure") for record in records] == [None, "3 pixels are not finite", None]


def test_another_bit_depth_is_a_failure(worker: FieldWorker) -> None:
    worker.package.scale["full_scale"] = 65535
    (record,) = worker.explain([0])
    assert "give images of the same bit depth" in record["failure"]


def test_counterfactuals_are_written_as_counts_of_the_camera_on_request(worker: FieldWorker) -> None:
    worker.order = replace(worker.order, methods=("counterfactual",))
    (record,) = worker.explain([0])
    folder = Path(worker.order.out) / "images" / record["field"]
    assert not list(folder.glob("*.ome.tif"))
    worker.order = replace(worker.order, counts=True)
    (record,) = worker.explain([0])
    assert record["numbers"]["counterfactual_alpha_1_counts_class"] in {"DS", "TT"}
    with tifffile.TiffFile(folder / "counterfactual_alpha_1.ome.tif") as file:
        assert [name for name in worker.package.channels if f'Name="{name}"' in str(file.ome_metadata)] == list(
            worker.package.channels
        )
        counts = file.asarray()
    saved, _ = read_tiff16(folder / "counterfactual_alpha_1.tif")
    np.testing.assert_array_equal(counts, np.clip(np.rint(saved), 0, 255))


def test_counterfactuals_are_saved_in_the_units_of_the_acquisition(worker: FieldWorker) -> None:
    """A plate that is brought to another level before the network sees it is brought back before it is written."""
    plate = str(worker.table["Metadata_Plate"].iloc[0])
    levels = [[20.0, 2.0]] * 3
    worker.order = replace(worker.order, methods=("counterfactual",), adjust={plate: levels})
    (record,) = worker.explain([0])
    image = worker._read(0)
    np.testing.assert_allclose(image.raw, 20 + 2 * image.acquired, rtol=1e-5)
    (made,) = explain_fields(worker.package, image.raw[None], ["counterfactual"], Context())
    saved, _ = read_tiff16(Path(worker.order.out) / "images" / record["field"] / "counterfactual_alpha_0.tif")
    wanted = made.images["counterfactual_alpha_0"]
    assert not np.allclose(saved, wanted, atol=1)
    np.testing.assert_allclose(20 + 2 * saved, wanted, atol=1e-2 * np.ptp(wanted))


LEVELS = [[20.0, 2.0]] * 3


def black(path: Path, image: np.ndarray, channels: object, full_scale: int) -> object:
    """Write another image than the one that was made."""
    return worker_module_write(path, np.zeros_like(image), channels, full_scale)


worker_module_write = worker_module.write_tiff16


@pytest.mark.parametrize("levels", [None, LEVELS])
def test_certificates_judge_what_the_file_holds(
    worker: FieldWorker, levels: list[list[float]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = str(worker.table["Metadata_Plate"].iloc[0])
    worker.order = replace(worker.order, methods=("counterfactual",), adjust=levels and {plate: levels}, counts=True)
    (before,) = worker.explain([0])
    monkeypatch.setattr(worker_module, "write_tiff16", black)
    (after,) = worker.explain([0])
    key, image = "counterfactual_alpha_1", worker._read(0)
    file = np.zeros_like(image.raw)
    seen = predict_fields(worker.package, (20 + 2 * file if levels else file)[None])[0]
    numbers = after["numbers"]
    assert numbers[f"{key}_class"] == numbers[f"{key}_counts_class"] == ("DS", "TT")[seen.argmax()]
    target = ("DS", "TT").index(numbers["counterfactual_target"])
    np.testing.assert_allclose(numbers[f"{key}_probability"], seen[target], atol=1e-5)
    assert numbers[f"{key}_valid"] == (seen.argmax() == target)
    assert numbers[f"{key}_probability"] != before["numbers"][f"{key}_probability"]
    for channel, acquired in zip(worker.package.channels, image.acquired, strict=True):
        np.testing.assert_allclose(numbers[f"{key}_change_{channel}"], -acquired.mean(), rtol=1e-4)


def test_counts_are_judged_by_themselves(worker: FieldWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.order = replace(worker.order, methods=("counterfactual",), counts=True)
    write = worker_module.write_counts
    seen = set()
    for value in (0, 255):
        monkeypatch.setattr(
            worker_module,
            "write_counts",
            lambda path, image, *more, v=value: write(path, np.full_like(image, v), *more),
        )
        (record,) = worker.explain([0])
        raw = np.full_like(worker._read(0).raw, value)
        expected = ("DS", "TT")[predict_fields(worker.package, raw[None])[0].argmax()]
        assert record["numbers"]["counterfactual_alpha_1_counts_class"] == expected
        seen.add(expected)
    assert len(seen) == 2
