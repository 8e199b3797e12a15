"""Scores of counterfactuals by which the trials of a search are compared."""

import numpy as np
import pytest
import torch

from leigh_mlops.models import ModelPackage
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.counterfactual_scores import counterfactual_scores
from leigh_mlops.study.model_selection import counterfactual_references, make_package
from leigh_mlops.training import PreparedData
from tests.study.test_model_selection import build, data

__all__ = ["data"]


@pytest.fixture
def package(data: PreparedData) -> ModelPackage:
    """Package of an untrained network that predicts either class, with all that a job needs."""
    model = build("iresnet", data)
    images = next(iter(data.batches("train", data.scale("linear"), 64))).images
    with torch.no_grad():
        list(model.parameters())[-1].sub_(model(images).median(dim=0).values)
    return make_package(model, data.scale("linear"), data, fit_baselines(data), {})


def test_each_kind_has_its_scores(package: ModelPackage, data: PreparedData) -> None:
    found = counterfactual_scores(package, data)
    kinds = {"alpha_1", "boundary", "typical"}
    expected = {f"{kind}/{name}" for kind in kinds for name in ("valid", "oracles", "reencoding_error")}
    assert package.oracles is not None
    assert package.oracles.competent
    assert set(found) == expected | {"boundary/alpha"}
    assert all(0 <= found[f"{kind}/{name}"] <= 1 for kind in kinds for name in ("valid", "oracles"))
    assert 0 < found["boundary/alpha"] <= 1.5
    assert found == counterfactual_scores(package, data)


def test_other_networks_have_none(data: PreparedData) -> None:
    package = make_package(build("autoencoder", data), data.scale("linear"), data, fit_baselines(data), {})
    assert counterfactual_scores(package, data) == {}


def test_references_of_a_study_are_those_of_each_package(package: ModelPackage, data: PreparedData) -> None:
    scale = data.scale("linear")
    shared = counterfactual_references(data, scale)
    again = make_package(build("iresnet", data), scale, data, fit_baselines(data), {}, references=shared)
    assert set(shared) <= set(again.arrays) == set(package.arrays)
    for name, array in shared.items():
        np.testing.assert_array_equal(again.arrays[name], package.arrays[name])
        assert again.arrays[name] is array
