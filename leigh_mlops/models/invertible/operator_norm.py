"""The norm of a convolution as an operator on its feature map."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.models.invertible.gram_symbols import GramSymbols

__all__ = ["certified_norm", "convolved_norm", "power_iterate", "unit_vector"]

_MARGIN = 5e-4
_NUMBERS_PER_PASS = 2**21
"""Entries of the matrices that are factorised together: more would fit into no cache."""


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
    al. 2019), so the largest of their norms bounds it. Where the Frobenius norm of a
    frequency's Gram matrix G is at most tau^2, tau bounds its norm; elsewhere it does if and
    only if tau^2 I - G is positive definite, which is tested by a Cholesky factorisation, with
    a margin for its rounding. Where that fails, the largest eigenvalue raises tau. Frequencies of
    larger Frobenius norms come first, so that few others remain where low frequencies
    prevail, as in trained networks. At equal size zero padding can exceed circular padding,
    so n itself would certify nothing.

    Args:
        weight: Kernel (O, I, k, k), k odd; zero padding k // 2, stride 1.
        map_size: Side n of the feature maps in pixels.

    Returns:
        The bound, shape (): exact up to rounding for 1x1 kernels; else at most one
        part in a thousand above the norm of the circular convolution.

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
    symbols = GramSymbols(weight / largest, map_size + weight.shape[-1] // 2)
    # An excess of a few units of rounding must not pass as positive.
    rounding = 8 * symbols.side * torch.finfo(weight.dtype).eps
    bound, per_pass = 0.0, max(1, _NUMBERS_PER_PASS // symbols.side**2)
    for places in torch.split(symbols.norms.argsort(descending=True), per_pass):
        open_ = places[symbols.norms[places] > bound * (1 - rounding)]
        if not len(open_):
            break
        bound = _raise_bound(symbols.matrices(open_), bound, rounding)
    return largest * math.sqrt(bound)


def _raise_bound(grams: Tensor, bound: float, rounding: float) -> float:
    """Raise a bound until it is above all eigenvalues of some Gram matrices (n, D, D)."""
    margin = _MARGIN + 2 * rounding
    identity = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    while True:
        failed = torch.linalg.cholesky_ex(bound * (1 - rounding) * identity - grams).info != 0
        grams = grams[failed]
        if not len(grams):
            return bound
        bound = max(bound, float(torch.linalg.eigvalsh(grams[0])[-1])) * (1 + margin)
