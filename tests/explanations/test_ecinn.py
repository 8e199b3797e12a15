import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import class_means, counterfactual, ecinn


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def means(flow, images):
    return class_means(flow, [(images, flow(images).argmax(dim=1))])


def nearer_to_target(z, mu_p, mu_q):
    """The hyperplane by its meaning: the target's mean is nearer."""
    return (z - mu_q).norm() < (z - mu_p).norm()


def bisect(z, delta, mu_p, mu_q):
    low, high = -1e3, 1e3
    at_low = nearer_to_target(z + low * delta, mu_p, mu_q)
    assert at_low != nearer_to_target(z + high * delta, mu_p, mu_q)
    for _ in range(80):
        middle = (low + high) / 2
        if nearer_to_target(z + middle * delta, mu_p, mu_q) == at_low:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def test_steps_by_hand():
    # w = (2, 0), halfway at (1, 0), Delta = (4, 1): from (-1, 5), w^T z + b = -4 and w^T Delta = 8.
    means = {
        "true": torch.tensor([[0.0, 0.0], [2.0, 0.0]]),
        "predicted": torch.tensor([[-1.0, 0.0], [3.0, 1.0]]),
    }
    step = ecinn(torch.tensor([[-1.0, 5.0]]), torch.tensor([0]), torch.tensor([1]), means)
    assert step.alpha_0.tolist() == [0.5]
    assert step.alpha_1.tolist() == [pytest.approx(0.8 + 0.25)]
    assert step.delta.tolist() == [[4, 1]]


def test_alpha_0_crosses_the_hyperplane_where_bisection_does():
    z, means = random(12, 3, 2), {"true": random(4, 3, 2, seed=1), "predicted": random(4, 3, 2, seed=2)}
    source = torch.arange(12) % 4
    target = (source + 1 + torch.arange(12) // 4) % 4
    step = ecinn(z, source, target, means)
    for i, (p, q) in enumerate(zip(source, target, strict=True)):
        expected = bisect(z[i], step.delta[i], means["true"][p], means["true"][q])
        assert float(step.alpha_0[i]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_falling_short_is_being_on_the_wrong_side(direction):
    means = {"true": random(2, 6, seed=1), "predicted": direction * random(2, 6, seed=1)}
    z = 3 * random(200, 6)
    step = ecinn(z, torch.zeros(200, dtype=torch.int64), torch.ones(200, dtype=torch.int64), means)
    moved = z + step.alpha_1[:, None] * step.delta
    short = torch.tensor([not nearer_to_target(each, *means["true"]) for each in moved])
    assert 0 < short.sum() < 200
    assert torch.equal(step.falls_short(step.alpha_1), short)
    assert torch.equal(short, (step.alpha_0 >= 1.6) if direction > 0 else (step.alpha_0 <= 1.6))


def test_alpha_1_at_1_6_ends_on_the_hyperplane():
    means = {kind: torch.tensor([[0.0], [1.0]], dtype=torch.float64) for kind in ("true", "predicted")}
    z = torch.tensor([[0.5 - 1.5], [0.5 - 1.6], [0.5 - 1.7]], dtype=torch.float64)
    step = ecinn(z, torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64), means)
    assert step.falls_short(step.alpha_1)[[0, 2]].tolist() == [False, True]
    assert float(step.alpha_1[1]) == pytest.approx(float(step.alpha_0[1]))
    assert step.falls_short(step.alpha_0).all()


def test_equal_means_give_no_direction():
    means = {"true": torch.ones(2, 3), "predicted": torch.eye(2, 3)}
    with pytest.raises(LeighError, match="no direction"):
        ecinn(torch.ones(1, 3), torch.tensor([0]), torch.tensor([1]), means)


def test_a_counterfactual_reencodes_to_where_it_was_moved(flow, images, means):
    found = counterfactual(flow, images, None, means)
    assert not torch.allclose(found.shifted, found.latent)
    torch.testing.assert_close(flow.encode(found.images), found.shifted)
    torch.testing.assert_close(found.latent, flow.encode(images))
    assert torch.equal(found.source, flow(images).argmax(dim=1))
    assert torch.equal(found.target, 1 - found.source)


def test_most_counterfactuals_change_what_the_model_says(flow, images, means):
    found = counterfactual(flow, images, None, means)
    assert (flow(images).argmax(dim=1) != found.target).all()
    assert (flow(found.images).argmax(dim=1) == found.target).double().mean() > 0.8


def test_the_length_of_the_step(flow, images, means):
    convincing, on_plane = (counterfactual(flow, images, None, means, which=w) for w in ("alpha_1", "alpha_0"))
    torch.testing.assert_close(convincing.alpha, 0.8 + on_plane.alpha / 2)
    torch.testing.assert_close(on_plane.alpha, on_plane.alpha_0)
    assert torch.equal(convincing.falls_short, convincing.alpha_0 >= 1.6)
    still = counterfactual(flow, images, None, means, which=0.0)
    torch.testing.assert_close(still.images, images)


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
    flow.train()
    assert not torch.equal(flow(images), flow(images))
    torch.testing.assert_close(counterfactual(flow, images, None, means).images, expected)
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
    with pytest.raises(LeighError, match="Unknown step 'alpha_2'"):
        counterfactual(flow, images, None, means, which="alpha_2")


def test_a_class_that_was_never_predicted_is_no_target(flow, images):
    predicted = flow(images).argmax(dim=1)
    only = images[predicted == 0]
    means = class_means(flow, [(only, torch.arange(len(only)) % 2)])
    assert means["predicted_counts"].tolist() == [len(only), 0]
    with pytest.raises(LeighError, match="No training image was predicted as WT"):
        counterfactual(flow, only, None, means)
