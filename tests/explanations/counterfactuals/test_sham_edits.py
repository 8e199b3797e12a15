"""Edits from a class to itself, whose effect is the noise of the method."""

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import mapped_fields, predict_by_all, predict_fields, sham_edits
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.transport import SHAM, ClassMaps, MomentMap
from tests.explanations.test_field_explanations import package_of, raw_of


class ForeignPanel:
    """Two classifiers that see class 0 where the image is bright; one of them can't distinguish real fields."""

    competent = ("cnn",)

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def log_probs(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        is_bright = raw.mean((1, 2, 3)) > self.limit
        found = np.where(is_bright[:, None], np.log([0.9, 0.1]), np.log([0.1, 0.9]))
        return {"cnn": found, "forest": found}


@pytest.fixture
def package(flow, images) -> ModelPackage:
    return package_of(flow, images)


def offsets(first: float, second: float) -> ClassMaps:
    """Sham maps that add a number of the network's units."""
    return ClassMaps(
        {SHAM: {(k, k): MomentMap(np.ones(2), np.full(2, float(each))) for k, each in enumerate((first, second))}}
    )


def test_maps_that_change_nothing_flip_nothing(package, images) -> None:
    package.class_maps = offsets(0, 0)
    raw = np.maximum(raw_of(images[:8]), 1)
    package.oracles = ForeignPanel(float(np.median(raw.mean((1, 2, 3)))))
    found = sham_edits(package, raw)
    assert found.rates == {"network": 0, "cnn": 0}
    assert found.changes.max() == 0
    np.testing.assert_array_equal(found.images, raw)


def test_flips_and_changes_are_those_of_each_field(package, images) -> None:
    package.class_maps = offsets(1.5, -1.5)
    raw = np.maximum(raw_of(images[:8]), 1)
    source = predict_fields(package, raw).argmax(1)
    assert set(source.tolist()) == {0, 1}
    package.oracles = ForeignPanel(float(np.median(raw.mean((1, 2, 3)))))
    found = sham_edits(package, raw)
    edited = mapped_fields(package, raw, source, source, SHAM)
    np.testing.assert_array_equal(found.images, edited)
    np.testing.assert_allclose(found.changes, np.abs(edited - raw).mean((2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(found.flips["network"], predict_fields(package, edited).argmax(1) != source)
    before, after = (package.oracles.log_probs(each)["cnn"].argmax(1) for each in (raw, edited))
    np.testing.assert_array_equal(found.flips["cnn"], before != after)
    assert 0 < found.rates["cnn"] == (before != after).mean() < 1


def test_a_model_without_a_panel_answers_alone(package, images) -> None:
    assert package.oracles is None
    raw = raw_of(images[:2])
    found = predict_by_all(package, raw)
    assert list(found) == ["network"]
    np.testing.assert_array_equal(found["network"], predict_fields(package, raw))


def test_a_class_without_a_sham_is_an_error(package, images) -> None:
    with pytest.raises(LeighError, match="no sham from class"):
        sham_edits(package, raw_of(images[:2]))
