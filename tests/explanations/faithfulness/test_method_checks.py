from dataclasses import replace

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import ExplanationContext, check_methods, class_means, explain_fields, maps
from leigh_mlops.explanations.faithfulness.deletion_insertion import edge_strength
from leigh_mlops.explanations.faithfulness.method_checks import MAX_SIMILARITY, map_similarity
from leigh_mlops.explanations.maps import MapResult
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage
from tests.explanations.tiny import Spot, tiny_iresnet, tiny_resnext

SCALE = IntensityScale("linear", 255, (0.2, 0.2), (0.1, 0.1))
SMALL = ExplanationContext(window=4, stride=4, integration_steps=4)


def package_of(model):
    return ModelPackage(model.float(), ("DAPI", "TMRM"), SCALE.to_json())


def fields(n=4, size=8, seed=0):
    """Raw light that differs from place to place."""
    return np.random.default_rng(seed).uniform(0, 120, (n, 2, size, size)).astype(np.float32)


def checked(package, raw, *methods, **more):
    return {check.method: check for check in check_methods(package, raw, methods, SMALL, **more)}


def lit_target():
    return replace(SMALL, target="lit")


def test_a_map_of_what_the_network_sees_passes_and_an_edge_filter_does_not(monkeypatch):
    package, raw = package_of(Spot()), fields()
    good = check_methods(package, raw, ["integrated_gradients"], lit_target())[0]
    assert good.images == 4
    assert good.deletion < good.deletion_random
    assert good.insertion > good.insertion_random
    assert good.randomised_similarity < MAX_SIMILARITY
    assert good.passed
    assert good.completeness_error < 0.1
    monkeypatch.setitem(
        maps.MAP_METHODS,
        "integrated_gradients",
        lambda task: MapResult({"integrated_gradients": edge_strength(task.images)}),
    )
    edge = check_methods(package, raw, ["integrated_gradients"], lit_target())[0]
    assert edge.randomised_similarity == pytest.approx(1)
    assert not edge.passed
    assert "randomised weights gives a similar map (similarity 1.00, not below 0.5)" in edge.why
    assert edge.deletion == pytest.approx(edge.deletion_edge)


def test_a_map_that_marks_the_wrong_places_does_not_pass(monkeypatch):
    package, raw = package_of(Spot()), fields()
    right = maps.MAP_METHODS["integrated_gradients"]
    monkeypatch.setitem(
        maps.MAP_METHODS,
        "integrated_gradients",
        lambda task: MapResult({"integrated_gradients": -right(task).maps["integrated_gradients"]}),
    )
    (wrong,) = check_methods(package, raw, ["integrated_gradients"], lit_target())
    assert wrong.deletion > wrong.deletion_random
    assert not wrong.passed
    assert "not clearly below" in wrong.why


def test_no_map_of_a_network_that_is_sure_of_nothing_passes():
    model = Spot()
    with torch.no_grad():
        model.linear.weight.mul_(1e-3)
    (check,) = check_methods(package_of(model), fields(), ["integrated_gradients"], lit_target())
    assert check.deletion < check.deletion_random
    assert not check.passed


def test_guided_backpropagation_always_carries_its_warning():
    found = checked(package_of(tiny_resnext(64)), fields(2, 64), "guided_grad_cam", "grad_cam")
    assert "guided backpropagation partly draws the image itself again" in found["guided_grad_cam"].why
    assert "guided" not in found["grad_cam"].why
    assert all(check.why.count(".  ") == 0 and check.why.endswith(".") for check in found.values())


def test_every_channel_has_its_own_check_and_other_methods_none():
    package, raw = package_of(Spot()), fields()
    found = checked(package, raw, "occlusion", "occlusion_channels")
    assert list(found) == ["occlusion", "occlusion_DAPI", "occlusion_TMRM"]
    # Covering the second channel does nothing, so that its map is the same everywhere.
    assert np.isnan(found["occlusion_TMRM"].randomised_similarity) or not found["occlusion_TMRM"].passed
    assert check_methods(package, raw, [], SMALL) == []


def test_maps_at_hand_are_not_made_again(monkeypatch):
    package, raw = package_of(Spot()), fields()
    found = explain_fields(package, raw, ["integrated_gradients"], SMALL)
    made = []
    right = maps.MAP_METHODS["integrated_gradients"]
    monkeypatch.setitem(maps.MAP_METHODS, "integrated_gradients", lambda task: made.append(task.model) or right(task))
    first = check_methods(package, raw, ["integrated_gradients"], SMALL, found=found)
    assert package.model not in made
    assert repr(check_methods(package, raw, ["integrated_gradients"], SMALL)) == repr(first)
    assert package.model in made


def test_metrics_are_measured_on_request():
    package, raw = package_of(Spot()), fields()
    (plain,) = check_methods(package, raw, ["integrated_gradients"], lit_target())
    assert np.isnan(plain.infidelity)
    assert np.isnan(plain.sensitivity)
    (both,) = check_methods(package, raw, ["integrated_gradients"], lit_target(), metrics=("infidelity", "sensitivity"))
    # The network is linear where there is light, so its map foretells what it loses but for black against the mean.
    assert both.infidelity >= 0
    assert 0 < both.sensitivity < 0.2
    with pytest.raises(LeighError, match="Unknown metric 'fidelity'; choose from infidelity, sensitivity"):
        check_methods(package, raw, [], SMALL, metrics=("fidelity",))


def test_change_maps_of_counterfactuals_are_checked_where_they_are_at_hand():
    model = tiny_iresnet()
    images = torch.from_numpy(SCALE.apply(fields(6, 32)).astype(np.float32))
    with torch.no_grad():
        list(model.head.parameters())[-1].sub_(model(images).median(dim=0).values)
    package = package_of(model)
    package.class_means = class_means(model, [(images, torch.arange(6) % 2)])
    raw = fields(6, 32)
    assert check_methods(package, raw, ["counterfactual"], SMALL) == []
    found = explain_fields(package, raw, ["counterfactual"], SMALL, lambda place, kind, image: image)
    (check,) = check_methods(package, raw, ["counterfactual"], SMALL, found=found)
    assert check.method == "counterfactual_confident_map"
    assert 0 <= check.deletion <= 1
    assert check.images == sum(bool(each.maps) for each in found)


def test_similarity_of_maps():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 60, 60))
    assert map_similarity(one, 3 * one + 1) == pytest.approx(1)
    assert map_similarity(one, -one) == pytest.approx(1)
    # The same places with other signs.
    assert map_similarity(one, one * rng.choice([-1, 1], one.shape)) == pytest.approx(1)
    assert map_similarity(one, other) < 0.1
    assert np.isnan(map_similarity(one, np.zeros_like(one)))
