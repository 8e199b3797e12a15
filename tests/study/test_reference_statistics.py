from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp

from leigh_mlops.images import region_features
from leigh_mlops.models import Network, build_model, load_package, save_package
from leigh_mlops.scores import aggregate_wells
from leigh_mlops.scores.calibration import fit_temperature
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.reference_statistics import (
    channel_measures,
    energy_limit,
    error_limit,
    measure_calibration,
    reliability_facts,
    validation_logits,
)
from leigh_mlops.training import PreparedData
from tests.training.conftest import prepared


@pytest.fixture
def data(class_folders: Path) -> PreparedData:
    return prepared(class_folders)


def test_a_package_brings_calibration_energy_and_stains(data: PreparedData, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
    scale = data.scale("linear")
    save_package(make_package(model, scale, data, fit_baselines(data), {}, references={}), tmp_path)
    package = load_package(tmp_path)
    rows, logits = validation_logits(model, scale, data)
    assert rows.tolist() == data.rows("val").tolist()
    wells = aggregate_wells(list(data.wells[rows]), data.labels[rows], log_softmax(logits, axis=1))
    known = package.about["calibration"]
    assert known["temperature"] == pytest.approx(fit_temperature(wells.labels, wells.log_probs), rel=1e-4)
    assert known["wells"] == len(wells.wells)
    assert {"ece_before", "ece_after"} < set(known)
    assert package.about["energy_limit"]["limit"] == pytest.approx(
        float(np.quantile(-logsumexp(logits, axis=1), 0.99)), rel=1e-4
    )
    assert package.about["energy_limit"]["fields"] == len(rows)
    assert package.calibration_wells is not None
    own = -wells.log_probs[np.arange(len(wells.labels)), wells.labels]
    np.testing.assert_array_equal(package.calibration_wells.labels, wells.labels)
    np.testing.assert_allclose(package.calibration_wells.scores, own, rtol=1e-4)
    # The third channel joins the two others.
    assert package.about["measured_channels"] == ["DAPI", "TMRM"]
    assert package.arrays["channel_measures"].shape == (len(data.rows("train")), 2, 2)


def test_the_test_part_takes_no_part(data: PreparedData) -> None:
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
    scale = data.scale("linear")
    facts, arrays = reliability_facts(model, scale, data)
    without = replace(
        data,
        table=data.table.assign(
            Metadata_Split=data.table["Metadata_Split"].where(data.table["Metadata_Split"] != "test")
        ),
    )
    again, same = reliability_facts(model, scale, without)
    assert again == facts
    for name in ("channel_measures", "calibration/labels", "calibration/scores"):
        np.testing.assert_array_equal(arrays[name], same[name])


def test_an_autoencoder_has_stains_and_errors_alone(data: PreparedData) -> None:
    model = build_model("autoencoder", classes=data.classes, image_size=32, channels=3, widths=(4, 4)).eval()
    facts, arrays = reliability_facts(model, data.scale("linear"), data)
    assert set(facts) == {"measured_channels", "error_limit"}
    assert set(arrays) == {"channel_measures"}


def test_overconfident_logits_get_a_high_temperature(data: PreparedData) -> None:
    rows = data.rows("val")
    # Sure of the first class, whichever it is: right half of the time.
    logits = np.tile([8.0, -8.0], (len(rows), 1))
    found = measure_calibration(data, rows, logits)
    assert found["temperature"] > 5
    assert found["ece_after"] < found["ece_before"]


def test_limits_by_hand() -> None:
    # Equal logits a of two classes have the energy -a - log 2.
    limit = energy_limit(np.tile(np.arange(101.0)[:, None], (1, 2)))
    assert limit == {"limit": pytest.approx(-1 - np.log(2)), "fields": 101}


def test_stains_are_measured_as_acquired(data: PreparedData) -> None:
    names, measured = channel_measures(data)
    row = data.rows("train")[0]
    features = region_features(data.cache.raw(np.array([row]))[0], data.channels, [0.0] * 3)
    expected = [[features[f"intensity_{name}"], features[f"texture_{name}"]] for name in names]
    np.testing.assert_allclose(measured[0], np.log(expected), rtol=1e-6)
    brighter = replace(data, cache=replace(data.cache, adjust=np.tile([5.0, 2.0], (len(data.table), 3, 1))))
    np.testing.assert_array_equal(channel_measures(brighter)[1], measured)


def test_the_limit_of_errors_is_that_of_training_fields(data: PreparedData, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=data.classes, image_size=32, channels=3, widths=(4, 4)).eval()
    scale, rows = data.scale("linear"), data.rows("train")
    save_package(make_package(model, scale, data, None, {}, references={}), tmp_path)
    known = load_package(tmp_path).about["error_limit"]
    images = torch.cat([batch.images for batch in data.batches_from_rows(rows, scale, 64)])
    with torch.no_grad():
        squares = (model(images) - images).square().mean(dim=1).numpy()
    errors = squares.mean(axis=(1, 2))
    assert known["fields"] == len(rows)
    assert known["limit"] == pytest.approx(float(np.quantile(errors, 0.99)), rel=1e-4)
    assert known["full_colour"] == pytest.approx(float(np.percentile(squares, 99.5)), rel=1e-3)
    assert error_limit(model, scale, data) == known
    assert "error_limit" not in reliability_facts(model_of(data), scale, data)[0]


def model_of(data: PreparedData) -> Network:
    return build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
