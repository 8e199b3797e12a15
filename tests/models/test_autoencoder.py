import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model


def test_more_halvings_than_the_image_allows_are_refused():
    build_model("autoencoder", classes=[], image_size=32, widths=(2,) * 5)
    with pytest.raises(LeighError, match=r"6 widths halve .* not a multiple of 64; give fewer widths"):
        build_model("autoencoder", classes=[], image_size=32, widths=(2,) * 6)


def test_the_output_is_linear_and_can_be_negative():
    model = build_model("autoencoder", classes=[], image_size=32)
    assert type(model.decoder[-1]).__name__ == "ConvTranspose2d"


def test_both_designs_have_98_latents_at_the_published_size():
    for design in ("published", "patches"):
        model = build_model("autoencoder", classes=[], image_size=224, channels=3, design=design).eval()
        latents = model.encode(torch.zeros(1, 3, 224, 224))
        assert latents.shape == (1, 2, 7, 7)
        assert model.decode(latents).shape == (1, 3, 224, 224)


def test_the_latent_of_patches_has_both_signs_and_the_published_one_has_not():
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    published, patches = (
        build_model("autoencoder", classes=[], image_size=64, channels=3, design=design).encode(images)
        for design in ("published", "patches")
    )
    assert published.min() >= 0
    assert patches.min() < 0 < patches.max()


def test_images_that_do_not_fit_into_patches_are_refused():
    with pytest.raises(LeighError, match="5 widths halve the image 6 times, but 96 pixels"):
        build_model("autoencoder", classes=[], image_size=96, widths=(2,) * 5, design="patches")
    with pytest.raises(LeighError, match="design is 'round'; choose one of published, patches"):
        build_model("autoencoder", classes=[], image_size=64, design="round")


@pytest.mark.parametrize("design", ["published", "patches"])
def test_latents_of_a_variational_network_are_means_of_both_signs(design):
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=[], image_size=64, design=design, variational=True).eval()
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, log_variance = model.encode_distribution(images)
    assert (
        mean.shape == log_variance.shape == build_model("autoencoder", classes=[], image_size=64).encode(images).shape
    )
    assert torch.equal(model.encode(images), mean)
    assert torch.equal(model(images), model.decode(mean))
    assert mean.min() < 0 < mean.max()


def test_samples_of_the_prior_are_the_same_for_each_seed():
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=[], image_size=64, design="patches", variational=True).eval()
    state = torch.get_rng_state()
    drawn = model.sample(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert drawn.shape == (3, 3, 64, 64)
    assert torch.equal(drawn, model.sample(3))
    assert not torch.equal(drawn, model.sample(3, seed=1))


def test_a_network_is_variational_or_not():
    assert not build_model("autoencoder", classes=[], image_size=32).variational
    with pytest.raises(LeighError, match="variational is 'yes'; give true or false"):
        build_model("autoencoder", classes=[], image_size=32, variational="yes")
