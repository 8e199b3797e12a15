"""Precision of float32 on GPUs, whose matrix units round it to TF32 unless they are told not to."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["float32_precision", "full_float32", "has_bf16_units", "resolve_precision"]


@contextmanager
def float32_precision(kind: str) -> Iterator[None]:
    """Set how GPUs multiply float32 in convolutions and matrix products; both settings are restored.

    Args:
        kind: ``ieee`` for all 24 bits of a product's factors, ``tf32`` for 11 of them.
    """
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = matmul.fp32_precision, conv.fp32_precision
    matmul.fp32_precision = conv.fp32_precision = kind
    try:
        yield
    finally:
        matmul.fp32_precision, conv.fp32_precision = before


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch autocast and TF32 off: an inverse iterates a residual to far below what these can hold."""
    no_autocast = torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False)
    with no_autocast[0], no_autocast[1], float32_precision("ieee"):
        yield


def has_bf16_units(device_type: str) -> bool:
    """Return whether this machine has matrix units for bf16: AMX of the CPU, or those of GPUs since Ampere."""
    if device_type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def resolve_precision(precision: str, device_type: str, trains_in_bf16: bool = False) -> str:
    """Precision of training on a device: ``bf16-on-gpu`` is ``bf16`` there, and ``fp32`` on a CPU, as is ``tf32``.

    Args:
        precision: As in the settings; ``auto`` is ``bf16`` where family and device are made for it, else ``fp32``.
        device_type: ``cpu`` or ``cuda``.
        trains_in_bf16: Whether the family learns as well in bf16.

    Example:
        >>> [resolve_precision("bf16-on-gpu", device) for device in ("cuda", "cpu")]
        ['bf16', 'fp32']
    """
    if precision == "auto":
        return "bf16" if trains_in_bf16 and has_bf16_units(device_type) else "fp32"
    if precision == "bf16-on-gpu":
        return "bf16" if device_type == "cuda" else "fp32"
    return "fp32" if precision == "tf32" and device_type == "cpu" else precision
