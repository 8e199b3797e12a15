import pytest
import torch
from torch.nn import functional as F

from leigh_mlops.models.invertible.gram_symbols import GramSymbols

GRID = 7


def kernel(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def slow_matrices(weight, grid):
    """S^H S by the Fourier transform of the kernel itself, at half of the frequencies."""
    side = weight.shape[-1]
    symbols = torch.fft.fft2(F.pad(weight, (0, grid - side, 0, grid - side))).permute(2, 3, 0, 1)
    if weight.shape[0] < weight.shape[1]:
        symbols = symbols.transpose(2, 3)
    return (symbols.mH @ symbols)[:, : grid // 2 + 1].flatten(0, 1)


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (3, 5, 3, 3), (2, 2, 5, 5), (3, 2, 1, 1)])
def test_matrices_and_their_norms_are_those_of_the_transformed_kernel(shape):
    weight = kernel(*shape)
    wanted = slow_matrices(weight, GRID)
    symbols = GramSymbols(weight, GRID)
    assert symbols.side == min(shape[:2])
    places = torch.randperm(len(wanted), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(symbols.matrices(places), wanted[places])
    torch.testing.assert_close(symbols.norms, torch.linalg.matrix_norm(wanted))
    assert (torch.linalg.eigvalsh(wanted)[:, -1] <= symbols.norms * (1 + 1e-12)).all()


def test_norms_far_below_the_largest_are_exact_in_single_precision():
    """A blur lets high frequencies through by 1e-4 of the low ones."""
    blur = torch.tensor([1.0, 1.98, 1.0])
    weight = (blur[:, None] * blur).expand(4, 4, 3, 3).contiguous()
    norms = GramSymbols(weight, 64).norms
    wanted = torch.linalg.matrix_norm(slow_matrices(weight.double(), 64))
    assert wanted.min() < 1e-8 * wanted.max()
    assert ((norms - wanted).abs() < 1e-5 * wanted.max()).all()
