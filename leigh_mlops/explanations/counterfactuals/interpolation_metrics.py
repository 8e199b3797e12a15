"""Measures of the frames of an interpolation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.counterfactuals.interpolation import Interpolation
from leigh_mlops.explanations.counterfactuals.latent_steps import latent_norms
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.job_columns import INTERPOLATION
from leigh_mlops.models import has_capability

__all__ = ["FrameMeasures", "measure_frames", "summarise_frames"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FrameMeasures:
    """Measures of the S frames of N interpolations.

    Attributes:
        reencoding_error: Distance of a frame's re-encoded latent from the one that was decoded, over the
            length of the whole path, shape (S, N); NaN where a path has no length.
        change: Mean change per channel since the first frame, raw intensity, shape (S, N, C). The
            first frame is the model's reconstruction of the image, so that the reconstruction
            error is not counted.
        probabilities: The model's own, shape (S, N, K); None for one that does not classify.
    """

    reencoding_error: Doubles
    change: Doubles
    probabilities: Doubles | None

    def rows(self, way: int, channels: Sequence[str], classes: Sequence[str]) -> list[dict[str, float]]:
        """One row per frame of one interpolation.

        Args:
            way: Index of the interpolation, 0 to N - 1.
            channels: Names, length C.
            classes: The model's, length K.

        Returns:
            S times ``share`` (0 to 1), ``reencoding_error``, ``change_<channel>``, and for a model
            that classifies ``probability_<class>``.
        """
        steps = len(self.change) - 1
        found: list[dict[str, float]] = []
        for step in range(steps + 1):
            row = {"share": step / steps, "reencoding_error": float(self.reencoding_error[step, way])}
            row |= _prefix_names("change", channels, self.change[step, way])
            if self.probabilities is not None:
                row |= _prefix_names("probability", classes, self.probabilities[step, way])
            found.append(row)
        return found


def summarise_frames(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Columns of one interpolation in a table of fields: the largest re-encoding error, else the last frame's values.

    Args:
        rows: From :meth:`FrameMeasures.rows`.

    Returns:
        The numbers by name, under ``interpolation_``.
    """
    worst = max(row["reencoding_error"] for row in rows)
    last = {name: value for name, value in rows[-1].items() if name != "share"}
    return {INTERPOLATION(name): value for name, value in (last | {"reencoding_error": worst}).items()}


def measure_frames(model: nn.Module, way: Interpolation, raw: npt.NDArray[np.float32]) -> FrameMeasures:
    """Encode every frame again and measure it.

    Args:
        model: The model that made the frames.
        way: The interpolations, with the latents at both ends.
        raw: The frames in raw intensity, shape (S, N, C, H, W).
    """
    network = require_capabilities(model, ("encode",), "measured frames")
    errors, probabilities = [], []
    length = latent_norms(way.end - way.start)
    length[length == 0] = torch.nan
    with evaluating(model):
        for step, images in enumerate(way.frames):
            latent = network.encode(images)
            errors.append(latent_norms(latent - way.latent(step)) / length)
            if has_capability(model, "classify"):
                probabilities.append(network.classify(latent).double().softmax(dim=1))
    means = raw.mean(axis=(3, 4), dtype=np.float64)
    known = torch.stack(probabilities).cpu().numpy() if probabilities else None
    return FrameMeasures(torch.stack(errors).cpu().numpy(), means - means[0], known)


def _prefix_names(prefix: str, names: Sequence[str], values: Doubles) -> dict[str, float]:
    return {f"{prefix}_{name}": float(value) for name, value in zip(names, values, strict=True)}
