"""Capabilities that a model needs to be explained."""

from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models import MODELS, has_capability

__all__ = ["ExplainedModel", "class_names", "require_capabilities"]


class ExplainedModel(Protocol):
    """A model by its contract; each method exists where ``can`` is true.

    Images are scaled, shape (N, C, H, W); latents have any shape (N, ...).
    """

    def __call__(self, images: Tensor, /) -> Tensor:
        """Logits of shape (N, K), or reconstructions of shape (N, C, H, W)."""

    def encode(self, images: Tensor, /) -> Tensor:
        """Latents of the images."""

    def decode(self, latents: Tensor, /) -> Tensor:
        """Images of the latents, unclipped."""

    def classify(self, latents: Tensor, /) -> Tensor:
        """Logits of shape (N, K) of the latents."""


def require_capabilities(model: nn.Module, needs: Sequence[str], what: str) -> ExplainedModel:
    """Check that a model has the capabilities that an explanation needs.

    Args:
        model: Any network.
        needs: Some of ``encode``, ``decode`` and ``classify``.
        what: Name of the explanation, for the message.

    Returns:
        The same model, typed by its contract.

    Raises:
        LeighError: The model lacks one; the message names the families that have them all.
    """
    lacking = [need for need in needs if not has_capability(model, need)]
    if lacking:
        raise LeighError(
            f"{what} needs a model that can {' and '.join(needs)}, and this one cannot"
            f" {' or '.join(lacking)}; take a model of the family {' or '.join(_families_that_can(needs))}."
        )
    return cast(ExplainedModel, model)


def class_names(model: nn.Module) -> tuple[str, ...]:
    """Names of the K classes a model was built for, in the order of its logits."""
    return tuple(model.spec.classes)  # type: ignore[union-attr,arg-type]


def _families_that_can(needs: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, family in MODELS.items() if all(hasattr(family, need) for need in needs))
