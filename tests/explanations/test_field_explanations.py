import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import (
    COUNTERFACTUAL_KINDS,
    EXPLAINERS,
    MAP_METHODS,
    ExplanationContext,
    class_means,
    explain_fields,
    map_names,
    map_unit,
)
from leigh_mlops.explanations.counterfactuals.generation import compute_counterfactuals
from leigh_mlops.explanations.field_explanations import METHODS
from leigh_mlops.explanations.maps import ERROR_MAP
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import InverseError, ModelPackage
from tests.explanations.tiny import pictures, tiny_resnext

SCALE = IntensityScale("linear", 255, (0.2, 0.3), (0.1, 0.2))
WINDOW = {"window": 2, "stride": 1, "steps": 2}
MAPPING = tuple(MAP_METHODS)


def package_of(model, images, means=None, scale=SCALE):
    """A toy model in float32 with its class means over the images."""
    model.float()
    images = images.float()
    if means is None:
        means = class_means(model, [(images, torch.arange(len(images)) % len(model.spec.classes))])
    return ModelPackage(model, ("DAPI", "TMRM"), scale.to_json(), means)


def raw_of(images):
    return SCALE.invert(images.float().numpy())


def predicted(package, images):
    return package.model(images.float()).argmax(dim=1)


def halved(place, kind, image):
    """Files that hold half of every intensity."""
    return (0.5 * image).astype(np.float32)


def test_every_explanation_is_served():
    assert METHODS.keys() == EXPLAINERS.keys()


@pytest.mark.parametrize("as_saved", [None, halved])
@pytest.mark.parametrize("method", sorted(EXPLAINERS.keys() - {"grad_cam", "guided_grad_cam", "lrp"}))
def test_every_explanation_of_a_batch_is_that_of_its_fields_alone(method, as_saved, flow, images):
    package, raw = package_of(flow, images), raw_of(images[:5])
    first, *_, last = predicted(package, images[:5])
    assert first != last
    flow.train()
    together = explain_fields(package, raw, [method], ExplanationContext(**WINDOW), as_saved)
    assert flow.training
    (alone,) = explain_fields(package, raw[4:], [method], ExplanationContext(**WINDOW), as_saved)
    assert alone.images or alone.maps or alone.frames
    assert set(alone.numbers) == set(together[4].numbers)
    for one, other in (
        (alone.images, together[4].images), (alone.maps, together[4].maps), (alone.frames, together[4].frames),
    ):  # fmt: skip
        assert set(one) == set(other)
        for name, array in one.items():
            np.testing.assert_allclose(array, other[name], atol=1e-2, rtol=1e-4)


def test_what_a_model_cannot_serve_is_refused(coder, images):
    package = package_of(coder, images)
    assert explain_fields(package, raw_of(images[:1]), ["reconstruction"])[0].images
    for method in ("counterfactual", "occlusion"):
        with pytest.raises(LeighError, match=f"{method} needs a model .* cannot classify"):
            explain_fields(package, raw_of(images[:1]), [method])


def test_fields_of_another_size_are_refused(flow, images):
    with pytest.raises(LeighError, match="this model takes 2 x 3 x 3, the channels DAPI, TMRM"):
        explain_fields(package_of(flow, images), np.zeros((1, 2, 4, 4), np.float32), [])


def test_occlusion_explains_the_prediction_unless_told_otherwise(flow, images):
    package, raw = package_of(flow, images), raw_of(images)
    said = {found.numbers["predicted"] for found in explain_fields(package, raw, [])}
    assert said == {"DS", "WT"}
    for target in (None, "WT"):
        for found in explain_fields(package, raw, ["occlusion"], ExplanationContext(**WINDOW, target=target)):
            assert found.numbers["occlusion_target"] == (target or found.numbers["predicted"])


@pytest.mark.parametrize("method", MAPPING)
def test_every_map_of_a_batch_is_that_of_its_fields_alone(method):
    model = tiny_resnext().float()
    package, raw = package_of(model, pictures(5)), raw_of(pictures(5))
    given = ExplanationContext(window=16, stride=16, integration_steps=2, references=pictures(3, seed=7).float())
    together = explain_fields(package, raw, [method], given)
    (alone,) = explain_fields(package, raw[4:], [method], given)
    names = map_names(method, package.channels)
    assert list(alone.maps) == names
    for name in names:
        assert alone.maps[name].shape == (32, 32)
        assert alone.maps[name].dtype == np.float32
        assert alone.numbers[f"{name}_target"] == alone.numbers["predicted"]
        size = np.abs(alone.maps[name]).max()
        np.testing.assert_allclose(alone.maps[name], together[4].maps[name], atol=1e-3 * size + 1e-6)
        assert map_unit(name) != ""
    summing = {"integrated_gradients", "deep_lift", "lrp"}
    assert (f"{method}_completeness_error" in alone.numbers) == (method in summing)


def test_occlusion_within_a_budget_says_what_it_took_and_how_well_it_agrees():
    package, raw = package_of(tiny_resnext().float(), pictures(1)), raw_of(pictures(1))
    given = {"window": 6, "stride": 2}
    (exact,) = explain_fields(package, raw, ["occlusion"], ExplanationContext(**given))
    assert "occlusion_evaluations" not in exact.numbers
    (coarse,) = explain_fields(package, raw, ["occlusion"], ExplanationContext(**given, occlusion_budget=60))
    assert coarse.numbers["occlusion_evaluations"] <= 60
    assert -1 <= coarse.numbers["occlusion_agreement"] <= 1
    assert not np.allclose(coarse.maps["occlusion"], exact.maps["occlusion"])


def test_the_energy_is_that_of_the_logits(classifier, coder, images):
    package, raw = package_of(classifier, images), raw_of(images[:3])
    for found, image in zip(explain_fields(package, raw, []), images[:3].float(), strict=True):
        said = classifier(image[None])[0].double().exp().sum().log()
        assert found.numbers["energy"] == pytest.approx(-float(said), rel=1e-4)
    (found,) = explain_fields(package_of(coder, images), raw[:1], [])
    assert "energy" not in found.numbers


def test_a_reconstruction_and_its_error(coder, images):
    package, raw = package_of(coder, images), raw_of(images[:3])
    for found, image in zip(explain_fields(package, raw, ["reconstruction"]), raw, strict=True):
        np.testing.assert_allclose(found.images["reconstruction"], image, atol=1e-2)
        assert found.numbers["reconstruction_mse"] < 1e-6
    latent = coder.encode
    coder.encode = lambda images: 2 * latent(images)
    (found,) = explain_fields(package, raw[:1], ["reconstruction"])
    assert found.numbers["reconstruction_mse"] == pytest.approx(float(images[0].square().mean()), rel=1e-4)


def test_a_reconstruction_beyond_the_limit_of_its_package_gets_a_map_of_errors(coder, images):
    package, raw = package_of(coder, images), raw_of(images[:1])
    latent = coder.encode
    coder.encode = lambda images: 2 * latent(images)
    given = ExplanationContext(error_maps=True)
    error = float(images[0].square().mean())
    for limit, drawn in ((None, False), (2 * error, False), (error / 2, True)):
        package.about = {} if limit is None else {"error_limit": {"limit": limit, "full_colour": 1.0}}
        (found,) = explain_fields(package, raw, ["reconstruction"], given)
        assert (ERROR_MAP in found.maps) == drawn
    np.testing.assert_allclose(found.maps[ERROR_MAP], images[0].float().square().mean(dim=0), rtol=1e-3, atol=1e-5)
    (plain,) = explain_fields(package, raw, ["reconstruction"])
    assert not plain.maps


def test_a_second_class_without_means_is_passed_over(flow_of_three, images):
    flow_of_three.float()
    logits = flow_of_three(images.float())
    first, second = logits.argsort(dim=1, descending=True).unbind(dim=1)[:2]
    trained = images[first != 2]
    some = images[(first != 2) & (second == 2)]
    assert len(some) > 2
    means = class_means(flow_of_three, [(trained.float(), torch.arange(len(trained)) % 3)])
    assert means["predicted_counts"][2] == 0
    package = package_of(flow_of_three, images, means)
    for found in explain_fields(package, raw_of(some), ["counterfactual"]):
        assert "counterfactual_note" not in found.numbers
        assert {found.numbers["predicted"], found.numbers["counterfactual_target"]} == {"DS", "TT"}


def test_a_field_to_or_from_a_class_without_means_keeps_its_prediction(flow, images):
    flow.float()
    said = flow(images.float()).argmax(dim=1)
    only = images[said == 0].float()
    package = package_of(flow, images, class_means(flow, [(only, torch.arange(len(only)) % 2)]))
    found = explain_fields(package, raw_of(images), ["counterfactual", "occlusion"], ExplanationContext(**WINDOW))
    assert {each.numbers["predicted"] for each in found} == {"DS", "WT"}
    for each in found:
        assert each.numbers["counterfactual_note"].startswith("No training image was predicted as WT")
        assert not each.images
        assert "occlusion" in each.maps


@pytest.mark.parametrize("form", ["name", "index", "tensor"])
def test_a_field_that_is_the_target_already_gets_a_note_however_the_target_is_given(form, flow, images):
    package, some = package_of(flow, images), images[:8]
    already = predicted(package, some) == 1
    assert 0 < already.sum() < 8
    target = {"name": "WT", "index": 1, "tensor": torch.ones(8, dtype=torch.int64)}[form]
    found = explain_fields(package, raw_of(some), ["counterfactual"], ExplanationContext(target=target), halved)
    for each, same in zip(found, already.tolist(), strict=True):
        assert each.numbers.get("counterfactual_note") == ("already WT" if same else None)
        assert ("confident" in each.verified) != same
        assert ("counterfactual_confident_map" in each.maps) != same


@pytest.mark.parametrize("as_saved", [None, halved])
def test_one_kind_that_cannot_be_inverted_takes_nothing_else(as_saved, flow, images, monkeypatch):
    package, raw, kinds = package_of(flow, images), raw_of(images[:6]), ("boundary", "confident")
    before = explain_fields(
        package, raw, ["counterfactual"], ExplanationContext(kinds=kinds, confidence=0.95), as_saved
    )
    assert all(set(each.images) == {"counterfactual_boundary", "counterfactual_confident"} for each in before)
    latents = flow.encode(torch.from_numpy(SCALE.apply(raw)))
    steps = compute_counterfactuals(flow, latents, None, package.class_means, kinds=kinds)
    boundary, confident = (steps[kind].shifted for kind in kinds)
    broken, decode = torch.stack([confident[2], boundary[4], confident[4]]), flow.decode

    def fails(latents):
        if any(torch.equal(latent, bad) for latent in latents for bad in broken):
            raise InverseError("block 1 of stage 1 did not converge")
        return decode(latents)

    monkeypatch.setattr(flow, "decode", fails)
    context = ExplanationContext(kinds=kinds, confidence=0.95)
    found = explain_fields(package, raw, ["counterfactual"], context, as_saved)
    made = [{"boundary", "confident"}] * 2 + [{"boundary"}, {"boundary", "confident"}, set(), {"boundary", "confident"}]
    for old, new, expected in zip(before, found, made, strict=True):
        assert set(new.images) == {f"counterfactual_{kind}" for kind in expected}
        assert set(new.verified) == (expected if as_saved else set())
        assert len(new.maps) == (bool(expected) if as_saved else 0)
        for kind in kinds:
            if kind in expected:
                assert new.numbers[f"counterfactual_{kind}_length"] == old.numbers[f"counterfactual_{kind}_length"]
            else:
                assert new.numbers[f"counterfactual_{kind}_note"] == "block 1 of stage 1 did not converge"
                assert f"counterfactual_{kind}_length" not in new.numbers
        assert new.numbers["predicted"] == old.numbers["predicted"]


def test_a_saved_counterfactual_is_shown_as_its_file_holds_it(flow, images):
    package, raw, context = package_of(flow, images), raw_of(images[:2]), ExplanationContext(kinds=("boundary",))
    shown, saved = (explain_fields(package, raw, ["counterfactual"], context, files) for files in (None, halved))
    for made, found in zip(shown, saved, strict=True):
        expected = 0.5 * made.images["counterfactual_boundary"]
        np.testing.assert_allclose(found.images["counterfactual_boundary"], expected, rtol=1e-5)


@pytest.mark.parametrize("as_saved", [None, lambda place, kind, image: image])
def test_intensities_that_no_file_holds_cost_their_own_kind_alone(as_saved, flow, images):
    scale = IntensityScale("log", 255, (0.5, 0.5), (30.0, 30.0))
    package, raw = package_of(flow, images, scale=scale), scale.invert(images[:14].float().numpy())
    found = explain_fields(
        package, raw, ["counterfactual"], ExplanationContext(kinds=("boundary", "confident"), confidence=0.95), as_saved
    )
    notes = [each.numbers.get("counterfactual_confident_note") for each in found]
    assert {None, "its intensities are too large for any file"} == set(notes)
    for each, note in zip(found, notes, strict=True):
        assert {"predicted", "counterfactual_boundary_length"} <= set(each.numbers)
        assert ("counterfactual_confident_length" in each.numbers) == (note is None)
        made = {"counterfactual_boundary", "counterfactual_confident"} - (
            {"counterfactual_confident"} if note else set()
        )
        assert set(each.images) == made
        assert all(np.isfinite(image).all() for image in each.images.values())


@pytest.mark.parametrize(
    "kinds",
    [COUNTERFACTUAL_KINDS[:-1], COUNTERFACTUAL_KINDS[-2::-1], ("confident", "boundary"), ("boundary", "alpha_1")],
)
def test_the_change_map_is_that_of_the_kind_that_says_most(kinds, flow, images):
    package = package_of(flow, images)
    for each in explain_fields(
        package, raw_of(images[:2]), ["counterfactual"], ExplanationContext(kinds=kinds), halved
    ):
        assert list(each.maps) == [f"counterfactual_{max(kinds, key=COUNTERFACTUAL_KINDS.index)}_map"]


def test_how_a_counterfactual_came_about_is_said(flow, images):
    package, raw = package_of(flow, images), raw_of(images)
    latents = flow.encode(torch.from_numpy(SCALE.apply(raw)))
    for confidence, ways, reached in (
        (0.95, {"line"}, True),
        (0.999, {"line", "gradient"}, True),
        (1 - 1e-9, {"gradient"}, False),
    ):
        asked = {"kinds": ("confident",), "confidence": confidence}
        made = compute_counterfactuals(flow, latents, None, package.class_means, **asked)["confident"]
        assert set(made.reached.tolist()) == {reached}
        found = [each.numbers for each in explain_fields(package, raw, ["counterfactual"], ExplanationContext(**asked))]
        said = [each["counterfactual_confident_way"] for each in found]
        assert said == ["gradient" if way else "line" for way in made.by_gradient]
        assert set(said) == ways
        for each in found:
            note = each.get("counterfactual_confident_note", "")
            assert note.startswith("no step of up to 4 times") == (not reached)
