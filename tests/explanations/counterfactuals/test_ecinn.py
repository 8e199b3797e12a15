import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals.ecinn import ecinn


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
