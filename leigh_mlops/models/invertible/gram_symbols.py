"""The Gram matrix of a circular convolution at each of its frequencies."""

import torch
from torch import Tensor

__all__ = ["GramSymbols"]


class GramSymbols:
    """Matrices G(f) = S(f)^H S(f) of the symbols S(f) of a circular convolution (Sedghi et al. 2019).

    G is the transform of the kernel's autocorrelation C(d), which spares one large product per
    frequency, and C(-d) = C(d)^T, so that G(f) = C(0) + sum over half of the offsets of
    cos(2 pi f d) (C(d) + C(d)^T) - i sin(2 pi f d) (C(d) - C(d)^T). Frequencies f and -f have
    conjugate matrices, and only one of them counts.

    Args:
        weight: Kernel (O, I, k, k), k odd.
        grid: Side of the circular feature map in pixels.

    Attributes:
        norms: Frobenius norm of each G(f), at least its largest eigenvalue, float64, shape (F,).
        side: Rows D of a matrix, the smaller of O and I.
    """

    def __init__(self, weight: Tensor, grid: int) -> None:
        if weight.shape[0] < weight.shape[1]:
            weight = weight.transpose(0, 1)
        self.side = weight.shape[1]
        offsets, self._even, self._odd = _autocorrelation(weight)
        rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid // 2 + 1), indexing="ij")
        frequencies = torch.stack([rows.flatten(), columns.flatten()], dim=1).double() / grid
        angles = (2 * torch.pi * frequencies @ offsets.double().T).to(weight.device)
        self._cosines, self._sines = angles.cos(), angles[:, 1:].sin()
        squares = _combined_squares(self._cosines, self._even) + _combined_squares(self._sines, self._odd)
        self.norms = squares.clamp(min=0).sqrt()

    def matrices(self, places: Tensor) -> Tensor:
        """G at some frequencies (n,), complex, shape (n, D, D)."""
        real, odd = (
            (waves[places].to(part.dtype) @ part).view(-1, self.side, self.side)
            for waves, part in ((self._cosines, self._even), (self._sines, self._odd))
        )
        return torch.complex(real, -odd)


def _autocorrelation(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets d at which a kernel (O, D, k, k) overlaps itself, the first one 0, and the parts of its autocorrelation.

    Returns:
        Half of the offsets, shape (H, 2); C(d) + C(d)^T of each, of the first one C(0), shape (H, D^2); and
        C(d) - C(d)^T of the others, shape (H - 1, D^2). C(d) is the sum over k of W_k^T W_(k + d).
    """
    side, length = weight.shape[-1], weight.shape[1]
    taps = weight.permute(0, 2, 3, 1).flatten(1, 2).contiguous()
    sums: dict[tuple[int, int], Tensor] = {}
    for first in range(side**2):
        products = (taps[:, first].T @ taps[:, first:].flatten(1)).view(length, -1, length)
        for second in range(first, side**2):
            offset = second // side - first // side, second % side - first % side
            product = products[:, second - first]
            sums[offset] = sums[offset] + product if offset in sums else product
    center, *others = sums.values()
    even = torch.stack([center, *(each + each.T for each in others)])
    odd = torch.stack([each - each.T for each in others]) if others else even[:0]
    return torch.tensor(list(sums)), even.flatten(1), odd.flatten(1)


def _combined_squares(waves: Tensor, parts: Tensor) -> Tensor:
    """Squared Euclidean norms (F,) of the combinations of parts (H, n) by float64 waves (F, H)."""
    # Accumulated in float64: norms at one frequency may be far below those at another.
    return ((waves @ (parts.double() @ parts.double().T)) * waves).sum(dim=1)
