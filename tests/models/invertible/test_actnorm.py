import copy
import math

import torch

from leigh_mlops.models.invertible import ActNorm


def batch(seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return 5 + scale * torch.randn(4, 3, 6, 6, generator=generator, dtype=torch.float64)


def test_it_is_the_identity_until_it_is_trained():
    norm = ActNorm(3).double().eval()
    assert torch.equal(norm(batch()), batch())
    assert not norm.initialised


def test_the_first_training_batch_comes_out_standardised_and_later_ones_change_nothing():
    norm = ActNorm(3).double()
    y = norm(batch())
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64))
    scale = norm.scale.clone()
    norm(batch(1, scale=9.0))
    assert torch.equal(norm.scale, scale)


def test_a_loaded_norm_does_not_initialise_again():
    norm, fresh = ActNorm(3).double(), ActNorm(3).double()
    norm(batch())
    kept = copy.deepcopy(norm.state_dict())
    fresh(batch(1, scale=9.0))
    assert not torch.equal(fresh.scale, norm.scale)
    fresh.load_state_dict(kept)
    fresh(batch(1, scale=9.0))
    assert torch.equal(fresh.scale, norm.scale)


def test_the_inverse_undoes_it_also_at_the_bound():
    norm = ActNorm(3).double()
    norm(batch())
    norm.log_scale.data[0], norm.log_scale.data[1] = 40.0, -40.0
    assert math.isclose(norm.scale.max().item(), math.exp(5))
    assert math.isclose(norm.scale.min().item(), math.exp(-5))
    torch.testing.assert_close(norm.inverse(norm(batch(2))), batch(2), rtol=1e-12, atol=1e-12)


def test_a_channel_without_variance_keeps_scale_one():
    x = batch().float()
    x[:, 0], x[:, 1] = 0.0, 1234.567
    norm = ActNorm(3)
    y = norm(x)
    assert norm.scale.flatten()[:2].tolist() == [1.0, 1.0]
    assert norm.scale.flatten()[2] < 1
    assert y[:, :2].abs().max() < 1e-3


def test_a_channel_that_hardly_varies_is_scaled_by_no_more_than_the_bound():
    x = batch(scale=1e-3)
    norm = ActNorm(3).double()
    norm(x)
    torch.testing.assert_close(norm.scale.max(), torch.tensor(math.exp(5), dtype=torch.float64))
