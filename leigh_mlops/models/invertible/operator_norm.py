"""The norm of a convolution as an operator on its feature map."""

import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.errors import LeighError

__all__ = ["certified_norm", "convolved_norm", "power_iterate", "unit_vector"]

_MARGIN = 2e-3
_STEPS = 10


def unit_vector(x: Tensor, otherwise: Tensor) -> Tensor:
    """Divide a tensor by its Euclidean norm; return another one where it is zero."""
    norm = torch.linalg.vector_norm(x)
    return torch.where(norm > 0, x / norm.clamp(min=torch.finfo(x.dtype).tiny), otherwise)


def convolve(weight: Tensor, v: Tensor) -> Tensor:
    """Zero-padded convolution of stride 1, (N, I, H, W) to (N, O, H, W)."""
    if _is_product_faster(weight, v):
        product = weight.flatten(1) @ F.unfold(v, weight.shape[-1], padding=weight.shape[-1] // 2)
        return product.view(len(v), -1, *v.shape[2:])
    return F.conv2d(v, weight, padding=weight.shape[-1] // 2)


def adjoint(weight: Tensor, u: Tensor) -> Tensor:
    """The transposed convolution, (N, O, H, W) to (N, I, H, W)."""
    if _is_product_faster(weight, u):
        product = weight.flatten(1).T @ u.flatten(2)
        return F.fold(product, u.shape[2:], weight.shape[-1], padding=weight.shape[-1] // 2)
    return F.conv_transpose2d(u, weight, padding=weight.shape[-1] // 2)


def _is_product_faster(weight: Tensor, maps: Tensor) -> bool:
    """Return whether a product of matrices is faster: convolutions on a CPU copy the kernel, here larger than maps."""
    return not weight.is_cuda and weight.numel() > 64 * maps.numel()


def power_iterate(weight: Tensor, v: Tensor, iterations: int) -> Tensor:
    """Turn v towards the convolution's first right singular vector.

    The method is that of Gouk et al. 2021 (section 3.2): a step is the
    convolution and its adjoint, the transposed convolution, on the feature map itself.
    The spectral norm of the kernel reshaped to a matrix is a different quantity.

    Args:
        weight: Kernel (O, I, k, k), k odd; zero padding k // 2, stride 1.
        v: Unit vector (1, I, H, W).
        iterations: Number of steps.
    """
    for _ in range(iterations):
        u = convolve(weight, v)
        v = unit_vector(adjoint(weight, unit_vector(u, u)), otherwise=v)
    return v


def convolved_norm(weight: Tensor, v: Tensor) -> Tensor:
    """<u, conv(v)> with u the unit vector along conv(v), at most the norm; gradients flow to the kernel alone."""
    v = v.detach()
    convolved = convolve(weight, v)
    u = unit_vector(convolved.detach(), convolved.detach())
    return (u * convolved).sum()


def matrix_norm(weight: Tensor) -> Tensor:
    """Exact norm of a 1x1 convolution (O, I, 1, 1), whatever the feature map."""
    norm: Tensor = torch.linalg.matrix_norm(weight[:, :, 0, 0].double(), ord=2)
    return norm.to(weight.dtype)


@torch.no_grad()
def certified_norm(weight: Tensor, map_size: int) -> Tensor:
    """Compute a tight upper bound on the norm of a zero-padded convolution.

    A zero-padded convolution on n x n is part of the circular one on n + k // 2,
    which a Fourier transform takes apart into one matrix per frequency (Sedghi et
    al. 2019), so the largest of their norms bounds it. tau bounds them all if and
    only if tau^2 I - G is positive definite for each frequency's Gram matrix G,
    which is tested by a Cholesky factorisation, with a margin for its rounding.
    G is the transform of the kernel's autocorrelation, which spares one large
    product per frequency. At equal size zero padding can exceed circular padding,
    so n itself would certify nothing.

    Args:
        weight: Kernel (O, I, k, k), k odd; zero padding k // 2, stride 1.
        map_size: Side n of the feature maps in pixels.

    Returns:
        The bound, shape (): exact up to rounding for 1x1 kernels; else at most a
        few parts in a thousand above the norm of the circular convolution.

    Raises:
        LeighError: A weight is not finite.
    """
    if not bool(weight.isfinite().all()):
        raise LeighError("A convolution has weights that are not finite; train again with a lower learning rate.")
    if weight.shape[-1] == 1:
        return matrix_norm(weight)
    largest = weight.abs().max()
    if largest == 0:
        return torch.zeros_like(largest)
    grams = _gram_symbols(weight / largest, map_size + weight.shape[-1] // 2)
    side = grams.shape[-1]
    rounding = 8 * side * torch.finfo(weight.dtype).eps
    identity, vectors = torch.eye(side, dtype=grams.dtype, device=grams.device), _initial_vectors(grams)
    margin, below = _MARGIN, torch.zeros((), dtype=weight.dtype, device=weight.device)
    while len(grams):
        vectors, values = _iterate_grams(grams, vectors)
        below = torch.maximum(below, values.max())
        bound = below * (1 + margin)
        # An excess of a few units of rounding must not pass as positive.
        passed = torch.linalg.cholesky_ex(bound * (1 - rounding) * identity - grams).info == 0
        grams, vectors, margin = grams[~passed], vectors[~passed], margin * 1.5
    return bound.sqrt() * largest


def _gram_symbols(weight: Tensor, grid: int) -> Tensor:
    """Gram matrix of the convolution at each frequency of a circular grid, shape (F, D, D), D = min(O, I).

    Frequencies f and -f have conjugate matrices, and only one of them is returned.
    """
    if weight.shape[0] < weight.shape[1]:
        weight = weight.transpose(0, 1)
    offsets, correlations = _autocorrelation(weight)
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid // 2 + 1), indexing="ij")
    turns = torch.stack([rows.flatten(), columns.flatten()], dim=1).double() @ offsets.T.double() / grid
    waves = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns).to(weight.device)
    flat = correlations.flatten(1)
    real, imaginary = (part.to(weight.dtype) @ flat for part in (waves.real, waves.imag))
    return torch.complex(real, imaginary).view(-1, *correlations.shape[1:])


def _autocorrelation(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets d (D, 2) at which a kernel overlaps itself, and sum over k of W_k^T W_(k + d), shape (D, I, I)."""
    side = weight.shape[-1]
    offsets, correlations = [], []
    for row in range(side):
        for column in range(1 - side if row else 0, side):
            low, high = max(0, -column), side - max(0, column)
            here = weight[:, :, : side - row, low:high]
            there = weight[:, :, row:, low + column : high + column]
            product = here.transpose(0, 1).flatten(1) @ there.transpose(0, 1).flatten(1).T
            offsets.append((row, column))
            correlations.append(product)
            if (row, column) != (0, 0):
                offsets.append((-row, -column))
                correlations.append(product.T)
    return torch.tensor(offsets), torch.stack(correlations)


def _initial_vectors(grams: Tensor) -> Tensor:
    """Initial vectors (F, D, 1), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(grams.shape[-1], 1, dtype=torch.float64, generator=generator)
    return start.to(grams.device, grams.dtype).expand(len(grams), -1, 1)


def _iterate_grams(grams: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Power iteration at every frequency, and the Rayleigh quotients (F,), which no eigenvalue bounds from below."""
    for _ in range(_STEPS):
        further = grams @ vectors
        norms = torch.linalg.vector_norm(further, dim=(1, 2), keepdim=True)
        vectors = torch.where(norms > 0, further / norms.clamp(min=torch.finfo(norms.dtype).tiny), vectors)
    quotients = (vectors.conj() * (grams @ vectors)).sum(dim=(1, 2)) / (vectors.conj() * vectors).sum(dim=(1, 2))
    return vectors, quotients.real
