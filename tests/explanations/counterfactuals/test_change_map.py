import pytest
import torch
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals import change_map as change_map_module
from leigh_mlops.explanations.counterfactuals.boundary import head_margin
from leigh_mlops.explanations.counterfactuals.change_map import change_map
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


class Curved(Linear):
    """Latents that bend, and a head with kinks."""

    def __init__(self, bend=0.0):
        super().__init__()
        self.bend = bend

    def encode(self, images):
        return images.flatten(1) + self.bend * images.flatten(1).square()

    def classify(self, latents):
        return latents.relu() @ self.weight.T


def mean_gradient(model, images, counterfactuals, target, points=2000):
    """Integrated gradients by many points."""
    total = torch.zeros_like(images)
    for place in range(points):
        point = (images + (place + 0.5) / points * (counterfactuals - images)).requires_grad_()
        total += torch.autograd.grad(head_margin(model(point), target, 0.5).sum(), point)[0]
    return ((counterfactuals - images) * total / points).sum(dim=1)


def test_one_point_sees_the_kinks_of_the_head():
    model, (images, counterfactuals) = Curved().eval(), pair()
    many = mean_gradient(model, images, counterfactuals, TARGET)
    middle = ((images + counterfactuals) / 2).requires_grad_()
    (gradient,) = torch.autograd.grad(head_margin(model(middle), TARGET, 0.5).sum(), middle)
    assert (((counterfactuals - images) * gradient).sum(dim=1) - many).abs().max() > 0.1 * many.abs().max()
    maps = change_map(model, images, counterfactuals, TARGET, tolerance=torch.inf)
    torch.testing.assert_close(maps, many, atol=0.02 * float(many.abs().max()), rtol=0)


def test_more_points_see_how_the_latents_bend():
    model, (images, counterfactuals) = Curved(bend=0.3).eval(), pair()
    far = images + 4 * (counterfactuals - images)
    many = mean_gradient(model, images, far, TARGET)
    one, three = (
        (change_map(model, images, far, TARGET, tolerance=tolerance) - many).abs().max() / many.abs().max()
        for tolerance in (torch.inf, 0.0)
    )
    assert one > 0.05
    assert three < 0.03


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_lagranges_polynomials_interpolate_parabolas(place):
    weights = change_map_module._lagrange(change_map_module.MORE_POINTS, place)
    values = [3 * point**2 - point + 2 for point in change_map_module.MORE_POINTS]
    assert sum(w * v for w, v in zip(weights, values, strict=True)) == pytest.approx(3 * place**2 - place + 2)


def missed(model, images, counterfactuals, **options):
    maps = change_map(model, images, counterfactuals, TARGET, **options)
    gain = gained(model, images, counterfactuals, TARGET)
    return ((maps.sum(dim=(1, 2)) - gain) / gain).abs()


@pytest.mark.parametrize("is_known", [False, True])
def test_only_a_map_that_misses_its_sum_gets_more_points(is_known, monkeypatch):
    model, (images, counterfactuals) = Curved(bend=0.3).eval(), pair()
    one = missed(model, images, counterfactuals, tolerance=torch.inf).sort()
    tolerance = float(one.values[1:].mean())  # the largest error alone is above it
    assert one.values[1] < tolerance < one.values[2]
    latents = (model.encode(images), model.encode(counterfactuals)) if is_known else None
    cheap = change_map(model, images, counterfactuals, TARGET, tolerance=torch.inf)
    seen, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda batch: seen.append(len(batch)) or encode(batch))
    maps = change_map(model, images, counterfactuals, TARGET, latents=latents, tolerance=tolerance)
    assert seen == [3] * (1 if is_known else 3) + [1 * 3]
    same = [torch.equal(one, other) for one, other in zip(maps, cheap, strict=True)]
    assert same == [row != int(one.indices[2]) for row in range(3)]


def test_an_image_s_map_does_not_depend_on_its_neighbours(flow_of_three):
    images, counterfactuals = pair()
    together = change_map(flow_of_three, images, counterfactuals, TARGET)
    alone = change_map(flow_of_three, images[1:2], counterfactuals[1:2], TARGET[1:2])
    torch.testing.assert_close(alone[0], together[1])


def test_no_more_images_are_in_memory_than_a_pass_has(flow_of_three, monkeypatch):
    images, counterfactuals = pair()
    whole = change_map(flow_of_three, images, counterfactuals, TARGET, tolerance=torch.inf)
    seen, encode = [], flow_of_three.encode
    monkeypatch.setattr(flow_of_three, "encode", lambda batch: seen.append(len(batch)) or encode(batch))
    monkeypatch.setattr(change_map_module, "IMAGES_PER_PASS", 2)
    torch.testing.assert_close(change_map(flow_of_three, images, counterfactuals, TARGET, tolerance=torch.inf), whole)
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
    """The trunks of ReLU networks have kinks, too, so that three points may miss more than the tolerance."""
    torch.manual_seed(0)
    small = {"blocks": (1, 1), "widths": (8, 8)} if family == "iresnet" else {}
    model = build_model(family, classes=["DS", "TT"], image_size=32, channels=2, **small).eval()
    images = torch.randn(2, 2, 32, 32)
    counterfactuals, target = images + 0.1 * torch.randn(images.shape), torch.tensor([1, 0])
    maps, three = (change_map(model, images, counterfactuals, target, tolerance=each) for each in (0.05, 0.0))
    gain = gained(model, images, counterfactuals, target)
    assert maps.shape == (2, 32, 32)
    torch.testing.assert_close(three.sum(dim=(1, 2)).double(), gain, atol=allowed * float(gain.abs().max()), rtol=0)
    is_near = (maps.sum(dim=(1, 2)) - gain).abs() <= 0.05 * gain.abs().clamp(min=1e-3)
    torch.testing.assert_close(maps[~is_near], three[~is_near])


def test_a_model_that_does_not_classify(coder):
    with pytest.raises(LeighError, match="cannot classify"):
        change_map(coder, *pair(), TARGET)
