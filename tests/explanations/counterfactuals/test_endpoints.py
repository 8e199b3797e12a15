"""Typical images of the target class, within the range of the file and without small changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import explain_fields, mapped_fields, required_confidence
from leigh_mlops.explanations.counterfactuals.endpoints import typical_endpoints
from leigh_mlops.explanations.explainers import ExplanationContext
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.package import CLASS_MAPS
from leigh_mlops.models.transport import ClassMaps, MomentMap
from tests.explanations.test_field_explanations import package_of, predicted, raw_of


class Displacement(MomentMap):
    """Map that adds a number of the network's units to every channel."""

    def __init__(self, offset: float) -> None:
        super().__init__(np.ones(2), np.full(2, offset))


@pytest.fixture
def package(flow, images) -> ModelPackage:
    """A toy model with references and a transport that brighten towards WT and darken towards DS."""
    package = package_of(flow, images)
    maps = {(0, 1): Displacement(1.0), (1, 0): Displacement(-1.0)}
    package.class_maps = ClassMaps({"transport": maps, "moments": maps})
    return package


def test_fields_stay_within_the_range_of_the_file(package) -> None:
    raw = np.full((1, 2, 3, 3), 250, np.float32)
    scale = IntensityScale.from_json(package.scale)
    beyond = scale.invert(scale.apply(raw) + 1)
    assert beyond.max() > scale.full_scale
    found = mapped_fields(package, raw, np.array([0]), np.array([1]))
    assert found.max() == scale.full_scale
    assert mapped_fields(package, raw, np.array([1]), np.array([0])).max() < 250


def test_small_changes_are_left_out(package, images) -> None:
    small = {(0, 1): Displacement(1e-3), (1, 0): Displacement(-1e-3)}
    package.class_maps = ClassMaps({"transport": small})
    raw = np.maximum(raw_of(images[:2]), 1)
    scale = IntensityScale.from_json(package.scale)
    assert (scale.invert(scale.apply(raw) + 1e-3) != raw).any()
    np.testing.assert_array_equal(mapped_fields(package, raw, np.zeros(2, int), np.ones(2, int)), raw)


def test_latents_are_those_of_the_typical_images(package, images) -> None:
    raw, source = raw_of(images[:4]), np.array([0, 1, 0, 1])
    found = typical_endpoints(package, raw, source, 1 - source)
    torch.testing.assert_close(package.model.encode(found.images), found.latents)
    expected = IntensityScale.from_json(package.scale).apply(mapped_fields(package, raw, source, 1 - source))
    np.testing.assert_allclose(found.images.numpy(), expected, rtol=1e-6)


def test_fields_get_the_boundary_on_the_way_and_the_typical_image(package, images) -> None:
    raw = raw_of(images[:4])
    context = ExplanationContext(kinds=("boundary", "typical"))
    found = explain_fields(package, raw, ["counterfactual"], context, lambda place, kind, image: image)
    source = predicted(package, images[:4]).numpy()
    expected = mapped_fields(package, raw, source, 1 - source)
    for row, each in enumerate(found):
        np.testing.assert_allclose(each.verified["typical"].saved, expected[row], rtol=1e-5, atol=1e-3)
        assert each.numbers["counterfactual_typical_length"] == 1
        assert each.verified["boundary"].alpha <= 1.5
        assert list(each.maps) == ["counterfactual_typical_map"]


def test_a_pair_of_classes_without_transport_is_a_note(package, images) -> None:
    package.class_maps = ClassMaps({"transport": {(0, 1): Displacement(1.0)}})
    raw, source = raw_of(images[:6]), predicted(package, images[:6]).tolist()
    assert set(source) == {0, 1}
    found = explain_fields(package, raw, ["counterfactual"])
    for each, start in zip(found, source, strict=True):
        note = each.numbers.get("counterfactual_note", "")
        assert ("no transport from WT to DS" in note) == (start == 1)
    with pytest.raises(LeighError, match="no transport from class 1 to class 0"):
        mapped_fields(package, raw[:1], np.array([1]), np.array([0]))


def test_the_confidence_is_that_of_real_fields_unless_named(package) -> None:
    real = package.class_means["true_probability"]
    assert 0.5 < real[0] < 0.95
    torch.testing.assert_close(required_confidence(package, None), real.clamp(0.5 + 1e-6, 1 - 1e-6))
    assert required_confidence(package, 0.8).tolist() == [0.8, 0.8]
    older = replace(package, class_means={"true": package.class_means["true"]})
    assert required_confidence(older, None).tolist() == [0.95, 0.95]


def test_maps_are_read_from_the_arrays_of_a_package(package) -> None:
    arrays = {f"{CLASS_MAPS}{name}": array for name, array in package.class_maps.to_arrays().items()}
    with pytest.raises(LeighError, match="in place of"):
        _ = replace(package, arrays={f"{CLASS_MAPS}moments/0/1/other": np.ones(2)}).class_maps
    moments = {name: array for name, array in arrays.items() if "moments" in name}
    assert replace(package, arrays=moments).class_maps.pairs("moments") == {(0, 1), (1, 0)}
    assert not replace(package, arrays={}).class_maps.pairs()
