import pytest
import torch
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals import change_map as change_map_module
from leigh_mlops.explanations.counterfactuals.boundary import head_margin
from leigh_mlops.explanations.counterfactuals.change_map import GAUSS, KRONROD, MORE_POINTS, POINTS, change_map
from leigh_mlops.models import build_model

TARGET = torch.tensor([0, 1, 1])


def pair(n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 2, 3, 3, generator=generator, dtype=torch.float64)
    return images, images + 0.3 * torch.randn(images.shape, generator=generator, dtype=torch.float64)


class Linear(nn.Module):
    """Two logits that are linear in the pixels, so that the log-odds are, too."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 18, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)

    def encode(self, images):
        return images.flatten(1)

    def classify(self, latents):
        return self.dropout(latents) @ self.weight.T

    def forward(self, images):
        return self.classify(self.encode(images))


def gained(model, images, counterfactuals, target):
    with torch.no_grad():
        return head_margin(model(counterfactuals), target, 0.5) - head_margin(model(images), target, 0.5)


def test_no_change_has_an_empty_map(flow):
    images, _ = pair()
    assert not change_map(flow, images, images, TARGET).any()


@pytest.mark.parametrize("tolerance", [torch.inf, 0.0])
def test_exact_for_a_linear_model(tolerance):
    model, (images, counterfactuals) = Linear().eval(), pair()
    maps = change_map(model, images, counterfactuals, TARGET, tolerance=tolerance)
    slope = (model.weight[TARGET] - model.weight[1 - TARGET]).view(-1, 2, 3, 3)
    torch.testing.assert_close(maps, (slope * (counterfactuals - images)).sum(dim=1).detach())
    torch.testing.assert_close(maps.sum(dim=(1, 2)), gained(model, images, counterfactuals, TARGET))


@pytest.mark.parametrize(("points", "weights", "degree"), [(3, GAUSS, 5), (7, KRONROD, 11)])
def test_the_rules_integrate_polynomials_of_their_degree(points, weights, degree):
    places = (*POINTS, *MORE_POINTS)[:points]
    errors = [
        abs(sum(weight * place**power for place, weight in zip(places, weights, strict=True)) - 1 / (power + 1))
        for power in range(degree + 2)
    ]
    assert max(errors[:-1]) < 1e-15
    assert errors[-1] > 1e-9


def missed(model, images, counterfactuals, **options):
    maps = change_map(model, images, counterfactuals, TARGET, **options)
    gain = gained(model, images, counterfactuals, TARGET)
    return ((maps.sum(dim=(1, 2)) - gain) / gain).abs()


def test_sums_to_the_change_of_the_log_odds_the_better_the_more_points(flow_of_three):
    images, counterfactuals = pair()
    far = images + 4 * (counterfactuals - images)
    error = [missed(flow_of_three, images, far, tolerance=tolerance).max() for tolerance in (torch.inf, 0.0)]
    assert error[0] > 1e-4
    assert error[1] < 0.1 * error[0]


@pytest.mark.parametrize("is_known", [False, True])
def test_only_a_map_that_misses_its_sum_gets_more_points(flow_of_three, is_known, monkeypatch):
    images, counterfactuals = pair()
    few = missed(flow_of_three, images, counterfactuals, tolerance=torch.inf).sort()
    tolerance = float(few.values[1:].mean())  # the largest error alone is above it
    assert few.values[1] < tolerance < few.values[2]
    gain = gained(flow_of_three, images, counterfactuals, TARGET) if is_known else None
    cheap = change_map(flow_of_three, images, counterfactuals, TARGET, tolerance=torch.inf)
    seen, encode = [], flow_of_three.encode
    monkeypatch.setattr(flow_of_three, "encode", lambda batch: seen.append(len(batch)) or encode(batch))
    maps = change_map(flow_of_three, images, counterfactuals, TARGET, gain=gain, tolerance=tolerance)
    assert seen == [3] * (3 if is_known else 5) + [1] * 4
    same = [torch.equal(one, other) for one, other in zip(maps, cheap, strict=True)]
    assert same == [row != int(few.indices[2]) for row in range(3)]


def test_an_image_s_map_does_not_depend_on_its_neighbours(flow_of_three):
    images, counterfactuals = pair()
    together = change_map(flow_of_three, images, counterfactuals, TARGET)
    alone = change_map(flow_of_three, images[1:2], counterfactuals[1:2], TARGET[1:2])
    torch.testing.assert_close(alone[0], together[1])


def test_no_more_images_are_in_memory_than_a_pass_has(flow_of_three, monkeypatch):
    images, counterfactuals = pair()
    whole = change_map(flow_of_three, images, counterfactuals, TARGET)
    seen, encode = [], flow_of_three.encode
    monkeypatch.setattr(flow_of_three, "encode", lambda batch: seen.append(len(batch)) or encode(batch))
    monkeypatch.setattr(change_map_module, "IMAGES_PER_PASS", 2)
    torch.testing.assert_close(change_map(flow_of_three, images, counterfactuals, TARGET), whole)
    assert sorted(set(seen)) == [1, 2]


def test_the_model_is_left_as_it_was():
    model, (images, counterfactuals) = Linear().train(), pair()
    before = change_map(model, images, counterfactuals, TARGET)
    assert model.training
    assert model.weight.grad is None
    assert not before.requires_grad
    torch.testing.assert_close(before, change_map(model.eval(), images, counterfactuals, TARGET))


@pytest.mark.parametrize(("family", "allowed"), [("iresnet", 0.05), ("resnext", 0.1)])
def test_real_networks(family, allowed):
    """Lines cross many kinks of untrained ReLUs, so that 7 points may miss more than the tolerance, too."""
    torch.manual_seed(0)
    small = {"blocks": (1, 1), "widths": (8, 8)} if family == "iresnet" else {}
    model = build_model(family, classes=["DS", "TT"], image_size=32, channels=2, **small).eval()
    images = torch.randn(2, 2, 32, 32)
    counterfactuals, target = images + 0.1 * torch.randn(images.shape), torch.tensor([1, 0])
    maps, seven = (change_map(model, images, counterfactuals, target, tolerance=each) for each in (0.05, 0.0))
    gain = gained(model, images, counterfactuals, target)
    assert maps.shape == (2, 32, 32)
    torch.testing.assert_close(seven.sum(dim=(1, 2)).double(), gain, atol=allowed * float(gain.abs().max()), rtol=0)
    is_near = (maps.sum(dim=(1, 2)) - gain).abs() <= 0.05 * gain.abs().clamp(min=1e-3)
    torch.testing.assert_close(maps[~is_near], seven[~is_near])


def test_a_model_that_does_not_classify(coder):
    with pytest.raises(LeighError, match="cannot classify"):
        change_map(coder, *pair(), TARGET)
