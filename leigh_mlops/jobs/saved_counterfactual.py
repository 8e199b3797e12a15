"""Counterfactual as read from its file."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations import FieldExplanation
from leigh_mlops.explanations.prepared_field import Field
from leigh_mlops.job_columns import COUNTERFACTUAL, JobColumn

__all__ = ["Numbers", "SavedCounterfactual"]

Floats = npt.NDArray[np.float32]
Numbers = dict[str, float | int | str | bool]
"""Columns of a field."""


class SavedCounterfactual(NamedTuple):
    """A counterfactual as read from its file.

    Attributes:
        field: The original field.
        kind: Kind of counterfactual.
        acquired: Raw intensities in the units of the acquisition, shape (C, S, S).
        explanation: Explanation of the field; the metrics are added to its numbers.
    """

    field: Field
    kind: str
    acquired: Floats
    explanation: FieldExplanation

    @property
    def column_prefix(self) -> str:
        """Prefix of its columns."""
        return COUNTERFACTUAL(self.kind)

    @property
    def target(self) -> str:
        """Target class."""
        return str(self.explanation.numbers[JobColumn.TARGET])
