"""Sham edits: transports from a class to itself, whose effect is the noise of the method."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations.counterfactuals.endpoints import mapped_fields
from leigh_mlops.explanations.field_explanations import predict_fields
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.transport import SHAM

__all__ = ["NETWORK", "ShamEdits", "predict_by_all", "sham_edits"]

NETWORK = "network"
"""Name of the model itself beside the names of its independent classifiers."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShamEdits:
    """Effect of sham edits on N fields.

    Attributes:
        images: The fields after the sham edit, raw intensities, shape (N, C, S, S).
        flips: Whether the predicted class changes, shape (N,), by the model (``network``) and by each of its
            competent independent classifiers.
        changes: Mean absolute change of each channel, in 255ths of the full scale, shape (N, C).
    """

    images: Floats
    flips: Mapping[str, npt.NDArray[np.bool_]]
    changes: Doubles

    @property
    def rates(self) -> dict[str, float]:
        """Share of the fields whose predicted class changes, by classifier."""
        return {name: float(flips.mean()) for name, flips in self.flips.items()}


def sham_edits(package: ModelPackage, raw: Floats) -> ShamEdits:
    """Transport fields to the class that they are predicted as, by the map between random halves of its wells.

    As both halves are of one class, nothing should change; a change of the predicted class says how often a
    counterfactual can turn a field by chance.

    Args:
        package: Model with sham maps of the classes that it predicts for the fields.
        raw: Raw intensities at the level of the model's controls, shape (N, C, S, S), N at least 1.

    Raises:
        LeighError: There is no sham map of a class.
    """
    before = predict_by_all(package, raw)
    source = before[NETWORK].argmax(axis=1)
    edited = mapped_fields(package, raw, source, source, SHAM)
    after = predict_by_all(package, edited)
    flips = {name: after[name].argmax(axis=1) != each.argmax(axis=1) for name, each in before.items()}
    counts = 255 / IntensityScale.from_json(package.scale).full_scale
    return ShamEdits(edited, flips, counts * np.abs(edited - raw).mean(axis=(2, 3), dtype=np.float64))


def predict_by_all(package: ModelPackage, raw: Floats) -> dict[str, Doubles]:
    """Class probabilities (N, K) by the model (``network``) and by each of its competent independent classifiers.

    Args:
        package: The model; one without independent classifiers answers alone.
        raw: Raw intensities at the level of the model's controls, shape (N, C, S, S).

    Raises:
        LeighError: The fields do not have the size or the channels that the model takes.
    """
    found = {NETWORK: predict_fields(package, raw)}
    if package.oracles is not None:
        log_probs = package.oracles.log_probs(raw)
        found |= {name: np.exp(log_probs[name]) for name in package.oracles.competent}
    return found
