import json
import math

import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals.ecinn import ecinn
from leigh_mlops.models import InverseError, build_model, load_model, save_model
from leigh_mlops.models.invertible import ResidualBlock
from leigh_mlops.models.invertible.operator_norm import convolved_norm, power_iterate, unit_vector
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
    assert inversion.residual.shape == (3,)
    assert inversion.residual.min() > 0
    assert inversion.residual.max() <= 1e-6
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
        ({"blocks": (1,) * 6, "widths": (4,) * 6}, "6 stages halve .* 32 pixels are not a multiple of 64"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(change, text):
    architecture = {"blocks": (1, 1), "widths": (6, 8)} | change
    with pytest.raises(LeighError, match=text):
        build_model("iresnet", classes=CLASSES, image_size=32, **architecture)


def true_norm(conv):
    """Of a convolution as it is applied, on its feature map."""
    weight = conv.eval_weight().detach().double()
    start = torch.randn(1, weight.shape[1], conv.map_size, conv.map_size, dtype=torch.float64)
    return float(convolved_norm(weight, power_iterate(weight, unit_vector(start, start), 300)))


def test_the_certificate_stands_in_the_description_and_bounds_every_branch(tmp_path):
    model = trained("iresnet")
    blocks = [part for part in model.trunk if isinstance(part, ResidualBlock)]
    with torch.no_grad():
        for block in blocks:
            block.branch[0].weight.mul_(50)
    save_model(model, tmp_path)
    stored = json.loads((tmp_path / "model.json").read_text())["certificate"]
    assert list(stored["lipschitz"]) == ["block 1 of stage 1", "block 1 of stage 2"]
    assert stored["allowed"] == 0.8
    for name, bounds in stored["convolutions"].items():
        assert len(bounds) == 3
        assert 0.79 < max(bounds) <= 0.8 * (1 + 1e-6)
        assert stored["lipschitz"][name] == pytest.approx(math.prod(bounds))
    for block in blocks:
        for conv, bound in zip(block.branch[::2], stored["convolutions"][block.name], strict=True):
            assert 0.5 * bound < true_norm(conv) <= bound * (1 + 1e-6)
    low, high = stored["actnorm_scales"]
    assert math.exp(-5) <= low <= high <= math.exp(5)
    assert load_model(tmp_path).certificate() == stored
    assert compact("resnext").certificate() == {}


def jacobian_log_det(model, image):
    """Of one image, through every entry of the Jacobian."""
    matrix = torch.autograd.functional.jacobian(lambda x: model.encode(x[None])[0].flatten(), image)
    return torch.linalg.slogdet(matrix.view(-1, image.numel()).double()).logabsdet


def test_the_log_determinant_is_that_of_the_jacobian():
    architecture = {"padded_channels": None, "blocks": [1], "widths": [4], "head": "gaussian"}
    architecture |= {"log_det": "series", "log_det_terms": 40}
    model = compact("iresnet", channels=1, **architecture).double()
    x = images(4, channels=1, dtype=torch.float64)
    with torch.no_grad():
        model.train()(x)
    for part in model.trunk[2].branch[::2]:
        part.weight.data.mul_(5)
    model.eval()
    with torch.no_grad():
        latents, estimates = zip(*(model.encode_with_log_det(x[:1]) for _ in range(60)), strict=True)
    torch.testing.assert_close(latents[0], model.encode(x[:1]))
    exact, found = jacobian_log_det(model, x[0]), torch.stack(estimates)
    scale = model.trunk[1].log_det((16, 16))
    assert abs(exact - scale) > 0.5  # the branch has a volume of its own
    assert abs(found.mean() - exact) < 4 * found.std() / 60**0.5 + 1e-6


def test_a_density_of_padded_images_is_refused():
    with pytest.raises(LeighError, match=r"log_det is 'roulette' with 8 padded channels.*set padded_channels to null"):
        compact("iresnet", log_det="roulette")
    with pytest.raises(LeighError, match="built without a log-determinant"):
        trained("iresnet").encode_with_log_det(images(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head": "published"}, "head 'published' has no density; set head to gaussian"),
        ({"memory": "checkpoint"}, "memory is 'checkpoint'.*set memory to store"),
        ({"lipschitz": 0.95}, "lipschitz is 0.95.*give at most 0.91"),
    ],
)
def test_what_a_density_cannot_have_is_refused(change, said):
    density = {"padded_channels": None, "head": "gaussian", "log_det": "roulette"}
    compact("iresnet", **density)
    with pytest.raises(LeighError, match=said):
        compact("iresnet", **density | change)
    compact("iresnet", **density | change | {"log_det": "none"})


def test_images_and_latents_of_another_shape_are_refused():
    model = compact("iresnet", padded_channels=None, head="gaussian", log_det="series").eval()
    latents, _ = model.encode_with_log_det(images(1))
    for of_images in (model.encode, model.encode_with_log_det):
        with pytest.raises(ValueError, match=r"images are \(3, 16, 16\); this network takes"):
            of_images(images(1)[..., :16, :16])
    model.invert(latents)
    with pytest.raises(ValueError, match=r"latents are .*; those of this network are"):
        model.invert(latents[:, :3])


@pytest.mark.parametrize("change", [{"head": "linear"}, {"memory": "none"}, {"log_det": "exact"}])
def test_an_unknown_word_names_those_that_are_known(change):
    with pytest.raises(LeighError, match=r"choose one of \w+, \w+"):
        compact("iresnet", **change)


def test_a_gaussian_head_has_the_boundary_that_ecinn_assumes():
    """Halfway between the means of two classes their log-densities are equal, and alpha_0 leads there."""
    model = compact("iresnet", padded_channels=None, head="gaussian")
    torch.nn.init.normal_(model.head.scaled_means, std=3)
    model.eval()
    z = model.encode(images(2))
    means = model.head.means.expand(-1, *model.latent_shape)
    mask = model.classify(z).argmax(1)
    target = (mask + 1) % 3
    step = ecinn(z, mask, target, {"true": means, "predicted": means})
    logits = model.classify(z + step.alpha_0.float().view(-1, 1, 1, 1) * step.delta)
    assert (model.classify(z).gather(1, mask[:, None]) - model.classify(z).gather(1, target[:, None])).min() > 0.1
    torch.testing.assert_close(logits.gather(1, mask[:, None]), logits.gather(1, target[:, None]), rtol=1e-3, atol=1e-3)


def test_a_checkpointed_network_trains_the_same():
    results = []
    for memory in ("store", "checkpoint"):
        model = compact("iresnet", memory=memory, dropout=0.0).train()
        model(images(4)).square().sum().backward()
        results.append([each.grad for each in model.parameters()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
