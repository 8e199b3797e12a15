"""The latent map of a job: its picture and what it says."""

from pathlib import Path

import numpy as np
import pandas as pd

from leigh_mlops.explanations import LatentMap
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.latents import MOST_NAMED, far_out, latent_picture, share_by_group
from leigh_mlops.report.style import save_figure

__all__ = ["write_latents"]

PICTURE = "latents.png"
QUANTILE = 0.99
"""A field is far out where it lies farther than this share of the training fields."""

_GROUPS = {
    "class": "Metadata_Condition",
    "plate": "Metadata_Plate",
    "row": "Metadata_Row",
    "column": "Metadata_Col",
}


def write_latents(out: Path, fields: pd.DataFrame, package: ModelPackage) -> list[str]:
    """Draw ``latents.png`` from the columns ``latent_1`` to ``latent_P`` and ``latent_distance``.

    Args:
        out: The job's folder.
        fields: The job's table of fields.
        package: The model's; its map says how much each component explains and what is far out.

    Returns:
        Sentences for the page; none, and no picture, where the model has no map.
    """
    latent_map = LatentMap.from_arrays(package.arrays)
    if latent_map is None or not len(latent_map.explained) or "latent_1" not in fields or fields.empty:
        return []
    limit = latent_map.limit(QUANTILE)
    save_figure(latent_picture(fields, list(latent_map.explained), limit), out / PICTURE)
    return [_on_components(fields, latent_map), _on_outliers(fields, latent_map, limit)]


def _on_components(fields: pd.DataFrame, latent_map: LatentMap) -> str:
    shown = min(2, len(latent_map.explained))
    said = [f"component {number} holds {latent_map.explained[number - 1]:.0%}" for number in range(1, shown + 1)]
    shares = {name: share_by_group(fields, "latent_1", column) for name, column in _GROUPS.items() if column in fields}
    known = [f"{share:.0%} with the {name}" for name, share in shares.items() if np.isfinite(share)]
    along = f"; between wells, of component 1 {_listed(known)} go" if known else ""
    return f"Of the variance of the training fields' latents {_listed(said)}{along} ({PICTURE})."


def _on_outliers(fields: pd.DataFrame, latent_map: LatentMap, limit: float) -> str:
    outside = far_out(fields, limit)
    count = len(latent_map.distances)
    middle = f"farther from the middle of the latent map than {QUANTILE:.0%} of the {count} training fields"
    if outside.empty:
        return f"No field lies {middle}."
    named = ", ".join(outside["field"][:MOST_NAMED])
    more = " and others" if len(outside) > MOST_NAMED else ""
    return (
        f"{len(outside)} of {len(fields)} fields ({len(outside) / len(fields):.1%}) lie {middle},"
        f" where {1 - QUANTILE:.0%} of unseen fields like those are expected: {named}{more}."
    )


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
