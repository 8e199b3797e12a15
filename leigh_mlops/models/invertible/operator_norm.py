"""The norm of a convolution as an operator on its feature map."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["convolved_norm", "converged_vector", "krylov_step", "matrix_norm", "power_iterate", "unit"]


def unit(x: Tensor, otherwise: Tensor) -> Tensor:
    """A tensor divided by its Euclidean norm; another one where it is zero."""
    norm = torch.linalg.vector_norm(x)
    return torch.where(norm > 0, x / norm.clamp(min=torch.finfo(x.dtype).tiny), otherwise)


def convolve(weight: Tensor, v: Tensor) -> Tensor:
    """Zero-padded convolution of stride 1, (N, I, H, W) to (N, O, H, W)."""
    return F.conv2d(v, weight, padding=weight.shape[-1] // 2)


def adjoint(weight: Tensor, u: Tensor) -> Tensor:
    """The transposed convolution, (N, O, H, W) to (N, I, H, W)."""
    return F.conv_transpose2d(u, weight, padding=weight.shape[-1] // 2)


def power_iterate(weight: Tensor, v: Tensor, iterations: int) -> Tensor:
    """Turn v towards the convolution's first right singular vector.

    The method is that of Gouk et al. 2021 (section 3.2): a step is the
    convolution and its adjoint, the transposed convolution, on the very feature
    map. The spectral norm of the kernel reshaped to a matrix is another number.

    Args:
        weight: Kernel (O, I, k, k), k odd; zero padding k // 2, stride 1.
        v: Unit vector (1, I, H, W).
        iterations: Number of steps.
    """
    for _ in range(iterations):
        u = convolve(weight, v)
        v = unit(adjoint(weight, unit(u, u)), otherwise=v)
    return v


def krylov_step(weight: Tensor, v: Tensor, directions: int) -> Tensor:
    """The best unit vector among all combinations of v and its next power iterates.

    Singular values of a convolution lie close together, and power iteration
    crawls between them; the combination (Rayleigh-Ritz on a Krylov space, Golub
    and Van Loan 2013, section 10.1) needs far fewer convolutions.

    Args:
        weight: Kernel (O, I, k, k).
        v: Unit vector (1, I, H, W).
        directions: Dimension of the space.
    """
    basis = v.flatten(1)
    for _ in range(directions - 1):
        further = adjoint(weight, convolve(weight, basis[-1:].view_as(v)))
        direction = unit(further, further).flatten(1)
        for _ in range(2):  # once leaves rounding errors that grow
            direction = direction - direction @ basis.T @ basis
        basis = torch.cat([basis, unit(direction, direction)])
    images = convolve(weight, basis.view(-1, *v.shape[1:])).flatten(1)
    weights = torch.linalg.eigh(images @ images.T).eigenvectors[:, -1:]
    return unit((weights.T @ basis).view_as(v), otherwise=v)


def converged_vector(
    weight: Tensor, v: Tensor, *, tolerance: float = 1e-5, directions: int = 10, most: int = 50
) -> Tensor:
    """Repeat Krylov steps until one changes the norm by less than ``tolerance`` of itself.

    The norm of such a vector approaches that of the operator from below; the
    difference is far smaller than the slack c - c^3 of a branch of three.

    Args:
        weight: Kernel (O, I, k, k).
        v: Unit vector (1, I, H, W) to begin with.
        tolerance: Relative change of the norm in a step, which is worth
            ``directions`` power iterations and more.
        directions: Dimension of each step's space.
        most: Steps at most.
    """
    norm = convolved_norm(weight, v)
    for _ in range(most):
        v, before = krylov_step(weight, v, directions), norm
        norm = convolved_norm(weight, v)
        if abs(norm - before) <= tolerance * norm:
            break
    return v


def convolved_norm(weight: Tensor, v: Tensor) -> Tensor:
    """<u, conv(v)> with u the unit vector along conv(v); gradients flow to the kernel alone."""
    v = v.detach()
    convolved = convolve(weight, v)
    u = unit(convolved.detach(), convolved.detach())
    return (u * convolved).sum()


def matrix_norm(weight: Tensor) -> Tensor:
    """Exact norm of a 1x1 convolution (O, I, 1, 1), whatever the feature map."""
    norm: Tensor = torch.linalg.matrix_norm(weight[:, :, 0, 0].double(), ord=2)
    return norm.to(weight.dtype)
