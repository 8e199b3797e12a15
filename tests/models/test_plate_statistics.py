import pytest
import torch
from torch import Tensor, nn

from leigh_mlops.models import Network, build_model
from leigh_mlops.models.plate_statistics import control_statistics, measure_statistics, plate_statistics

SMALL = {"layers": [1, 1, 1, 1], "groups": 1, "width_per_group": 8, "dropout": 0.0}


@pytest.fixture
def model() -> Network:
    torch.manual_seed(0)
    made = build_model("resnext", classes=["DS", "WT"], image_size=32, channels=2, **SMALL)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as after some training
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    return made.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(10, 2, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_controls_are_normalised_as_a_batch_in_training_would_be(model: Network, images: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = model.encode(images)
    statistics = measure_statistics(model, images)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    with plate_statistics(model, statistics):
        adapted = model.encode(images)
    torch.testing.assert_close(model.encode(images), plain, rtol=0, atol=0)
    assert not torch.allclose(adapted, plain, atol=1e-2)
    # PyTorch's own batch statistics are the oracle.
    model.train()
    torch.testing.assert_close(adapted, model.encode(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_gain_of_a_plate_cancels(model: Network, images: Tensor) -> None:
    fields, controls = images[:4], images[4:]

    def logits(gain: float) -> Tensor:
        with plate_statistics(model, measure_statistics(model, gain * controls)):
            return model(gain * fields)

    assert not torch.allclose(model(3 * fields), model(fields), atol=1e-2)
    torch.testing.assert_close(logits(3.0), logits(1.0), rtol=1e-3, atol=1e-3)
    with plate_statistics(model, None):
        torch.testing.assert_close(model(fields), model(fields), rtol=0, atol=0)


def test_fields_of_an_episode_do_not_change_each_other(model: Network, images: Tensor) -> None:
    controls, fields = images[4:], images[:4]
    model.train()
    kept = model.features.bn1.running_mean.clone()
    with control_statistics(model, len(controls)):
        together = model(torch.cat([controls, fields]))[len(controls) :]
        alone = torch.cat([model(torch.cat([controls, field[None]]))[len(controls) :] for field in fields])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    # Batches without controls are another matter: there, the others count.
    assert not torch.allclose(model(fields[:2])[:1], model(fields[:3])[:1], atol=1e-3)
    together.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not torch.equal(model.features.bn1.running_mean, kept)
    assert "forward" not in vars(model.features.bn1)
    # The same numbers as in use.
    with torch.no_grad(), plate_statistics(model.eval(), measure_statistics(model, controls)):
        torch.testing.assert_close(model(fields), together, rtol=1e-3, atol=1e-3)
