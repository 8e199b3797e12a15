import pytest
import torch
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.models.invertible import operator_norm
from leigh_mlops.models.invertible.operator_norm import (
    certified_norm,
    convolved_norm,
    matrix_norm,
    power_iterate,
    unit_vector,
)

SIDE = 5


def kernel(size=3, seed=3):
    return torch.randn(4, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def vector(channels=3, side=SIDE):
    v = torch.randn(1, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return unit_vector(v, v)


def operator_matrix(weight, side=SIDE):
    """The zero-padded convolution as a matrix, a unit image at a time."""
    basis = torch.eye(weight.shape[1] * side**2, dtype=weight.dtype).view(-1, weight.shape[1], side, side)
    return F.conv2d(basis, weight, padding=weight.shape[-1] // 2).flatten(1).T


def norm(weight):
    return torch.linalg.matrix_norm(operator_matrix(weight), ord=2)


def circular_norm(weight, grid):
    """Norm of the convolution on a torus, a unit image at a time."""
    basis = torch.eye(weight.shape[1] * grid**2, dtype=weight.dtype).view(-1, weight.shape[1], grid, grid)
    around = F.pad(basis, (weight.shape[-1] // 2,) * 4, mode="circular")
    return torch.linalg.matrix_norm(F.conv2d(around, weight).flatten(1), ord=2)


def test_power_iteration_finds_the_norm_of_the_operator_and_not_of_the_reshaped_kernel():
    weight = kernel()
    sigma = convolved_norm(weight, power_iterate(weight, vector(), 5000))
    torch.testing.assert_close(sigma, norm(weight), rtol=1e-8, atol=0)
    reshaped = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    assert abs(reshaped - norm(weight)) > 0.05 * norm(weight)


@pytest.mark.parametrize(("size", "side"), [(3, 5), (3, 8), (5, 6), (3, 2), (3, 1), (5, 2)])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_certificate_bounds_the_operator_and_lies_close_to_the_circular_one(size, side, shape, dtype):
    generator = torch.Generator().manual_seed(size * side)
    weight = torch.randn(*shape, size, size, dtype=torch.float64, generator=generator)
    true = torch.linalg.matrix_norm(operator_matrix(weight, side), ord=2)
    bound = float(certified_norm(weight.to(dtype), side))
    assert bound > true
    if side > size // 2:
        circular = circular_norm(weight, side + size // 2)
        assert circular < bound < circular * 1.01


def test_rounding_lets_no_bound_pass_that_is_too_small(monkeypatch):
    monkeypatch.setattr(operator_norm, "_MARGIN", 1e-9)  # nothing else is left to make up for it
    for seed in range(10):
        weight = torch.randn(48, 48, 3, 3, generator=torch.Generator().manual_seed(seed))
        bound = float(certified_norm(weight, SIDE))
        true = largest_symbol(weight.double(), SIDE + 1)
        assert true <= bound < 1.01 * true


def largest_symbol(weight, grid):
    """Norm on a torus, by the matrix of each frequency."""
    symbols = torch.fft.fft2(F.pad(weight, (0, grid - 3, 0, grid - 3)))
    return float(torch.linalg.matrix_norm(symbols.permute(2, 3, 0, 1), ord=2).max())


def test_frequencies_that_their_frobenius_norm_bounds_are_not_factorised(monkeypatch):
    taken, factorise = [], torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda each: taken.append(len(each)) or factorise(each))
    monkeypatch.setattr(operator_norm, "_NUMBERS_PER_PASS", 36 * 4)
    flat = torch.zeros(6, 6, 3, 3)
    flat[:, :, 1, 1] = torch.eye(6)
    assert float(certified_norm(flat, 15)) == pytest.approx(1, rel=1e-3)
    assert sum(taken) >= 16 * 9  # all frequencies prevail, four at once
    assert max(taken) == 4
    taken.clear()
    smooth = flat + torch.randn(6, 6, 1, 1, generator=torch.Generator().manual_seed(0))
    bound = float(certified_norm(smooth, 15))
    assert sum(taken) < 40
    assert 1 <= bound / largest_symbol(smooth.double(), 16) < 1.001


def test_circular_padding_of_the_same_size_would_certify_nothing():
    """Kernel (-1, 2, -1) on 7 pixels: 2 + 2 cos(pi / 8) = 3.848, above the 3.802 of circular padding."""
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, 1] = torch.tensor([-1.0, 2.0, -1.0])
    true = norm_on(weight, 7)
    assert true == pytest.approx(3.848, abs=5e-4)
    assert circular_norm(weight, 7).item() == pytest.approx(3.802, abs=5e-4)
    assert true < certified_norm(weight, 7) < 4.01


def norm_on(weight, side):
    return torch.linalg.matrix_norm(operator_matrix(weight, side), ord=2).item()


def test_a_norm_that_only_one_frequency_has_is_found():
    """A checkerboard of signs is stretched by 9, and almost nothing else by more than 3."""
    weight = torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]], dtype=torch.float64).view(1, 1, 3, 3)
    assert 8.9 < norm_on(weight, 31) < certified_norm(weight, 31) < 9.1


def test_a_kernel_of_zeros_has_the_norm_zero_and_scale_changes_nothing():
    weight = kernel()
    assert certified_norm(torch.zeros_like(weight), 5) == 0
    for factor in (1e-30, 1e30):
        torch.testing.assert_close(certified_norm(factor * weight, 5), factor * certified_norm(weight, 5))


def test_the_norm_of_a_1x1_convolution_is_that_of_its_matrix():
    torch.testing.assert_close(matrix_norm(kernel(1)), norm(kernel(1)))
    assert certified_norm(kernel(1), 5) == matrix_norm(kernel(1))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_have_no_norm(value):
    weight = torch.ones(2, 2, 3, 3)
    assert certified_norm(weight, SIDE) > 0
    weight[1, 0, 2, 1] = value
    with pytest.raises(LeighError, match="not finite; train again with a lower learning rate"):
        certified_norm(weight, SIDE)


@pytest.mark.parametrize("side", [2, 16])
def test_products_replace_convolutions_of_maps_that_are_smaller_than_the_kernel(side, monkeypatch):
    weight = torch.randn(40, 40, 3, 3, generator=torch.Generator().manual_seed(2)).double()
    v, u = vector(40, side), vector(40, side).flip(1)
    assert operator_norm._is_product_faster(weight, u) == (side == 2)
    maps = operator_norm.convolve(weight, v), operator_norm.adjoint(weight, u)
    monkeypatch.setattr(operator_norm, "_is_product_faster", lambda weight, maps: False)
    torch.testing.assert_close(maps, (operator_norm.convolve(weight, v), operator_norm.adjoint(weight, u)))
