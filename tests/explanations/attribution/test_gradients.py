import pytest
import torch

from leigh_mlops.explanations.attribution.gradients import grad_cam, guided_grad_cam, integrated_gradients, smooth_grad
from tests.explanations.tiny import Spot, pictures, tiny_iresnet, tiny_resnext

TARGET = torch.tensor([0, 1, 0, 1])
BLACK = torch.tensor([-1.0, -0.5], dtype=torch.float64)


def test_grad_cam_finds_the_feature_that_a_class_is_made_of():
    images = torch.zeros(2, 2, 8, 8, dtype=torch.float64)
    images[0, 0, 6, 6] = images[1, 0, 1, 1] = 1
    maps = grad_cam(Spot(), images, torch.tensor([0, 0]))
    assert maps.shape == (2, 8, 8)
    for heat, place in zip(maps, ((6, 6), (1, 1)), strict=True):
        assert heat.nonzero().tolist() == [list(place)]
    # The class without features has no map, and the other channel's light is not seen.
    assert not grad_cam(Spot(), images, torch.tensor([1, 1])).any()
    assert not grad_cam(Spot(), images.flip(1), torch.tensor([0, 0])).any()


@pytest.mark.parametrize("model", [tiny_resnext(), tiny_iresnet().double()], ids=["resnext", "iresnet"])
def test_grad_cam_is_signed_and_that_of_each_image_alone(model):
    maps = grad_cam(model, pictures(), TARGET)
    assert maps.shape == (4, 32, 32)
    assert (maps > 0).any()
    assert (maps < 0).any()
    torch.testing.assert_close(grad_cam(model, pictures()[2:3], TARGET[2:3]), maps[2:3])


def test_guided_grad_cam_is_bare_where_grad_cam_speaks_against_the_target():
    model, images = tiny_resnext(64), pictures(size=64)
    cam, guided = grad_cam(model, images, TARGET), guided_grad_cam(model, images, TARGET)
    assert guided.shape == cam.shape
    assert guided[cam > 0].any()
    positive = grad_cam(model, images, TARGET).clamp(min=0).flatten(1).any(dim=1)
    assert guided.flatten(1).any(dim=1).tolist() == positive.tolist()


def test_integrated_gradients_become_complete_with_steps():
    model, images = tiny_iresnet().double(), pictures()
    errors = []
    for steps in (1, 4, 16, 128):
        heat, whole = integrated_gradients(model, images, TARGET, BLACK, steps=steps)
        errors.append(float(((heat.sum(dim=(1, 2)) - whole) / whole).abs().max()))
    dark = BLACK.view(1, 2, 1, 1).expand_as(images)
    expected = (model(images) - model(dark)).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(whole, expected)
    assert errors[0] > 1e-2
    assert errors[1] > errors[3]
    assert errors[3] < 1e-2


def test_integrated_gradients_of_a_linear_network_are_exact_with_one_step():
    model, images = Spot(), pictures(size=8).abs() + 1
    heat, whole = integrated_gradients(model, images, TARGET * 0, BLACK * 0, steps=1)
    torch.testing.assert_close(heat.sum(dim=(1, 2)), whole)
    torch.testing.assert_close(heat[:, 4:, 4:], images[:, 0, 4:, 4:])


def test_smooth_grad_of_a_linear_network_is_its_weight_and_the_same_in_any_batch():
    model, images = Spot(), pictures(size=8) + 20
    heat = smooth_grad(model, images, TARGET * 0)
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[4:, 4:] = 1
    torch.testing.assert_close(heat, expected.expand(4, 8, 8))
    model, images = tiny_resnext(), pictures()
    state = torch.get_rng_state()
    torch.testing.assert_close(smooth_grad(model, images[1:2], TARGET[1:2]), smooth_grad(model, images, TARGET)[1:2])
    assert torch.equal(torch.get_rng_state(), state)
