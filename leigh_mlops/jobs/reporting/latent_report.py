"""Latent map of a job: figure and sentences."""

from pathlib import Path

import numpy as np

from leigh_mlops.explanations import LatentMap
from leigh_mlops.explanations.latent_map import OUTLIER_QUANTILE
from leigh_mlops.job_columns import LATENT, JobColumn
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.job_records import NeighbourMap
from leigh_mlops.report.latent_picture import MAX_NAMED_OUTLIERS, latent_picture, outlying_rows, variance_share
from leigh_mlops.report.style import save_figure
from leigh_mlops.report.table_columns import Columns, float_values, row_count, select_rows
from leigh_mlops.scores.neighbour_map import MOST_ROWS, neighbour_map, sample_groups

__all__ = ["map_neighbours", "write_latents"]

PICTURE = "latents.png"

_GROUPS = {
    "class": Metadata.CONDITION,
    "plate": Metadata.PLATE,
    "row": Metadata.ROW,
    "column": Metadata.COLUMN,
}


def write_latents(out: Path, fields: Columns, package: ModelPackage) -> list[str]:
    """Draw ``latents.png`` from the columns ``latent_1`` to ``latent_P`` and ``latent_distance``.

    Args:
        out: The job's folder.
        fields: Columns of the job's table of fields.
        package: The model, whose latent map gives the explained variance and the limit for outliers.

    Returns:
        Sentences for the page; none, and no picture, if the model has no latent map.
    """
    latent_map = LatentMap.from_arrays(package.arrays)
    if latent_map is None or not len(latent_map.explained) or LATENT(1) not in fields or not row_count(fields):
        return []
    limit = latent_map.limit(OUTLIER_QUANTILE)
    save_figure(latent_picture(fields, list(latent_map.explained), limit), out / PICTURE)
    return [_describe_components(fields, latent_map), _describe_outliers(fields, latent_map, limit)]


def map_neighbours(fields: Columns) -> NeighbourMap | None:
    """Map the fields of a job by their latents, at most 2,000 of them, spread over all wells.

    Args:
        fields: Columns of the job's table of fields.

    Returns:
        None if there are fewer than two components, or too few fields.
    """
    components = [name for number, name in LATENT.select(fields).items() if number.isdigit()]
    if len(components) < 2 or not row_count(fields):
        return None
    latents = np.stack([float_values(fields[name]) for name in components], axis=1)
    known = np.flatnonzero(np.isfinite(latents).all(axis=1))
    wells = list(zip(fields[Metadata.PLATE], fields[Metadata.WELL], strict=True))
    chosen: list[int] = known[sample_groups([wells[row] for row in known.tolist()], MOST_ROWS)].tolist()
    found = neighbour_map(latents[chosen])
    if found is None:
        return None
    places, method = found
    kept = [name for name in (Metadata.PLATE, Metadata.WELL, Metadata.CONDITION) if name in fields]
    table = select_rows({name: fields[name] for name in kept}, chosen)
    return NeighbourMap(method, {**table, **dict(zip(NeighbourMap.COLUMNS, places.T.tolist(), strict=True))})


def _describe_components(fields: Columns, latent_map: LatentMap) -> str:
    shown = min(2, len(latent_map.explained))
    phrases = [f"component {number} holds {latent_map.explained[number - 1]:.0%}" for number in range(1, shown + 1)]
    shares = {name: variance_share(fields, LATENT(1), column) for name, column in _GROUPS.items() if column in fields}
    known = [f"{share:.0%} with the {name}" for name, share in shares.items() if np.isfinite(share)]
    along = f"; between wells, of component 1 {_join_phrases(known)} go" if known else ""
    return f"Of the variance of the training fields' latents {_join_phrases(phrases)}{along} ({PICTURE})."


def _describe_outliers(fields: Columns, latent_map: LatentMap, limit: float) -> str:
    outside, count, total = outlying_rows(fields, limit), len(latent_map.distances), row_count(fields)
    middle = f"farther from the middle of the latent map than {OUTLIER_QUANTILE:.0%} of the {count} training fields"
    if not outside:
        return f"No field lies {middle}."
    names = fields[JobColumn.FIELD]
    named = ", ".join(names[row] for row in outside[:MAX_NAMED_OUTLIERS])
    more = " and others" if len(outside) > MAX_NAMED_OUTLIERS else ""
    return (
        f"{len(outside)} of {total} fields ({len(outside) / total:.1%}) lie {middle},"
        f" where {1 - OUTLIER_QUANTILE:.0%} of unseen fields like those are expected: {named}{more}."
    )


def _join_phrases(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
