import pytest
import torch
from torch import nn

from leigh_mlops.errors import LeighError
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


@pytest.mark.parametrize("steps", [2, 8])
def test_exact_for_a_linear_model(steps):
    model, (images, counterfactuals) = Linear().eval(), pair()
    maps = change_map(model, images, counterfactuals, TARGET, steps=steps)
    slope = (model.weight[TARGET] - model.weight[1 - TARGET]).view(-1, 2, 3, 3)
    torch.testing.assert_close(maps, (slope * (counterfactuals - images)).sum(dim=1).detach())
    torch.testing.assert_close(maps.sum(dim=(1, 2)), gained(model, images, counterfactuals, TARGET))


def test_sums_to_the_change_of_the_log_odds_the_better_the_more_steps(flow_of_three):
    images, counterfactuals = pair()
    wanted = gained(flow_of_three, images, counterfactuals, TARGET)
    error = [
        (change_map(flow_of_three, images, counterfactuals, TARGET, steps=steps).sum(dim=(1, 2)) - wanted).abs().max()
        for steps in (2, 8)
    ]
    assert error[0] > 0.003
    assert error[1] < 0.1 * error[0]  # the midpoint rule's error falls with the square of the steps


def test_an_image_s_map_does_not_depend_on_its_neighbours(flow_of_three):
    images, counterfactuals = pair()
    together = change_map(flow_of_three, images, counterfactuals, TARGET)
    alone = change_map(flow_of_three, images[1:2], counterfactuals[1:2], TARGET[1:2])
    torch.testing.assert_close(alone[0], together[1])


def test_no_more_images_are_in_memory_than_there_are(flow_of_three, monkeypatch):
    images, counterfactuals = pair()
    seen, encode = [], flow_of_three.encode
    monkeypatch.setattr(flow_of_three, "encode", lambda batch: seen.append(len(batch)) or encode(batch))
    change_map(flow_of_three, images, counterfactuals, TARGET)
    assert len(seen) >= 8
    assert max(seen) == len(images)


def test_the_model_is_left_as_it_was():
    model, (images, counterfactuals) = Linear().train(), pair()
    before = change_map(model, images, counterfactuals, TARGET)
    assert model.training
    assert model.weight.grad is None
    assert not before.requires_grad
    torch.testing.assert_close(before, change_map(model.eval(), images, counterfactuals, TARGET))


@pytest.mark.parametrize("family", ["iresnet", "resnext"])
def test_real_networks(family):
    torch.manual_seed(0)
    small = {"blocks": (1, 1), "widths": (8, 8)} if family == "iresnet" else {}
    model = build_model(family, classes=["DS", "TT"], image_size=32, channels=2, **small).eval()
    images = torch.randn(2, 2, 32, 32)
    counterfactuals, target = images + 0.1 * torch.randn(images.shape), torch.tensor([1, 0])
    maps = change_map(model, images, counterfactuals, target)
    wanted = gained(model, images, counterfactuals, target)
    assert maps.shape == (2, 32, 32)
    torch.testing.assert_close(maps.sum(dim=(1, 2)).double(), wanted, atol=0.05 * float(wanted.abs().max()), rtol=0)


def test_a_model_that_does_not_classify(coder):
    with pytest.raises(LeighError, match="cannot classify"):
        change_map(coder, *pair(), TARGET)
