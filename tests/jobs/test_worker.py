from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from leigh_mlops.explanations import Context, explain_fields
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
    np.testing.assert_array_equal(counts, np.clip(np.rint(saved), 0, 65535))


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
