import torch

from leigh_mlops.models.invertible import Squeeze


def test_squeeze_moves_every_number_and_back():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    y = Squeeze()(x)
    assert y.shape == (2, 12, 2, 3)
    assert not torch.equal(y.flatten(), x.flatten())
    assert torch.equal(y.flatten().sort().values, x.flatten())
    assert torch.equal(Squeeze().inverse(y), x)
    assert torch.equal(y[0, :4, 0, 0], x[0, 0, :2, :2].flatten())
