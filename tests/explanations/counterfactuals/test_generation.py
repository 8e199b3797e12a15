import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import COUNTERFACTUAL_KINDS, check_kinds, class_means
from leigh_mlops.explanations.counterfactuals.endpoints import Endpoints
from leigh_mlops.explanations.counterfactuals.generation import MAX_ALPHA, compute_counterfactuals
from leigh_mlops.models import InverseError


def counterfactual(model, images, target, means, *, which="confident", confidence=0.95):
    """One step from images."""
    return compute_counterfactuals(model, model.encode(images), target, means, kinds=[which], confidence=confidence)[
        which
    ]


@pytest.fixture
def means(flow, images):
    return class_means(flow, [(images, flow(images).argmax(dim=1))])


def test_a_counterfactual_reencodes_to_where_it_was_moved(flow, images, means):
    found = counterfactual(flow, images, None, means)
    assert not torch.allclose(found.shifted, found.latent)
    torch.testing.assert_close(flow.encode(found.images), found.shifted)
    torch.testing.assert_close(found.latent, flow.encode(images))
    assert torch.equal(found.target, 1 - flow(images).argmax(dim=1))


def test_most_counterfactuals_change_what_the_model_says(flow, images, means):
    found = counterfactual(flow, images, None, means, which="alpha_1")
    assert (flow(images).argmax(dim=1) != found.target).all()
    assert (flow(found.images).argmax(dim=1) == found.target).double().mean() > 0.8


def test_the_length_of_the_step(flow, images, means):
    convincing, on_plane = (counterfactual(flow, images, None, means, which=w) for w in ("alpha_1", "alpha_0"))
    torch.testing.assert_close(convincing.alpha, 0.8 + on_plane.alpha / 2)
    assert torch.equal(convincing.falls_short, on_plane.alpha >= 1.6)


def test_a_batch_says_what_its_images_say_alone(flow_of_three, images):
    means = class_means(flow_of_three, [(images, torch.arange(40) % 3)])
    together = counterfactual(flow_of_three, images, None, means).images
    alone = [counterfactual(flow_of_three, image[None], None, means).images for image in images]
    torch.testing.assert_close(together, torch.cat(alone))


def test_of_three_classes_the_target_is_the_second_most_probable_or_the_one_named(flow_of_three, images):
    means = class_means(flow_of_three, [(images, torch.arange(40) % 3)])
    logits = flow_of_three(images)
    found = counterfactual(flow_of_three, images, None, means)
    assert torch.equal(found.target, logits.argsort(dim=1, descending=True)[:, 1])
    others = images[logits.argmax(dim=1) != 1]
    assert set(counterfactual(flow_of_three, others, "TT", means).target.tolist()) == {1}


def test_training_mode_is_restored_and_not_used(flow, images, means):
    expected = counterfactual(flow, images, None, means).images
    latent = flow.encode(images)
    flow.train()
    assert not torch.equal(flow(images), flow(images))
    found = compute_counterfactuals(flow, latent, None, means, kinds=["confident"])
    torch.testing.assert_close(found["confident"].images, expected)
    assert flow.training


def test_what_cannot_be_asked(flow, classifier, images, means):
    already = flow(images).argmax(dim=1)
    with pytest.raises(LeighError, match=r"already classified as .* 40 of 40; leave them out"):
        counterfactual(flow, images, already, means)
    with pytest.raises(LeighError, match="Unknown class 'XX'; the model knows DS, WT"):
        counterfactual(flow, images, "XX", means)
    with pytest.raises(LeighError, match="no class means"):
        counterfactual(flow, images, None, None)
    with pytest.raises(LeighError, match="no class means"):
        counterfactual(flow, images, None, {"true": means["true"]})
    with pytest.raises(LeighError, match=r"cannot decode; take a model of the family iresnet"):
        counterfactual(classifier, images, None, means)
    with pytest.raises(LeighError, match=r"confidence of 0\.5 is out of range"):
        counterfactual(flow, images, None, means, confidence=0.5)
    with pytest.raises(
        LeighError, match="Unknown counterfactual 'alpha_2'; choose from alpha_0, alpha_1, boundary, confident"
    ):
        counterfactual(flow, images, None, means, which="alpha_2")
    assert check_kinds(COUNTERFACTUAL_KINDS) == check_kinds(COUNTERFACTUAL_KINDS[::-1]) == COUNTERFACTUAL_KINDS
    with pytest.raises(LeighError, match="'boundary' is given twice"):
        check_kinds(["boundary", "confident", "boundary"])


def test_a_class_that_was_never_predicted_is_no_target(flow, images):
    predicted = flow(images).argmax(dim=1)
    only = images[predicted == 0]
    means = class_means(flow, [(only, torch.arange(len(only)) % 2)])
    assert means["predicted_counts"].tolist() == [len(only), 0]
    for target in ("WT", None):  # of two classes there is no other one to choose
        with pytest.raises(LeighError, match="No training image was predicted as WT"):
            counterfactual(flow, only, target, means)


def test_a_latent_that_cannot_be_inverted_fails_alone(flow, images, means, monkeypatch):
    kinds = ["boundary", "confident"]
    before, decode = compute_counterfactuals(flow, flow.encode(images), None, means, kinds=kinds), flow.decode
    assert before["confident"].failures == ("",) * 40
    broken = before["confident"].shifted[17]

    def fails_for_one(latents):
        if any(torch.equal(latent, broken) for latent in latents):
            raise InverseError("block 1 of stage 1 did not converge")
        return decode(latents)

    monkeypatch.setattr(flow, "decode", fails_for_one)
    boundary, confident = compute_counterfactuals(flow, flow.encode(images), None, means, kinds=kinds).values()
    torch.testing.assert_close(boundary.images, before["boundary"].images)
    assert boundary.failures == ("",) * 40
    assert [place for place, failure in enumerate(confident.failures) if failure] == [17]
    assert confident.failures[17] == "block 1 of stage 1 did not converge"
    others = [place for place in range(40) if place != 17]
    torch.testing.assert_close(confident.images[others], before["confident"].images[others])
    assert confident.images[17].isnan().all()


def test_steps_end_where_the_head_says_what_was_asked(flow_of_three, images):
    means = class_means(flow_of_three, [(images, torch.arange(40) % 3)])
    at_boundary = counterfactual(flow_of_three, images, None, means, which="boundary")
    assert at_boundary.reached.all()
    largest = flow_of_three.classify(at_boundary.shifted).topk(2, dim=1)
    torch.testing.assert_close(largest.values[:, 0], largest.values[:, 1], atol=1e-9, rtol=0)
    assert (largest.indices == at_boundary.target[:, None]).any(dim=1).all()
    confident = counterfactual(flow_of_three, images, None, means, which="confident", confidence=0.8)
    probabilities = flow_of_three.classify(confident.shifted).softmax(dim=1)
    reached = probabilities.gather(1, confident.target[:, None])[confident.reached]
    assert len(reached) > 20
    torch.testing.assert_close(reached, torch.full_like(reached, 0.8), atol=1e-9, rtol=0)


def test_kinds_that_are_made_together_are_those_made_alone(flow, images, means):
    without_transport = COUNTERFACTUAL_KINDS[:-1]
    together = compute_counterfactuals(flow, flow.encode(images), None, means, kinds=without_transport)
    assert tuple(together) == without_transport
    for which, found in together.items():
        alone = counterfactual(flow, images, None, means, which=which)
        torch.testing.assert_close(found.images, alone.images)
        torch.testing.assert_close(found.alpha, alone.alpha)


def test_the_published_boundary_is_not_that_of_the_head(flow, images, means):
    on_plane, on_head = (counterfactual(flow, images, None, means, which=kind) for kind in ("alpha_0", "boundary"))
    for found, near in ((on_plane, False), (on_head, True)):
        probability = flow.classify(found.shifted).softmax(dim=1)[:, 0]
        assert bool(((probability - 0.5).abs() < 1e-3).all()) == near


def fail_to_decode(latents):
    raise AssertionError("a latent was inverted")


@pytest.fixture
def endpoints(flow, images):
    """Other images, well inside the other class: those of the most probable image of each class."""
    logits = flow(images)
    best = (logits - logits.flip(1)).argmax(dim=0)
    ends = images[best[1 - logits.argmax(dim=1)]]
    return Endpoints(ends, flow.encode(ends))


def test_a_typical_image_is_the_end_of_the_way_and_needs_no_inverse(flow, images, means, endpoints, monkeypatch):
    monkeypatch.setattr(flow, "decode", fail_to_decode)
    found = compute_counterfactuals(flow, flow.encode(images), None, means, kinds=["typical"], endpoints=endpoints)[
        "typical"
    ]
    assert torch.equal(found.images, endpoints.images)
    assert torch.equal(found.shifted, endpoints.latents)
    assert (found.alpha == 1).all()
    assert found.reached.all()


def test_the_boundary_lies_on_the_way_to_the_typical_image(flow, images, means, endpoints):
    latent = flow.encode(images)
    found = compute_counterfactuals(flow, latent, None, means, kinds=["boundary"], endpoints=endpoints)["boundary"]
    assert found.reached.all()
    assert (found.alpha <= 1).all()
    expected = latent + found.alpha.view(-1, 1, 1) * (endpoints.latents - latent)
    torch.testing.assert_close(found.shifted, expected)
    largest = flow.classify(found.shifted).topk(2, dim=1).values
    torch.testing.assert_close(largest[:, 0], largest[:, 1], atol=1e-9, rtol=0)


def test_a_step_past_the_typical_image_has_a_limit(flow, images, means, endpoints):
    latent = flow.encode(images)
    near = Endpoints(endpoints.images, latent + 1e-3 * (endpoints.latents - latent))
    asked = {"kinds": ["confident"], "confidence": torch.full((40,), 1 - 1e-9, dtype=torch.float64)}
    short = compute_counterfactuals(flow, latent, None, means, endpoints=near, **asked)["confident"]
    assert not short.reached.any()
    assert not short.by_gradient.any()
    assert (short.alpha <= MAX_ALPHA).all()
    # Without a typical image, the search is allowed to go on.
    free = compute_counterfactuals(flow, latent, None, means, **asked)["confident"]
    assert (free.alpha > MAX_ALPHA).any()


def test_the_confidence_may_differ_from_image_to_image(flow, images, means):
    wanted = torch.linspace(0.6, 0.9, 40, dtype=torch.float64)
    found = compute_counterfactuals(flow, flow.encode(images), None, means, kinds=["confident"], confidence=wanted)
    made = found["confident"]
    probability = flow.classify(made.shifted).softmax(dim=1).gather(1, made.target[:, None])[:, 0]
    torch.testing.assert_close(probability[made.reached], wanted[made.reached], atol=1e-9, rtol=0)
    assert made.reached.sum() > 20


def test_a_typical_image_needs_a_transport(flow, images, means):
    with pytest.raises(LeighError, match="has no transport between its classes"):
        counterfactual(flow, images, None, means, which="typical")
