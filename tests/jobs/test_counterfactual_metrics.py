"""What a job says of saved counterfactuals, on a demo plate whose twins are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leigh_mlops.explanations import FieldExplanation, VerifiedCounterfactual, predict_fields
from leigh_mlops.jobs import counterfactual_metrics
from leigh_mlops.jobs.counterfactual_metrics import CounterfactualEvaluator, measure_changes
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.jobs.oracle_evaluation import OracleEvaluation, RegisteredOracle
from leigh_mlops.jobs.saved_counterfactual import SavedCounterfactual
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder
from leigh_mlops.models import ModelPackage, build_model, load_package, save_package
from leigh_mlops.plates import find_images, write_demo_plate
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from tests.training.conftest import prepared


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_plate(
        tmp_path_factory.mktemp("twins") / "demo",
        wells_per_class=4,
        fields_per_well=1,
        image_size_px=32,
        twins=True,
        effect="intensity",
    )


def made(demo: Path, family: str, **architecture: object) -> ModelPackage:
    data = prepared(demo, cache=demo.parent / "cache")
    torch.manual_seed(0)
    model = build_model(family, classes=data.classes, image_size=32, channels=len(data.channels), **architecture).eval()
    images = next(iter(data.batches("train", data.scale("linear"), 64))).images
    with torch.no_grad():  # as many images of either class, so that each has a mean latent
        list(model.parameters())[-1].sub_(model(images).median(dim=0).values)
    return make_package(model, data.scale("linear"), data, fit_baselines(data), {})


@pytest.fixture(scope="module")
def folder(demo: Path) -> Path:
    save_package(made(demo, "iresnet", blocks=(1, 1), widths=(8, 8)), demo.parent / "package")
    return demo.parent / "package"


@pytest.fixture
def package(folder: Path) -> ModelPackage:
    return load_package(folder)


def reader(package: ModelPackage, demo: Path, twins: bool = True) -> FieldReader:
    return FieldReader(package, find_images(demo).table, None, demo if twins else None)


def certified(share: float, **measured: float) -> VerifiedCounterfactual:
    """A file to which the model gives this probability of its target."""
    none, latent = np.zeros(0, np.float32), torch.zeros(0)
    known = {"reencoding_error": 0.0, "padding_energy": 0.0, "residual": 0.0, "distance": 0.0} | measured
    margin = float(np.log(share / (1 - share)))
    return VerifiedCounterfactual(
        none, none, 1, latent, latent, latent, 1.0, 1, np.log([1 - share, share]), margin, **known
    )


def saved(
    package: ModelPackage,
    reads: FieldReader,
    row: int,
    target: str,
    acquired: np.ndarray,
    file: VerifiedCounterfactual | None = None,
    kind: str = "boundary",
) -> SavedCounterfactual:
    found = FieldExplanation({"counterfactual_target": target}, verified={kind: file or certified(0.5)})
    return SavedCounterfactual(reads.read(row), kind, acquired, found)


@pytest.mark.parametrize(
    ("kind", "share", "measured", "status"),
    [
        ("boundary", 0.5, {}, "green"),
        ("boundary", 0.46, {}, "green"),
        ("boundary", 0.4, {}, "red"),
        ("boundary", 0.6, {}, "amber"),
        ("confident", 0.95, {}, "green"),
        ("confident", 0.8, {}, "amber"),
        ("confident", 0.4, {}, "red"),
        ("alpha_1", 0.6, {}, "green"),
        ("confident", 0.95, {"padding_energy": 0.5}, "amber"),
        ("confident", 0.95, {"distance": 9.0}, "amber"),
        ("confident", 0.95, {"reencoding_error": 0.5}, "amber"),
    ],
)
def test_the_status_is_given_what_was_measured(
    package: ModelPackage, demo: Path, kind: str, share: float, measured: dict[str, float], status: str
) -> None:
    reads = reader(package, demo)
    image = reads.read(0).acquired
    each = saved(package, reads, 0, "TT", image, certified(share, **measured), kind)
    assert measure_changes(package, each, 0.95)[f"counterfactual_{kind}_status"] == status
    beyond = measure_changes(package, each._replace(acquired=image - 1000), 0.95)
    expected = "red" if status == "red" else "amber"  # beyond the camera's range
    assert beyond[f"counterfactual_{kind}_status"] == expected


def test_the_twin_is_no_error_and_the_original_is_as_good_as_nothing(package: ModelPackage, demo: Path) -> None:
    reads = reader(package, demo)
    own = str(reads.table["Metadata_Condition"].iloc[0])
    (other,) = {"DS", "TT"} - {own}
    twin, original = reads.twin(0, other), reads.read(0).acquired
    assert twin is not None
    assert not np.allclose(twin, original)
    np.testing.assert_array_equal(reads.twin(0, own), original)
    halfway = (twin + original) / 2
    for image, expected in ((twin, 0), (original, 1), (halfway, 0.5)):
        each = saved(package, reads, 0, other, image)
        CounterfactualEvaluator(package, reads, 0.95).evaluate([each])
        assert each.explanation.numbers["counterfactual_boundary_twin_error"] == pytest.approx(expected, abs=1e-6)


def test_changes_are_those_of_the_file_also_outside_the_range(package: ModelPackage, demo: Path) -> None:
    reads = reader(package, demo)
    before = reads.read(0).acquired
    each = saved(package, reads, 0, "TT", before - 2 * before.max())
    CounterfactualEvaluator(package, reads, 0.95).evaluate([each])
    numbers, key = each.explanation.numbers, "counterfactual_boundary"
    assert numbers[f"{key}_clipped"] == numbers[f"{key}_changed"] == 1
    for channel in package.channels:
        assert numbers[f"{key}_change_{channel}"] == pytest.approx(-2 * before.max(), rel=1e-6)


def test_without_twins_there_is_no_error(package: ModelPackage, demo: Path) -> None:
    reads = reader(package, demo, twins=False)
    assert reads.twin(0, "TT") is None
    assert reader(package, demo).twin(0, "WT") is None
    each = saved(package, reads, 0, "TT", reads.read(0).acquired)
    CounterfactualEvaluator(package, reads, 0.95).evaluate([each])
    assert "counterfactual_boundary_twin_error" not in each.explanation.numbers


def test_the_oracle_judges_the_file_on_its_own_scale(package: ModelPackage, demo: Path) -> None:
    reads, oracle = reader(package, demo), made(demo, "iresnet", blocks=(1,), widths=(4,))
    oracle.scale = oracle.scale | {"mean": [0.4] * len(oracle.channels), "std": [0.01] * len(oracle.channels)}
    images = [reads.read(row).acquired for row in (0, 7)]
    drafts = [saved(package, reads, 0, "TT", image) for image in images]
    oracles = OracleEvaluation(package, {"other": RegisteredOracle(oracle)})
    CounterfactualEvaluator(package, reads, 0.95, oracles).evaluate(drafts)
    assert not np.allclose(predict_fields(oracle, np.stack(images)), predict_fields(package, np.stack(images)))
    for each, probabilities in zip(drafts, predict_fields(oracle, np.stack(images)), strict=True):
        numbers, classes = each.explanation.numbers, oracle.model.spec.classes
        assert numbers["counterfactual_boundary_oracle_other_class"] == classes[int(probabilities.argmax())]
        assert numbers["counterfactual_boundary_oracle_other_probability"] == pytest.approx(
            probabilities[classes.index("TT")], abs=1e-6
        )


def test_an_oracle_on_a_plate_of_its_own_level_sees_that_level(package: ModelPackage, demo: Path) -> None:
    reads = reader(package, demo)
    plate, image = reads.plate(0), reads.read(0).acquired
    levels = [[100.0, 2.0]] * len(package.channels)
    each = saved(package, reads, 0, "TT", image)
    oracles = OracleEvaluation(package, {"other": RegisteredOracle(package, {plate: levels})})
    CounterfactualEvaluator(package, reads, 0.95, oracles).evaluate([each])
    expected = predict_fields(package, (100 + 2 * image)[None])[0][package.model.spec.classes.index("TT")]
    found = each.explanation.numbers["counterfactual_boundary_oracle_other_probability"]
    assert found == pytest.approx(expected, abs=1e-5)


def test_eight_bits_between_the_display_limits() -> None:
    limits = np.array([[0.0, 255.0], [10.0, 20.0]], np.float32)
    raw = np.array([[[0.4, 0.6, 300.0, -5.0]], [[9.0, 10.01, 15.0, 21.0]]], np.float32)
    seen = counterfactual_metrics._quantise_to_8_bits(raw, limits)
    np.testing.assert_allclose(seen[0, 0], [0, 1, 255, 0])
    np.testing.assert_allclose(seen[1, 0], [10, 10, 10 + 128 / 25.5, 20], rtol=1e-5)


def test_thresholds_of_the_regions_are_brought_to_the_level_of_the_field(package: ModelPackage, demo: Path) -> None:
    reads = reader(package, demo)
    judge, field = CounterfactualEvaluator(package, reads, 0.95), reads.read(0)
    stored = package.about["region_thresholds"]
    np.testing.assert_allclose(judge._region_thresholds(field), stored)
    levels = np.array([[100.0, 2.0]] * len(stored), np.float32)
    moved = field._replace(adjust=levels)
    np.testing.assert_allclose(judge._region_thresholds(moved), (np.asarray(stored) - 100) / 2, rtol=1e-6)
    del package.about["region_thresholds"]
    assert all(
        field.acquired.min() <= threshold <= field.acquired.max() for threshold in judge._region_thresholds(field)
    )


def test_a_worker_compares_with_oracle_and_twin(folder: Path, demo: Path, tmp_path: Path) -> None:
    save_package(made(demo, "iresnet", blocks=(1,), widths=(4,)), tmp_path / "oracle")
    find_images(demo).table.to_parquet(tmp_path / "table.parquet")
    order = WorkOrder(str(folder), str(tmp_path / "table.parquet"), str(tmp_path / "out"), ("counterfactual",))
    added = {"counterfactual_typical_oracle_other_class", "counterfactual_typical_twin_error"}
    (plain,) = FieldWorker(order).explain([0])
    assert not added & set(plain["numbers"])
    more = replace(order, oracles={"other": str(tmp_path / "oracle")}, demo=str(demo))
    (record,) = FieldWorker(more).explain([0])
    assert added <= set(record["numbers"])
