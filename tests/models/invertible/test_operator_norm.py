import pytest
import torch
from torch.nn import functional as F

from leigh_mlops.models.invertible.operator_norm import (
    converged_vector,
    convolved_norm,
    krylov_step,
    matrix_norm,
    power_iterate,
    unit,
)

SIDE = 5


def kernel(size=3, seed=3):
    return torch.randn(4, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def vector(channels=3, side=SIDE):
    v = torch.randn(1, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return unit(v, v)


def operator_matrix(weight, side=SIDE):
    """The zero-padded convolution as a matrix, a unit image at a time."""
    basis = torch.eye(weight.shape[1] * side**2, dtype=weight.dtype).view(-1, weight.shape[1], side, side)
    return F.conv2d(basis, weight, padding=weight.shape[-1] // 2).flatten(1).T


def norm(weight):
    return torch.linalg.matrix_norm(operator_matrix(weight), ord=2)


def test_sigma_is_the_norm_of_the_operator_and_not_of_the_reshaped_kernel():
    weight = kernel()
    sigma = convolved_norm(weight, converged_vector(weight, vector(), tolerance=1e-14, most=5000))
    torch.testing.assert_close(sigma, norm(weight), rtol=1e-8, atol=0)
    reshaped = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    assert abs(reshaped - norm(weight)) > 0.05 * norm(weight)


def test_krylov_steps_come_closer_than_as_many_power_iterations():
    weight, v = kernel(seed=1), vector()
    by_power = norm(weight) - convolved_norm(weight, power_iterate(weight, v, 20))
    by_krylov = norm(weight) - convolved_norm(weight, krylov_step(weight, krylov_step(weight, v, 10), 10))
    assert by_power > 1e-4
    assert -1e-12 < by_krylov < by_power / 100


def test_a_krylov_space_larger_than_the_map_does_no_harm():
    weight = torch.full((1, 1, 3, 3), 0.5, dtype=torch.float64)
    v = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    assert convolved_norm(weight, krylov_step(weight, v, 10)).item() == pytest.approx(0.5)


def test_zero_padding_gives_the_norm_worked_out_for_a_line():
    """Kernel (-1, 2, -1) on 7 pixels: 2 + 2 cos(pi / 8) = 3.848, above the 3.802 of circular padding."""
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, 1] = torch.tensor([-1.0, 2.0, -1.0])
    sigma = convolved_norm(weight, converged_vector(weight, vector(1, 7), tolerance=1e-13, most=5000))
    assert sigma.item() == pytest.approx(3.848, abs=5e-4)


def test_the_norm_of_a_1x1_convolution_is_that_of_its_matrix():
    torch.testing.assert_close(matrix_norm(kernel(1)), norm(kernel(1)))
