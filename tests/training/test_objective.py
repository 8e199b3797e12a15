import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from leigh_mlops.images import Batch
from leigh_mlops.models import InverseError, ModelSpec, Network, build_model
from leigh_mlops.models.prior import ClassGaussian
from leigh_mlops.training.objective import OBJECTIVES, density_losses, inverse_error, predict, select_objective

SHAPE = (2, 4, 4)


class Doubling(Network):
    """z = 2 x, a map whose density is known; its head has means 0 and 1 in every channel."""

    task = "classify"

    def __init__(self, *, head: str = "gaussian", log_det: str = "roulette", noisy: bool = False) -> None:
        super().__init__(ModelSpec("iresnet", ("A", "B"), 32, 2, {"head": head, "log_det": log_det}))
        self.head, self.noisy = ClassGaussian(2, SHAPE), noisy
        with torch.no_grad():
            self.head.scaled_means[1] = math.sqrt(math.prod(SHAPE))

    def encode_with_log_det(self, images: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn(len(images)) if self.noisy else torch.zeros(len(images))
        return 2 * images, images[0].numel() * math.log(2) + noise

    def forward(self, images: Tensor) -> Tensor:
        return self.head(2 * images)


def batch(count: int = 6) -> Batch:
    images = torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.arange(count) % 2, np.arange(count))


def test_a_density_is_judged_only_where_there_is_one() -> None:
    assert select_objective(Doubling(head="published", log_det="none")) is OBJECTIVES["classify"]
    assert select_objective(Doubling(log_det="none")) is OBJECTIVES["classify"]
    assert select_objective(Doubling()) is OBJECTIVES["density"]


def test_nats_per_dimension_are_those_of_the_change_of_variables() -> None:
    fields = batch()
    wanted = [
        -(norm.logpdf(2 * image, loc=label).sum() + math.prod(SHAPE) * math.log(2)) / math.prod(SHAPE)
        for image, label in zip(fields.images.numpy(), fields.labels.tolist(), strict=True)
    ]
    logits, nats = density_losses(Doubling(), fields.images, fields.labels)
    np.testing.assert_allclose(nats.detach(), wanted, rtol=1e-5)
    torch.testing.assert_close(logits, Doubling()(fields.images))


@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_beta_weighs_the_cross_entropy(beta: float) -> None:
    fields, model = batch(), Doubling()
    plain = OBJECTIVES["classify"].compute_losses(model, fields, beta)
    batch_losses = OBJECTIVES["density"].compute_losses(model, fields, beta)
    torch.testing.assert_close(batch_losses.losses, beta * plain.losses + batch_losses.extra_measures["nats_per_dim"])
    torch.testing.assert_close(batch_losses.values, plain.values)
    hits = (Doubling()(fields.images).argmax(1) == fields.labels).float()
    assert plain.extra_measures.keys() == {"accuracy"}
    torch.testing.assert_close(plain.extra_measures["accuracy"], hits)
    torch.testing.assert_close(batch_losses.extra_measures["accuracy"], hits)


def test_prediction_says_nats_per_dimension_and_keeps_the_random_state() -> None:
    assert "nats_per_dim" not in predict(Doubling(log_det="none"), [batch()]).extra_measures
    before = torch.get_rng_state()
    torch.manual_seed(1)
    first = predict(Doubling(noisy=True), [batch()], beta=2.0)
    torch.manual_seed(2)
    again = predict(Doubling(noisy=True), [batch()], beta=2.0)
    assert first.extra_measures == again.extra_measures
    assert first.loss == again.loss
    state = torch.get_rng_state()
    predict(Doubling(noisy=True), [batch()])
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)
    scores = OBJECTIVES["density"].scores(first, ["P/A01", "P/A02"] * 3, ("A", "B"))
    assert scores["nats_per_dim"] == first.extra_measures["nats_per_dim"]
    assert "log_loss" in scores


def test_the_inverse_error_is_that_of_the_inverse_and_of_invertible_networks_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = torch.randn(2, 2, 32, 32)
    small = {"classes": ["A", "B"], "image_size": 32, "channels": 2}
    model = build_model("iresnet", blocks=[1, 1], widths=[4, 4], padded_channels=None, **small)
    model.train()
    error = inverse_error(model, images)
    assert error is not None
    assert error < 1e-4
    assert model.training
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda latents: decode(latents) + 0.5)
    assert inverse_error(model, images) == pytest.approx(0.5, abs=1e-3)

    def diverge(latents: torch.Tensor) -> torch.Tensor:
        raise InverseError("block 1 does not converge")

    monkeypatch.setattr(model, "decode", diverge)
    assert inverse_error(model, images) == math.inf
    assert inverse_error(build_model("autoencoder", **small), images) is None


def variational(count: int = 4) -> tuple[Network, Batch]:
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=[], image_size=32, channels=2, widths=(4, 4), variational=True)
    images = torch.randn(count, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    return model, Batch(images, torch.full((count,), -1), np.arange(count))


def test_the_elbo_is_that_of_normal_distributions() -> None:
    model, fields = variational()
    assert select_objective(build_model("autoencoder", classes=[], image_size=32)) is OBJECTIVES["reconstruct"]
    objective = select_objective(model)
    assert objective is OBJECTIVES["variational"]
    model.train()
    torch.manual_seed(1)
    found = objective.compute_losses(model, fields, 1.0)
    torch.manual_seed(1)
    mean, log_variance = model.encode_distribution(fields.images)  # type: ignore[operator]
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    decoded = model.decode(mean + torch.randn_like(mean) * posterior.scale)  # type: ignore[operator]
    size = fields.images[0].numel()
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1) / size
    likelihood = torch.distributions.Normal(decoded, 1.0).log_prob(fields.images).flatten(1).mean(1)
    torch.testing.assert_close(found.extra_measures["kl_nats"], kl, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.extra_measures["reconstruction_nats"], -likelihood, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.extra_measures["elbo"], likelihood - kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.losses, -found.extra_measures["elbo"])
    torch.manual_seed(1)
    weighed = objective.compute_losses(model, fields, 10.0)
    torch.testing.assert_close(weighed.losses - found.losses, 9 * kl, rtol=1e-3, atol=1e-5)


def test_validation_of_a_variational_network_does_not_vary_by_chance() -> None:
    model, fields = variational()
    model.eval()
    first = predict(model, [fields])
    assert first.values[:, 0].tolist() == predict(model, [fields]).values[:, 0].tolist()
    errors = (model(fields.images) - fields.images).square().flatten(1).mean(1)
    np.testing.assert_allclose(first.values[:, 0], errors.detach().numpy(), rtol=1e-5)
    scores = OBJECTIVES["variational"].scores(first, ["P/A01"] * 4, ())
    assert scores["mse"] == pytest.approx(float(errors.detach().mean()), rel=1e-5)
    assert scores["elbo"] == pytest.approx(-scores["reconstruction_nats"] - scores["kl_nats"], rel=1e-5)
    assert scores["loss"] == pytest.approx(-scores["elbo"], rel=1e-5)
