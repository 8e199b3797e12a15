"""Column names of a job's tables of fields and wells, beside those of the image table."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

__all__ = [
    "AFTER",
    "AREA",
    "CALIBRATED",
    "CHANGE",
    "COUNTERFACTUAL",
    "GAIN",
    "IMAGE",
    "INTERPOLATION",
    "LATENT",
    "OFFSET",
    "ORACLE",
    "PART",
    "PICTURE",
    "PROBABILITY",
    "QUALITY",
    "REFERENCE",
    "SHAM_EDIT",
    "SMALLEST_EDIT",
    "ColumnFamily",
    "JobColumn",
    "counterfactual_family",
    "part_family",
    "reference_family",
]


class JobColumn:
    """Columns with one name in every job."""

    FIELD: Final = "field"
    SEEN: Final = "seen"
    PREDICTED: Final = "predicted"
    SET: Final = "prediction_set"
    SET_COVERAGE: Final = "prediction_set_coverage"
    SET_OWN_PLATE: Final = "prediction_set_own_plate"
    ENERGY: Final = "energy"
    TRUST: Final = "trust"
    UNKNOWN_PLATE: Final = "unknown_plate"
    LATENT_DISTANCE: Final = "latent_distance"
    RECONSTRUCTION_ERROR: Final = "reconstruction_mse"
    TARGET: Final = "counterfactual_target"
    NOTE: Final = "counterfactual_note"
    FIELDS: Final = "fields"
    FIELDS_LEFT_OUT: Final = "fields_left_out"
    FLAGGED: Final = "flagged"
    SCORE: Final = "score"
    RESCUE: Final = "rescue"
    RESCUE_LOW: Final = "rescue_low"
    RESCUE_HIGH: Final = "rescue_high"
    RESCUE_INTERVAL: Final = "rescue_interval"
    ROBUST_Z: Final = "robust_z"
    B_SCORE: Final = "b_score"
    CELL_SHARE: Final = "cell_share"
    ALONG_AXIS: Final = "along_axis"
    OFF_AXIS: Final = "off_axis"
    POSITION_TREND: Final = "position_trend"


@dataclass(frozen=True)
class ColumnFamily:
    """Columns with one prefix, such as ``probability_<class>``.

    Example:
        >>> PROBABILITY("WT"), "probability_WT" in PROBABILITY, PROBABILITY.select(["energy", "probability_WT"])
        ('probability_WT', True, {'WT': 'probability_WT'})
    """

    prefix: str

    def __call__(self, name: object) -> str:
        """Return the column of a name."""
        return f"{self.prefix}{name}"

    def __contains__(self, column: object) -> bool:
        """Return whether a column belongs to the family."""
        return str(column).startswith(self.prefix)

    def select(self, columns: Iterable[object]) -> dict[str, str]:
        """Return those of some columns that belong to the family, by their names without the prefix."""
        return {str(each).removeprefix(self.prefix): str(each) for each in columns if each in self}


PROBABILITY = ColumnFamily("probability_")
CALIBRATED = ColumnFamily("calibrated_")
LATENT = ColumnFamily("latent_")
COUNTERFACTUAL = ColumnFamily("counterfactual_")
IMAGE = ColumnFamily("image_")
QUALITY = ColumnFamily("quality_")
OFFSET = ColumnFamily("offset_")
GAIN = ColumnFamily("gain_")
PICTURE = ColumnFamily("picture_")
INTERPOLATION = ColumnFamily("interpolation_")
AFTER = ColumnFamily("after_")
"""Measures of a counterfactual, within its family: ``counterfactual_<kind>_after_<measure>``."""
REFERENCE = ColumnFamily("reference_")
"""Images that references without a network make, ``reference_<name>_<measure>``."""
PART = ColumnFamily("part_")
"""Images to which one part alone of a counterfactual's change is applied, ``part_<part>_<measure>``."""
SHAM_EDIT = ColumnFamily("sham_")
"""Effect of the transport from a class to itself."""
SMALLEST_EDIT = ColumnFamily("smallest_edit_")
"""Smallest part of a counterfactual's pixels that turns most classifiers."""
ORACLE = ColumnFamily("oracle_")
"""Predictions of one independent classifier, within the family of a counterfactual or a reference."""
AREA = ColumnFamily("area_")
"""Share of the field that a structure takes, such as ``nuclei``, or a channel without a structure of its own."""
CHANGE = ColumnFamily("change_")
"""Change of each channel, within the same family and that of interpolations."""


@cache
def counterfactual_family(kind: str) -> ColumnFamily:
    """Return the columns of one kind of counterfactual, ``counterfactual_<kind>_<measure>``.

    Example:
        >>> counterfactual_family("confident")("status")
        'counterfactual_confident_status'
    """
    return ColumnFamily(f"{COUNTERFACTUAL(kind)}_")


def reference_family(name: str) -> ColumnFamily:
    """Return the columns of the images that one reference makes, ``reference_<name>_<measure>``.

    Example:
        >>> reference_family("histogram")("class")
        'reference_histogram_class'
    """
    return ColumnFamily(f"{REFERENCE(name)}_")


def part_family(part: str) -> ColumnFamily:
    """Return the columns of the images to which one part of a change is applied, ``part_<part>_<measure>``.

    Example:
        >>> part_family("intensity_of_TMRM")("class")
        'part_intensity_of_TMRM_class'
    """
    return ColumnFamily(f"{PART(part)}_")
