import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
import torch
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import (
    COUNTERFACTUAL_KINDS,
    ExplanationContext,
    FieldExplanation,
    explain_fields,
    predict_fields,
)
from leigh_mlops.explanations.counterfactuals import generation as generation_module
from leigh_mlops.explanations.counterfactuals.decoding import DecodedImages
from leigh_mlops.jobs import field_folder as folder_module
from leigh_mlops.jobs import worker as worker_module
from leigh_mlops.jobs.options import ExplainOptions, resolve_options
from leigh_mlops.jobs.reporting.captions import describe_map
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder, fit_batch_size
from leigh_mlops.models import InverseError, build_model, save_package
from leigh_mlops.report.image_files import read_tiff16
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.training import image_bytes
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a package and the table of a plate."""
    folder = tmp_path_factory.mktemp("worker")
    data = prepared(write_class_folders(folder / "plate"), cache=folder / "cache")
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
    images = next(iter(data.batches("train", data.scale("linear"), 64))).images
    with torch.no_grad():  # as many images of either class, so that each has a mean latent
        list(model.head.parameters())[-1].sub_(model(images).median(dim=0).values)
    save_package(make_package(model, data.scale("linear"), data, fit_baselines(data), {}), folder / "package")
    data.table.to_parquet(folder / "table.parquet")
    return folder


@pytest.fixture
def worker(place: Path, tmp_path: Path) -> FieldWorker:
    return FieldWorker(WorkOrder(str(place / "package"), str(place / "table.parquet"), str(tmp_path / "out"), ()))


def ask(worker: FieldWorker, methods: tuple[str, ...], **options: object) -> None:
    """Give a worker another order."""
    resolved = resolve_options(ExplainOptions(**options), worker.package)  # type: ignore[arg-type]
    worker.order = replace(worker.order, methods=methods, options=resolved)


def test_fields_that_made_the_model_are_marked(worker: FieldWorker) -> None:
    records = worker.explain(list(range(24)))
    split = pd.read_parquet(worker.order.table)["Metadata_Split"]
    assert [record["seen"] for record in records] == (split != "test").tolist()
    assert all({"predicted", "probability_DS", "probability_TT"} <= set(record["numbers"]) for record in records)


def test_records_do_not_depend_on_how_many_workers_share_the_batches(place: Path, tmp_path: Path) -> None:
    def explain(name: str, *shares: list[list[int]]) -> dict[str, str]:
        """Records by field, as JSON, of one worker for each share of the batches."""
        records = []
        for batches in shares:
            out = str(tmp_path / name)
            worker = FieldWorker(WorkOrder(str(place / "package"), str(place / "table.parquet"), out, ()))
            ask(worker, ("counterfactual", "occlusion"), window=16, stride=16)
            records += [record for batch in batches for record in worker.explain(batch)]
        return {record["field"]: json.dumps(record) for record in records}

    alone = explain("alone", [[0, 1], [2, 3], [4, 5]])
    assert len({text.partition('"numbers"')[2] for text in alone.values()}) == 6
    assert explain("shared", [[4, 5]], [[2, 3], [0, 1]]) == alone
    files = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.tif*"))
    assert files
    assert [(tmp_path / "alone" / file).read_bytes() for file in files] == [
        (tmp_path / "shared" / file).read_bytes() for file in files
    ]


def test_half_written_files_of_a_killed_job_are_removed_and_others_kept(worker: FieldWorker) -> None:
    (record,) = worker.explain([0])
    folder = Path(worker.order.out) / "images" / record["field"]
    half, others = folder / f".{uuid4().hex}.png", folder / ".notes.txt"
    half.touch()
    others.touch()
    names = {path.name for path in folder.iterdir()}
    worker.explain([0])
    assert {path.name for path in folder.iterdir()} == names - {half.name}


def test_one_field_that_cannot_be_explained_does_not_take_its_neighbours(
    worker: FieldWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("failure" in record for record in worker.explain([0, 1, 2]))
    save = FieldWorker._save

    def broken(self: FieldWorker, explained: worker_module.ExplainedField) -> dict[str, object]:
        if explained.field.row == 1:
            raise ValueError("3 pixels are not finite")
        return save(self, explained)

    monkeypatch.setattr(FieldWorker, "_save", broken)
    records = worker.explain([0, 1, 2])
    assert [record.get("failure") for record in records] == [None, "3 pixels are not finite", None]


def test_pictures_are_drawn_while_another_batch_may_use_the_network(
    worker: FieldWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: dict[str, bool] = {}
    explain, save = worker._explain_together, worker._save

    def note(name: str) -> None:
        locked[name] = worker._model_lock.locked()

    monkeypatch.setattr(worker, "_explain_together", lambda fields: (note("network"), explain(fields))[1])
    monkeypatch.setattr(worker, "_save", lambda explained: (note("pictures"), save(explained))[1])
    worker({"row": np.array([0, 1])})
    assert locked == {"network": True, "pictures": False}
    assert not worker._model_lock.locked()


def test_a_worker_has_the_threads_of_its_share(worker: FieldWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(worker_module.cv2, "setNumThreads", asked.append)
    FieldWorker(worker.order)
    assert not asked
    FieldWorker(replace(worker.order, threads=3))
    assert asked == [3, 3]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_full_disk_is_no_fields_fault(number: int, worker: FieldWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(worker_module.FieldWorker, "_save", fails)
    with pytest.raises(OSError, match=os.strerror(number)):
        worker.explain([0, 1])


def test_another_bit_depth_is_a_failure(worker: FieldWorker) -> None:
    worker.package.scale["full_scale"] = 65535
    (record,) = worker.explain([0])
    assert "give images of the same bit depth" in record["failure"]


def test_counterfactuals_are_written_as_counts_of_the_camera_on_request(worker: FieldWorker) -> None:
    ask(worker, ("counterfactual",))
    (record,) = worker.explain([0])
    folder = Path(worker.order.out) / "images" / record["field"]
    assert not list(folder.glob("*.ome.tif"))
    ask(worker, ("counterfactual",), counts=True)
    (record,) = worker.explain([0])
    assert record["numbers"]["counterfactual_typical_counts_class"] in {"DS", "TT"}
    with tifffile.TiffFile(folder / "counterfactual_typical.ome.tif") as file:
        assert [name for name in worker.package.channels if f'Name="{name}"' in str(file.ome_metadata)] == list(
            worker.package.channels
        )
        counts = file.asarray()
    saved, _ = read_tiff16(folder / "counterfactual_typical.tif")
    np.testing.assert_array_equal(counts, np.clip(np.rint(saved), 0, 255))


def test_counterfactuals_are_saved_in_the_units_of_the_acquisition(worker: FieldWorker) -> None:
    """A plate that is brought to another level before the network sees it is brought back before it is written."""
    plate = str(worker.table["Metadata_Plate"].iloc[0])
    levels = [[20.0, 2.0]] * 3
    ask(worker, ("counterfactual",))
    worker.reader.preparation.adjust = {plate: levels}
    (record,) = worker.explain([0])
    image = worker.reader.read(0)
    np.testing.assert_allclose(image.raw, 20 + 2 * image.acquired, rtol=1e-5)
    (made,) = explain_fields(
        worker.package, image.raw[None], ["counterfactual"], ExplanationContext(kinds=("boundary",))
    )
    saved, _ = read_tiff16(Path(worker.order.out) / "images" / record["field"] / "counterfactual_boundary.tif")
    wanted = made.images["counterfactual_boundary"]
    assert not np.allclose(saved, wanted, atol=1)
    np.testing.assert_allclose(20 + 2 * saved, wanted, atol=1e-2 * np.ptp(wanted))


GIB = 2**30
LEVELS = [[20.0, 2.0]] * 3


def black(path: Path, image: np.ndarray, channels: object, full_scale: int) -> object:
    """Write another image than the one that was made."""
    return write_tiff16(path, np.zeros_like(image), channels, full_scale)


write_tiff16 = folder_module.write_tiff16


@pytest.mark.parametrize("levels", [None, LEVELS])
def test_certificates_judge_what_the_file_holds(
    worker: FieldWorker, levels: list[list[float]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = str(worker.table["Metadata_Plate"].iloc[0])
    ask(worker, ("counterfactual",), counts=True)
    worker.reader.preparation.adjust = levels and {plate: levels}
    (before,) = worker.explain([0])
    monkeypatch.setattr(folder_module, "write_tiff16", black)
    (after,) = worker.explain([0])
    key, image = "counterfactual_boundary", worker.reader.read(0)
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
    ask(worker, ("counterfactual",), counts=True)
    write = folder_module.write_counts
    seen = set()
    for value in (0, 255):
        monkeypatch.setattr(
            folder_module,
            "write_counts",
            lambda path, image, *more, v=value: write(path, np.full_like(image, v), *more),
        )
        (record,) = worker.explain([0])
        raw = np.full_like(worker.reader.read(0).raw, value)
        expected = ("DS", "TT")[predict_fields(worker.package, raw[None])[0].argmax()]
        assert record["numbers"]["counterfactual_typical_counts_class"] == expected
        seen.add(expected)
    assert len(seen) == 2


def test_every_saved_counterfactual_has_the_columns_of_its_kind(worker: FieldWorker) -> None:
    ask(worker, ("counterfactual",), counterfactual=COUNTERFACTUAL_KINDS)
    (record,) = worker.explain([0])
    numbers = record["numbers"]
    assert {"counterfactual_target", "predicted", "latent_distance", "latent_1"} <= set(numbers)
    assert {"image_intensity_DAPI", "image_nuclei_area"} <= set(numbers)
    measured = {
        "class", "probability", "valid", "length", "way", "attempts", "reencoding_error", "padding_energy", "residual",
        "clipped", "changed", "change_DAPI", "change_TMRM", "distance", "status", "eight_bit_class",
        "after_intensity_DAPI", "after_nuclei_area",
    }  # fmt: skip
    for kind in COUNTERFACTUAL_KINDS:
        assert {f"counterfactual_{kind}_{name}" for name in measured} <= set(numbers)
        assert f"counterfactual_{kind}" in record["pictures"]
    assert not any("twin" in name for name in numbers)
    assert f"counterfactual_{COUNTERFACTUAL_KINDS[-1]}_map" in record["pictures"]


def test_single_fields_have_targets_of_their_own(worker: FieldWorker) -> None:
    def targets(**order: object) -> list[str]:
        worker.order = replace(worker.order, methods=("grad_cam",), **order)  # type: ignore[arg-type]
        return [record["numbers"]["grad_cam_target"] for record in worker.explain([0, 1, 2])]

    predicted = targets()
    other = {"DS": "TT", "TT": "DS"}[predicted[1]]
    assert targets(targets={worker.explain([1])[0]["field"]: other}) == [predicted[0], other, predicted[2]]
    assert targets(options=replace(worker.order.options, target="DS")) == ["DS", other, "DS"]


def test_fields_that_are_the_target_already_get_a_note(worker: FieldWorker) -> None:
    ask(worker, ("counterfactual",), counterfactual=("boundary",), target="DS")
    records = worker.explain(list(range(4)) + list(range(20, 24)))
    assert {record["numbers"]["predicted"] for record in records} == {"DS", "TT"}
    for record in records:
        already = record["numbers"]["predicted"] == "DS"
        assert (record["numbers"].get("counterfactual_note") == "already DS") == already
        assert ("counterfactual_boundary" in record["pictures"]) != already


def test_a_kind_that_cannot_be_inverted_takes_neither_the_field_nor_its_other_kinds(
    worker: FieldWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = generation_module.decode_all

    def fails(model: torch.nn.Module, latents: torch.Tensor) -> DecodedImages:
        """The last kind of a field is the second half."""
        found, half = decode(model, latents), len(latents) // 2
        return found._replace(failures=("",) * half + ("block 1 of stage 1 did not converge",) * half)

    ask(worker, ("counterfactual",), counterfactual=("boundary", "confident"), sweep=3)
    (whole,) = worker.explain([0])
    monkeypatch.setattr(generation_module, "decode_all", fails)
    (record,) = worker.explain([0])
    numbers = record["numbers"]
    assert numbers["counterfactual_confident_note"] == "block 1 of stage 1 did not converge"
    assert numbers["counterfactual_boundary_status"] == whole["numbers"]["counterfactual_boundary_status"]
    lost = set(whole["pictures"]) - set(record["pictures"])
    assert {"counterfactual_confident", "sweep_strip", "sweep_film"} <= lost
    assert "counterfactual_boundary_map" in record["pictures"]


def test_a_batch_leaves_what_its_fields_leave_alone(worker: FieldWorker) -> None:
    ask(worker, ("counterfactual",))
    together = worker.explain([0, 1, 23])
    for record, row in zip(together, (0, 1, 23), strict=True):
        (alone,) = worker.explain([row])
        assert alone["pictures"] == record["pictures"]
        assert set(alone["numbers"]) == set(record["numbers"])
        for name, value in alone["numbers"].items():
            if isinstance(value, float) and not name.endswith("_residual"):
                np.testing.assert_allclose(record["numbers"][name], value, rtol=1e-2, atol=1e-3, err_msg=name)


def test_a_sweep_is_a_strip_and_two_films(worker: FieldWorker) -> None:
    ask(worker, ("counterfactual",), sweep=3)
    (record,) = worker.explain([0])
    out = Path(worker.order.out)
    strip_path, film = record["pictures"]["sweep_strip"], record["pictures"]["sweep_film"]
    assert (out / strip_path).suffix == ".png"
    with Image.open(out / film) as frames:
        assert frames.n_frames == 4  # there and back
    assert (out / record["numbers"]["sweep_video"]).stat().st_size > 0


def test_a_sweep_past_what_can_be_inverted_is_a_note(worker: FieldWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise InverseError("block 1 of stage 1 did not converge")

    monkeypatch.setattr(worker_module, "counterfactual_sweep", fails)
    ask(worker, ("counterfactual",), sweep=3)
    (record,) = worker.explain([0])
    assert record["numbers"]["sweep_note"] == "block 1 of stage 1 did not converge"
    assert record["numbers"]["counterfactual_typical_attempts"] >= 1


def test_a_sweep_that_cannot_become_a_film_is_a_strip_and_a_note(
    worker: FieldWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise LeighError("sweep.mp4 cannot be written; take the WebP.")

    monkeypatch.setattr(folder_module, "write_mp4", fails)
    ask(worker, ("counterfactual",), sweep=3)
    (record,) = worker.explain([0])
    assert record["numbers"]["sweep_note"] == "sweep.mp4 cannot be written; take the WebP."
    assert "sweep_video" not in record["numbers"]
    for name in ("sweep_strip", "sweep_film"):
        assert (Path(worker.order.out) / record["pictures"][name]).exists()


def test_a_counterfactual_that_is_the_image_has_no_sweep(worker: FieldWorker) -> None:
    ask(worker, ("counterfactual",), sweep=3)
    found = FieldExplanation()
    latent = torch.zeros(12, 8, 8)
    found.verified["confident"] = SimpleNamespace(latent=latent, shifted=latent, alpha=0.0)
    assert worker._sweep(found) is None
    assert found.numbers["sweep_note"] == "the counterfactual is the image itself, so there is no step to show"


def test_interpolations_lead_to_a_field_on_request(worker: FieldWorker) -> None:
    ask(worker, ("interpolation",))
    (record,) = worker.explain([0])
    assert record["numbers"]["interpolation_target"] in {"DS", "TT"}
    assert "interpolation_towards" not in record["numbers"]
    row = worker.table.iloc[5]
    name = f"{row['Metadata_Plate']}/{row['Metadata_Well']}/{row['Metadata_Site']}"
    towards = FieldWorker(replace(worker.order, options=ExplainOptions(towards_field=name)))
    (record,) = towards.explain([0])
    numbers = record["numbers"]
    assert numbers["interpolation_towards"] == name
    assert "interpolation_target" not in numbers
    assert numbers["interpolation_reencoding_error"] < 1e-2
    start, end = (worker.reader.read(place).raw.mean(axis=(1, 2)) for place in (0, 5))
    for channel, change in zip(worker.package.channels, end - start, strict=True):
        np.testing.assert_allclose(numbers[f"interpolation_change_{channel}"], change, atol=1e-2)


@pytest.mark.parametrize("label", ["DS", "TT", "unknown", None])
def test_interpolations_lead_away_from_the_label_or_else_from_the_prediction(
    worker: FieldWorker, label: str | None
) -> None:
    ask(worker, ("interpolation",))
    worker.table["Metadata_Condition"] = label
    for row in (0, 23):
        (record,) = worker.explain([row])
        away_from = label if label in ("DS", "TT") else record["numbers"]["predicted"]
        assert record["numbers"]["interpolation_target"] == {"DS": "TT", "TT": "DS"}[away_from]


def test_a_reconstruction_says_its_error_in_raw_intensity(worker: FieldWorker) -> None:
    ask(worker, ("reconstruction",))
    (record,) = worker.explain([0])
    for channel in worker.package.channels:
        assert 0 <= record["numbers"][f"reconstruction_error_{channel}"] < 1e-2


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_as_large_as_memory_and_no_larger(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        model = build_model("resnext", classes=["A", "B"], image_size=64, channels=3)
    one = image_bytes(model)
    sizes = []
    for images in (0.5, 2, 6, 1000):
        free = SimpleNamespace(available=int(2 * images * one * workers))
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: free)
        sizes.append(fit_batch_size(model, workers))
    assert sizes == [1, 2, 6, 8]


def test_an_image_takes_more_where_it_is_larger() -> None:
    with torch.device("meta"):
        models = [build_model("resnext", classes=["A", "B"], image_size=size, channels=3) for size in (32, 64, 224)]
    sizes = [image_bytes(model) for model in models]
    assert sizes[0] < sizes[1] < sizes[2]
    assert 3 < sizes[1] / sizes[0] < 5
    # Activations of ResNeXt50 at 224 px, kept for the way back: some 25 million numbers of four bytes.
    assert 0.08 * GIB < sizes[2] < 0.3 * GIB


def test_edits_are_those_of_some_fields(worker: FieldWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(worker, ("counterfactual",))
    monkeypatch.setattr(worker_module, "_MOST_EDITS", 0)
    (without,) = worker.explain([0])
    assert not any(name.startswith(("part_", "sham_", "smallest_edit_")) for name in without["numbers"])
    monkeypatch.setattr(worker_module, "_MOST_EDITS", len(worker.table))
    (record,) = worker.explain([0])
    assert {"part_intensity_of_TMRM_class", "sham_turned", "smallest_edit_area"} <= set(record["numbers"])
    with Image.open(Path(worker.order.out) / record["pictures"]["smallest_edit_curve"]) as drawn:
        assert drawn.size == (224, 224)
    assert "smallest_edit_curve" not in without["pictures"]
    assert ("smallest_edit_image" in record["pictures"]) == ("smallest_edit_share" in record["numbers"])
    assert set(record["texture"]) >= {"image", "boundary", "typical"}
    assert record["numbers"]["image_nuclei_count"] >= 0


def test_one_heatmap_of_each_field_is_kept_small(worker: FieldWorker) -> None:
    ask(worker, ())
    assert "map" not in worker.explain([0])[0]
    ask(worker, ("integrated_gradients",))
    (record,) = worker.explain([0])
    assert record["map"]["method"] == "integrated_gradients"
    assert np.shape(record["map"]["values"]) == (16, 16)


def test_a_badly_reconstructed_field_is_saved_with_the_map_of_its_errors(tmp_path: Path) -> None:
    data = prepared(write_class_folders(tmp_path / "plate"), cache=tmp_path / "cache")
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=data.classes, image_size=32, channels=3, widths=(4, 4)).eval()
    package = make_package(model, data.scale("linear"), data, None, {}, references={})
    data.table.to_parquet(tmp_path / "table.parquet")
    records = {}
    for name, limit in (("usual", 1e6), ("unusual", 0.0)):
        package.about["error_limit"] |= {"limit": limit}
        save_package(package, tmp_path / name)
        out = tmp_path / f"out-{name}"
        order = WorkOrder(str(tmp_path / name), str(tmp_path / "table.parquet"), str(out), ("reconstruction",))
        (records[name],) = FieldWorker(order).explain([0])
    assert "error_map" not in records["usual"]["pictures"]
    assert (out / records["unusual"]["pictures"]["error_map"]).is_file()
    numbers = records["unusual"]["numbers"]
    assert numbers["error_map_full_colour"] == package.about["error_limit"]["full_colour"]
    titled = describe_map("error_map", numbers)
    assert titled is not None
    assert titled[0] == "Error of the reconstruction"
