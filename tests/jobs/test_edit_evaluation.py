"""Columns of the edits beside a typical image."""

import numpy as np
import pytest

from leigh_mlops.explanations import predict_by_all, sham_edits
from leigh_mlops.jobs.edit_evaluation import FieldEdits, evaluate_edits
from leigh_mlops.jobs.reporting.column_descriptions import explain_columns
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.transport import SHAM, ClassMaps, MomentMap, named_parts
from tests.explanations.conftest import flow, images
from tests.explanations.counterfactuals.test_sham_edits import ForeignPanel
from tests.explanations.test_field_explanations import package_of, raw_of

__all__ = ["flow", "images"]


@pytest.fixture
def package(flow, images) -> ModelPackage:
    package = package_of(flow, images)
    package.class_maps = ClassMaps({SHAM: {(0, 0): MomentMap(np.ones(2), np.full(2, 0.5))}})
    return package


def evaluate(package: ModelPackage, raw: np.ndarray) -> tuple[list[FieldEdits], np.ndarray, np.ndarray]:
    source = predict_by_all(package, raw)["network"].argmax(1)
    typical = raw[::-1].copy()
    change_maps = np.abs(typical - raw).sum(1)
    return evaluate_edits(package, raw, typical, source, 1 - source, change_maps), typical, source


@pytest.fixture
def raw(images) -> np.ndarray:
    return np.maximum(raw_of(images[:8]), 1)


def test_parts_are_predicted_alone(package, raw) -> None:
    package.oracles = ForeignPanel(float(np.median(raw.mean((1, 2, 3)))))
    found, typical, source = evaluate(package, raw)
    for name, changed in named_parts(raw, typical, package.channels).items():
        column = f"part_{name.replace(' ', '_')}"
        votes = predict_by_all(package, changed)
        for row, each in enumerate(found):
            assert each.numbers[f"{column}_class"] == package.model.spec.classes[votes["network"][row].argmax()]
            assert each.numbers[f"{column}_oracles"] == int(votes["cnn"][row].argmax() == 1 - source[row])
            assert each.numbers[f"{column}_oracles_asked"] == 1
            np.testing.assert_array_equal(each.images[column], changed[row])


def test_classes_with_a_sham_have_its_noise(package, raw) -> None:
    found, _, source = evaluate(package, raw)
    assert set(source.tolist()) == {0, 1}
    shams = sham_edits(package, raw[source == 0])
    for place, row in enumerate(np.flatnonzero(source == 0)):
        assert found[row].numbers["sham_turned"] == shams.flips["network"][place]
        assert found[row].numbers["sham_oracles_asked"] == found[row].numbers["sham_oracles_turned"] == 0
        assert found[row].numbers["sham_change_TMRM"] == pytest.approx(shams.changes[place, 1])
        np.testing.assert_array_equal(found[row].images["sham_image"], shams.images[place])
    for row in np.flatnonzero(source == 1):
        assert not any(name.startswith("sham") for name in found[row].numbers.keys() | found[row].images.keys())


def test_the_smallest_edit_is_a_share_of_the_pixels(package, raw) -> None:
    found, typical, source = evaluate(package, raw)
    turned = predict_by_all(package, typical)["network"].argmax(1) != source
    assert turned.any()
    for each, is_turned in zip(found, turned, strict=True):
        assert ("smallest_edit_share" in each.numbers) == ("smallest_edit_image" in each.images)
        assert each.numbers["smallest_edit_area"] == each.curve.areas["network"]
        if is_turned:
            assert 0 < each.numbers["smallest_edit_share"] <= 1


def test_every_column_is_explained_and_plain(package, raw) -> None:
    package.oracles = ForeignPanel(float(np.median(raw.mean((1, 2, 3)))))
    for each in evaluate(package, raw)[0]:
        for column, value in each.numbers.items():
            assert explain_columns([column]), column
            assert type(value) in {bool, int, float, str}, column
