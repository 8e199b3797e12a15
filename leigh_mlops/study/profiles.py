"""Profiles: the features of fields and wells with their metadata, in the form of Cell Painting profiles."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Failure
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import leave_out_treated
from leigh_mlops.plates.columns import Metadata, add_metadata_prefix, is_metadata
from leigh_mlops.study.evaluate_version import read_matching_images
from leigh_mlops.study.field_features import feature_names, measure_features
from leigh_mlops.study.field_width import report_other_widths
from leigh_mlops.study.plate_levels import was_trained_on_compounds
from leigh_mlops.study.prepare import DataSource, find_data
from leigh_mlops.training import PreparedData

__all__ = [
    "AGGREGATES",
    "Profiles",
    "UsableFields",
    "aggregate_wells",
    "control_mask",
    "field_profiles",
    "find_usable_fields",
]

AGGREGATES = ("median", "mean")
FIELDS = add_metadata_prefix("Fields")
"""Column with the number of usable fields of a well."""

_WELL = [Metadata.PLATE, Metadata.WELL]
_OF_FIELDS = {Metadata.SITE, Metadata.Z, Metadata.TILE, Metadata.FLAGS, Metadata.EXCLUDED}

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profiles:
    """Profiles of n fields or wells.

    Attributes:
        metadata: The ``Metadata_`` columns, n rows, numbered from 0.
        features: Shape (n, P).
        names: Column names of the features, P.
    """

    metadata: pd.DataFrame
    features: Doubles
    names: tuple[str, ...]

    def to_table(self) -> pd.DataFrame:
        """Table with the metadata first, and the features as float32."""
        features = pd.DataFrame(self.features.astype(np.float32), columns=list(self.names))
        return pd.concat([self.metadata, features], axis=1)


@dataclass(frozen=True)
class UsableFields:
    """Fields of which profiles are made.

    Attributes:
        data: All fields of the plates at the model's image size, with all their labels.
        rows: Rows of those that can be read and have no flaw that excludes them, shape (n,).
        failures: Fields that can't be read.
        excluded: Number of fields that a flaw excludes.
        seen: Number of their wells by whose class the model was trained or chosen; 0 for a model without classes.
    """

    data: PreparedData
    rows: npt.NDArray[np.int64]
    failures: tuple[Failure, ...]
    excluded: int
    seen: int = 0


def find_usable_fields(package: ModelPackage, source: DataSource, console: Console) -> UsableFields:
    """Read the fields of a source at a package's image size; labels are not needed.

    Raises:
        LeighError: The images do not fit the model, or none can be used.
    """
    table, channels, _ = find_data(source, console)
    # As in an evaluation, a treated well is not compared with the class of its cells to find flaws.
    compared = table if was_trained_on_compounds(package) else leave_out_treated(table)
    data = read_matching_images(package, compared, channels, source.path, console)
    report_other_widths(package, table, console)
    excluded = data.table[Metadata.EXCLUDED].to_numpy(bool, copy=True)
    usable = ~excluded
    unreadable = [failure.row for failure in data.failures]
    usable[unreadable] = excluded[unreadable] = False
    if not usable.any():
        raise LeighError(
            f"None of the {len(table)} fields of {source.path} can be used ({len(unreadable)} can't be read, "
            f"{int(excluded.sum())} are excluded for a flaw); check the images."
        )
    if Metadata.CONDITION in table:
        data = replace(data, table=data.table.assign(**{Metadata.CONDITION: table[Metadata.CONDITION]}))
    known = np.isin(data.cache.digests, package.seen_digests) & (package.model.task == "classify")
    seen = len(set(data.wells[usable & known]))
    return UsableFields(data, np.flatnonzero(usable), data.failures, int(excluded.sum()), seen)


def field_profiles(
    kind: str, package: ModelPackage, fields: UsableFields, console: Console, partial: Path | None = None
) -> Profiles:
    """Profiles of the usable fields.

    Args:
        kind: Kind of the features, as of :func:`~leigh_mlops.study.field_features.measure_features`.
        package: The model.
        fields: The fields.
        console: Where progress is shown.
        partial: Folder in which embeddings are kept while they are made; None keeps none.
    """
    features = measure_features(kind, package, fields.data, fields.rows, console, partial)
    table = fields.data.table.iloc[fields.rows]
    metadata = table[[name for name in table if is_metadata(name)]].reset_index(drop=True)
    return Profiles(metadata, features, feature_names(kind, features.shape[1], package.channels))


def aggregate_wells(fields: Profiles, aggregate: str = "median") -> Profiles:
    """Profiles of wells: median or mean of their fields, with the metadata that are the same for all of them.

    Raises:
        LeighError: The aggregate is unknown.
    """
    if aggregate not in AGGREGATES:
        raise LeighError(f"--aggregate {aggregate!r} is unknown; choose {' or '.join(AGGREGATES)}.")
    keys = [fields.metadata[name] for name in _WELL]
    features = pd.DataFrame(fields.features).groupby(keys).agg(aggregate)
    grouped = fields.metadata.groupby(_WELL)
    kept = _well_columns(fields.metadata)
    metadata = grouped[kept].first().reset_index()
    metadata[FIELDS] = grouped.size().to_numpy()
    return Profiles(metadata, features.to_numpy(np.float64), fields.names)


def control_mask(metadata: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Mask of the rows that are negative controls, shape (n,)."""
    controls = metadata.get(Metadata.CONTROL, pd.Series("", metadata.index, dtype=object))
    return controls.eq("negcon").to_numpy(bool, na_value=False)


def _well_columns(metadata: pd.DataFrame) -> list[str]:
    """Metadata columns beside plate and well that are the same for all fields of each well."""
    wells = len(metadata[_WELL].drop_duplicates())
    others = [str(name) for name in metadata if name not in {*_WELL, *_OF_FIELDS}]
    return [name for name in others if len(metadata[[*_WELL, name]].drop_duplicates()) == wells]
