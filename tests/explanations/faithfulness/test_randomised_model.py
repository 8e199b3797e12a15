import pytest
import torch

from leigh_mlops.explanations.faithfulness.randomised_model import randomise_weights
from leigh_mlops.models.invertible.lipschitz import LipschitzConv2d
from tests.explanations.tiny import pictures, tiny_iresnet, tiny_resnext


@pytest.mark.parametrize("model", [tiny_resnext(), tiny_iresnet().double()], ids=["resnext", "iresnet"])
def test_a_randomised_network_says_something_else_and_still_tells_images_apart(model):
    images = pictures(6)
    before = model(images)
    twin = randomise_weights(model, images)
    said = twin(images)
    assert torch.equal(model(images), before)
    assert not torch.allclose(said, before, atol=1e-3)
    assert said.isfinite().all()
    assert said.std(dim=0).min() > 1e-6
    assert not any(module.training for module in twin.modules())
    torch.testing.assert_close(randomise_weights(model, images)(images), said)
    assert not torch.allclose(randomise_weights(model, images, seed=1)(images), said)


def test_every_tensor_keeps_its_values():
    model = tiny_resnext()
    for own, other in zip(model.parameters(), randomise_weights(model, pictures()).parameters(), strict=True):
        assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)


def test_an_invertible_network_is_not_certified_again():
    twin = randomise_weights(tiny_iresnet(), pictures().float())
    assert not any(isinstance(module, LipschitzConv2d) for module in twin.modules())
