import numpy as np
import torch
from scipy.stats import norm

from leigh_mlops.models.prior import ClassGaussian


def prior(seed: int = 0) -> ClassGaussian:
    made = ClassGaussian(2, (3, 2, 4)).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        made.scaled_means.normal_(std=5, generator=generator)
        made.log_std.normal_(std=0.5, generator=generator)
    return made


def latents(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_density_is_that_of_independent_normals() -> None:
    gaussian, z = prior(), latents()
    means, std = gaussian.means.detach().numpy(), gaussian.std.detach().numpy()
    wanted = [norm.logpdf(z.numpy(), mean, std).sum(axis=(1, 2, 3)) for mean in means]
    np.testing.assert_allclose(gaussian.log_prob(z).detach(), np.stack(wanted, axis=1), rtol=1e-12)


def test_logits_differ_as_the_densities_do() -> None:
    gaussian, z = prior(), latents()
    torch.testing.assert_close(gaussian.logits(z).log_softmax(1), gaussian.log_prob(z).log_softmax(1))


def test_logits_keep_in_single_precision_what_densities_lose() -> None:
    gaussian, z = prior(), 3000 + latents()
    exact = gaussian.log_prob(z).log_softmax(1)
    rounded, kept = (f(z.float()).log_softmax(1) for f in (gaussian.float().log_prob, gaussian.logits))
    assert (kept - exact).abs().max() < (rounded - exact).abs().max() / 2


def test_classes_are_alike_at_first() -> None:
    assert torch.equal(ClassGaussian(2, (3, 2, 4))(latents().float()), torch.zeros(5, 2))


def test_the_distance_of_classes_is_the_root_mean_square_of_their_difference() -> None:
    gaussian = prior()
    apart = ((gaussian.means[0] - gaussian.means[1]) / gaussian.std).expand(3, 2, 4)
    learned = gaussian.scaled_means[0] - gaussian.scaled_means[1]
    torch.testing.assert_close(apart.norm(), learned.square().mean().sqrt())


def test_the_standard_deviation_is_bounded() -> None:
    gaussian = prior()
    assert gaussian.std.max() < 100
    with torch.no_grad():
        gaussian.log_std.fill_(100)
    torch.testing.assert_close(gaussian.std.log(), torch.full((3, 1, 1), 5.0, dtype=torch.float64))


def test_half_precision_of_training_does_not_reach_the_margins() -> None:
    gaussian, z = prior().float(), latents().float()
    exact = gaussian.logits(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert (gaussian.logits(z) - exact).abs().max() < 1e-6 * exact.abs().max()
