import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models import InverseError, build_model
from tests.models.compact import CLASSES, compact, images, trained


@pytest.mark.parametrize("channels", [2, 3])
def test_decode_undoes_encode(channels):
    model, x = trained("iresnet", channels=channels).double(), images(3, channels=channels, dtype=torch.float64)
    z = model.encode(x)
    assert (model.decode(z, tolerance=1e-3) - x).abs().max() > 1e-10
    assert (model.decode(z, tolerance=1e-14) - x).abs().max() < 1e-10


def test_float32_reaches_the_default_tolerance():
    model, x = trained("iresnet"), 30 * images(3)
    inversion = model.invert(model.encode(x))
    assert inversion.residual <= 1e-6
    assert (inversion.images[:, :3] - x).abs().max() < 1e-3


def test_a_latent_of_an_image_leaves_the_padding_empty_and_a_shifted_one_does_not():
    model = trained("iresnet").double()
    z = model.encode(images(2, dtype=torch.float64))
    inversion = model.invert(z, tolerance=1e-14)
    assert inversion.images.shape == (2, 8, 32, 32)
    assert inversion.padding_energy.shape == (2,)
    assert inversion.padding_energy.max() < 1e-18
    assert model.invert(z + 1).padding_energy.min() > 1e-3


def test_without_padding_every_latent_is_that_of_an_image():
    model = compact("iresnet", padded_channels=3).double()
    model.train()(images(4, dtype=torch.float64))
    model.eval()
    z = torch.randn(2, *model.latent_shape, dtype=torch.float64)
    x = model.decode(z, tolerance=1e-14)
    torch.testing.assert_close(model.encode(x), z, rtol=1e-9, atol=1e-9)
    assert (model.invert(z).padding_energy == 0).all()


def test_a_network_that_was_never_trained_is_invertible_and_stays_uninitialised():
    model, x = compact("iresnet").eval(), images(2)
    assert (model.decode(model.encode(x)) - x).abs().max() < 1e-4
    assert not any(tensor for name, tensor in model.state_dict().items() if name.endswith("initialised"))
    model.train()(x)
    assert all(tensor for name, tensor in model.state_dict().items() if name.endswith("initialised"))


def test_decoding_in_training_mode_is_refused():
    model = trained("iresnet")
    z = model.encode(images(1))
    with pytest.raises(InverseError, match="training mode"):
        model.train().decode(z)


def test_too_few_iterations_name_the_block():
    model = trained("iresnet")
    with pytest.raises(InverseError, match="block 1 of stage 2"):
        model.decode(model.encode(images(1)), max_iterations=1)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"this network takes \(3, 32, 32\)"):
        trained("iresnet").encode(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"padded_channels": 2}, "padded_channels is 2; give a whole number from 3"),
        ({"widths": (4,)}, r"widths is \[4\]; give a list of 2"),
        ({"lipschitz": 1.0}, "lipschitz is 1.0; give a number from 0.01 to 0.99"),
        ({"power_iterations": 0}, "power_iterations is 0"),
        ({"blocks": (1,) * 6, "widths": (4,) * 6}, "6 stages halve .* 32 pixels are no multiple of 64"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(change, text):
    architecture = {"blocks": (1, 1), "widths": (6, 8)} | change
    with pytest.raises(LeighError, match=text):
        build_model("iresnet", classes=CLASSES, image_size=32, **architecture)
