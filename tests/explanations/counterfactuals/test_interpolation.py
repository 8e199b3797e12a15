import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import class_means
from leigh_mlops.explanations.counterfactuals.interpolation import (
    NO_TARGET_CLASS,
    interpolate,
    interpolate_to_class_mean,
    interpolate_to_image,
)


def test_it_begins_and_ends_with_the_reconstructions(flow, images):
    z_p, z_q = flow.encode(images[:3]), flow.encode(images[3:6])
    assert not torch.allclose(flow.decode(z_p), flow.decode(z_q))
    frames = interpolate(flow, z_p, z_q, 4)
    assert frames.shape == (5, 3, 2, 3, 3)
    assert torch.equal(frames[0], flow.decode(z_p))
    assert torch.equal(frames[-1], flow.decode(z_q))
    torch.testing.assert_close(frames[1], flow.decode(0.75 * z_p + 0.25 * z_q))


def test_one_step_is_both_ends(coder, images):
    z = coder.encode(images)
    frames = interpolate(coder, z[:1], z[1:2], 1)
    torch.testing.assert_close(frames[:, 0], images[:2])


def test_the_way_to_a_mean_ends_in_it(coder, images):
    means = class_means(coder, [(images, torch.arange(40) % 2)])
    frames = interpolate_to_class_mean(coder, coder.encode(images), "WT", means, 3).frames
    torch.testing.assert_close(frames[0], images)
    torch.testing.assert_close(frames[-1], coder.decode(means["true"][[1] * 40]))


def test_without_a_classifier_the_default_is_the_second_nearest_mean(coder, images):
    means = {"true": coder.encode(images[:2]), "true_counts": torch.tensor([5, 5])}
    frames = interpolate_to_class_mean(coder, coder.encode(images[:2]), None, means, 1).frames
    torch.testing.assert_close(frames[-1], images[[1, 0]])


def test_with_a_classifier_the_default_is_the_second_most_probable(flow, images):
    means = class_means(flow, [(images, torch.arange(40) % 2)])
    other = 1 - flow(images).argmax(dim=1)
    torch.testing.assert_close(
        interpolate_to_class_mean(flow, flow.encode(images), None, means, 1).frames[-1],
        flow.decode(means["true"][other]),
    )


def test_what_cannot_be_asked(coder, classifier, images):
    z = torch.zeros(1, 9, 2, dtype=torch.float64)
    with pytest.raises(LeighError, match="0 steps"):
        interpolate(coder, z, z, 0)
    with pytest.raises(ValueError, match="differ"):
        interpolate(coder, z, z[:, :1], 2)
    with pytest.raises(LeighError, match="cannot decode; take a model of the family autoencoder or iresnet"):
        interpolate(classifier, z, z, 2)
    unseen = class_means(coder, [(images, torch.zeros(40, dtype=torch.int64))])
    for target in ("WT", None):
        with pytest.raises(LeighError, match="No training image is WT"):
            interpolate_to_class_mean(coder, coder.encode(images), target, unseen, 2)
    with pytest.raises(LeighError, match="no class means"):
        interpolate_to_class_mean(coder, coder.encode(images), "WT", None, 2)


def test_the_way_between_two_images_ends_in_the_other(flow, coder, images):
    for model in (flow, coder):
        way = interpolate_to_image(model, model.encode(images[:3]), model.encode(images[3:6]), 4)
        assert not torch.allclose(way.frames[0], way.frames[-1])
        torch.testing.assert_close(way.frames[0], images[:3])
        torch.testing.assert_close(way.frames[-1], images[3:6])
        assert way.target.tolist() == [NO_TARGET_CLASS] * 3
        for step in range(5):
            torch.testing.assert_close(model.decode(way.latent(step)), way.frames[step])


def test_all_images_may_lead_to_one(coder, images):
    frames = interpolate_to_image(coder, coder.encode(images[:3]), coder.encode(images[7:8]), 2).frames
    torch.testing.assert_close(frames[-1], images[[7, 7, 7]])


def test_the_latents_of_a_way_to_a_mean_are_those_of_its_frames(coder, images):
    means = class_means(coder, [(images, torch.arange(40) % 2)])
    way = interpolate_to_class_mean(coder, coder.encode(images), "WT", means, 3)
    for step in range(4):
        torch.testing.assert_close(coder.decode(way.latent(step)), way.frames[step])
    torch.testing.assert_close(way.end[0], means["true"][1])


def test_what_cannot_be_asked_between_images(coder, classifier, images):
    z = coder.encode(images)
    with pytest.raises(LeighError, match="cannot decode"):
        interpolate_to_image(classifier, z[:1], z[1:2], 2)
    with pytest.raises(LeighError, match="0 steps"):
        interpolate_to_image(coder, z[:1], z[1:2], 0)
    with pytest.raises(ValueError, match="differ"):
        interpolate_to_image(coder, z[:3], z[3:5], 2)


def test_of_three_classes_one_without_a_mean_is_passed_over(flow_of_three, images):
    z, labels = flow_of_three.encode(images), torch.arange(40) % 3
    _, second, third = flow_of_three(images).argsort(dim=1, descending=True).unbind(dim=1)
    every = class_means(flow_of_three, [(images, labels)])
    assert torch.equal(interpolate_to_class_mean(flow_of_three, z, None, every, 1).target, second)
    seen = class_means(flow_of_three, [(images[labels != 2], labels[labels != 2])])
    assert seen["true_counts"][2] == 0
    expected = torch.where(second == 2, third, second)
    assert (second == 2).sum() > 2
    assert torch.equal(interpolate_to_class_mean(flow_of_three, z, None, seen, 1).target, expected)


def test_a_way_leads_away_from_the_known_class(coder, images):
    z = coder.encode(images[:3])
    means = {"true": coder.encode(images[:2]), "true_counts": torch.tensor([5, 5])}
    nearest = (z[:, None] - means["true"]).flatten(2).norm(dim=2).argmin(dim=1)
    assert torch.equal(interpolate_to_class_mean(coder, z, None, means, 1).target, 1 - nearest)
    labels = torch.stack([1 - nearest[0], nearest[1], torch.tensor(-1)])
    way = interpolate_to_class_mean(coder, z, None, means, 1, labels=labels)
    assert way.target.tolist() == [int(nearest[0]), int(1 - nearest[1]), int(1 - nearest[2])]
