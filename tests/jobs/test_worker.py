from pathlib import Path

import pandas as pd
import pytest

from leigh_mlops.jobs import worker as worker_module
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder
from leigh_mlops.models import build_model, save_package
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.finalists import make_package
from tests.training.conftest import prepared


@pytest.fixture
def worker(class_folders: Path, tmp_path: Path) -> FieldWorker:
    data = prepared(class_folders)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
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
