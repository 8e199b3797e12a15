import pytest
import torch

from leigh_mlops.explanations.counterfactuals.boundary import find_boundary, head_margin


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(classes, seed=3):
    """A head without any straight boundary."""
    first, second = random(12, 16, seed=seed), random(16, classes, seed=seed + 1)
    return lambda latents: torch.tanh(latents.flatten(1) @ first) @ second


def first_crossing_by_scan(head, z, delta, target, confidence, finest=1e-3):
    """The first of many lengths that arrives, NaN where none does."""
    lengths = torch.arange(0, 4 + finest, finest, dtype=torch.float64)
    ways = (z + lengths.view(-1, 1, 1, 1) * delta).flatten(0, 1)
    margins = head_margin(head(ways), target.repeat(len(lengths)), confidence).view(len(lengths), len(z))
    arrived = margins >= 0
    return torch.where(arrived.any(dim=0), lengths[arrived.double().argmax(dim=0)], torch.nan)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("confidence", [None, 0.8])
def test_the_first_crossing_is_that_of_a_brute_force_scan(classes, confidence):
    head, z, delta = curved(classes), random(30, 3, 4), 0.5 * random(30, 3, 4, seed=1)
    target = head(z).argsort(dim=1, descending=True)[:, 1]
    found = find_boundary(head, z, delta, target, confidence)
    expected = first_crossing_by_scan(head, z, delta, target, confidence)
    on_line = expected.isfinite()
    assert 3 < on_line.sum() <= 30
    assert torch.equal(found.by_gradient, ~on_line)
    torch.testing.assert_close(found.alpha[on_line], expected[on_line], atol=1e-3, rtol=0)


def test_a_head_that_turns_back_is_met_where_it_first_arrives():
    def head(latents):  # above 0 from 1 to 2, and again from 3 on
        x = latents[:, 0]
        return torch.stack([torch.zeros_like(x), (x - 1) * (x - 2) * (x - 3)], dim=1)

    z, delta = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert head(z)[0].argmax() == 0
    assert head(z + 2.5 * delta)[0].argmax() == 0
    found = find_boundary(head, z, delta, torch.tensor([1]))
    assert float(found.alpha) == pytest.approx(1, abs=1e-9)
    assert head(found.shifted)[0, 1] >= 0


def test_both_ends_are_as_exact_as_float32_allows():
    head, z, delta = curved(2), random(40, 3, 4), 2 * random(40, 3, 4, seed=1)
    target = head(z).argmin(dim=1)
    head32 = lambda latents: head(latents.double()).float()  # noqa: E731
    found = find_boundary(head32, z.float(), delta.float(), target)
    assert found.reached.sum() > 20
    probability = head32(found.shifted).double().softmax(dim=1)[found.reached, 0]
    assert found.shifted.dtype == torch.float32
    assert (probability - 0.5).abs().max() <= 1e-3


def test_margins_by_hand():
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64))
    two, one = torch.tensor([2]), torch.tensor([1])
    assert float(head_margin(logits, two)) == pytest.approx(torch.log(torch.tensor(0.3 / 0.5)).item(), abs=1e-6)
    assert float(head_margin(logits, one, 0.5)) == pytest.approx(0, abs=1e-12)
    assert float(head_margin(logits, one, 0.9)) == pytest.approx(torch.log(torch.tensor(1 / 9)).item(), abs=1e-6)


def test_margins_at_one_half_are_log_odds():
    logits, target = random(5, 4), torch.tensor([0, 3, 1, 2, 2])
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(head_margin(logits, target, 0.5), torch.logit(p))


def linear(latents):
    """Class 1 where the second coordinate is above 1."""
    return torch.stack([torch.ones(len(latents), dtype=latents.dtype), latents[:, 1]], dim=1)


def test_where_the_line_does_not_arrive_the_gradient_leads_there():
    z, along = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)
    found = find_boundary(linear, z, along, torch.tensor([1, 1]))
    assert not (linear(z[:1] + 4 * along[:1]).argmax(dim=1) == 1).any()
    assert found.by_gradient.tolist() == [True, False]
    assert found.reached.all()
    torch.testing.assert_close(found.shifted[:, 1], torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(found.alpha, torch.full((2,), 2.0, dtype=torch.float64))


def test_a_class_that_no_latent_has_is_a_failure_of_its_own_row():
    def head(latents):  # class 2 is never the most probable
        return torch.cat([linear(latents), linear(latents).amin(dim=1, keepdim=True) - 1], dim=1)

    z, delta = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[0.0, 0.5]] * 2, dtype=torch.float64)
    found = find_boundary(head, z, delta, torch.tensor([2, 1]))
    assert found.reached.tolist() == [False, True]
    assert found.shifted.isfinite().all()
    torch.testing.assert_close(found.shifted[1:], find_boundary(head, z[1:], delta[1:], torch.tensor([1])).shifted)


def test_a_flat_head_moves_nothing_and_fails():
    z, delta = random(3, 2), random(3, 2, seed=1)
    found = find_boundary(
        lambda latents: 0 * latents - torch.tensor([0.0, 1.0]), z, delta, torch.ones(3, dtype=torch.int64)
    )
    assert not found.reached.any()
    assert not found.by_gradient.any()
    torch.testing.assert_close(found.shifted, z)


def test_a_latent_that_gave_up_stays_however_long_its_neighbours_walk():
    """Uphill there is only a spike of the width of the steps at which a latent gives up."""
    width = 4 / 64 * 2.0**-12

    def head(latents):
        x, y = latents[:, 0], latents[:, 1]
        spike = torch.where(y <= 0, 1e-3 * x - 2 * (x - width).clamp(min=0), y)
        return torch.stack([torch.ones_like(x), spike - 1], dim=1)

    z = torch.tensor([[0.0, 0.0], [0.0, 0.05]], dtype=torch.float64)
    delta = torch.tensor([[-1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    alone, together = (find_boundary(head, z[:n], delta[:n], torch.ones(n, dtype=torch.int64)) for n in (1, 2))
    assert together.reached.tolist() == [False, True]
    assert torch.equal(alone.shifted[0], z[0])
    assert torch.equal(together.shifted[0], alone.shifted[0])


def test_a_latent_that_is_not_finite_fails_alone():
    z, delta = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[0.0, 0.5]] * 2, dtype=torch.float64)
    z[0] = torch.nan
    found = find_boundary(linear, z, delta, torch.tensor([1, 1]))
    assert found.reached.tolist() == [False, True]
