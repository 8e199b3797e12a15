"""Scores of clusters of fields: without labels, and with all that is known of the wells."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import parse_well
from leigh_mlops.scores.cluster_agreement import adjusted_rand, normalised_information
from leigh_mlops.scores.replicate_retrieval import replicate_retrieval

__all__ = ["agreement_scores", "retrieval_scores"]

Labels = npt.NDArray[np.int64]


def retrieval_scores(features: npt.NDArray[np.float64], wells: Sequence[str]) -> dict[str, float]:
    """Scores without labels: how well fields of one well find each other, over shuffled wells and the position alone.

    Args:
        features: Features of fields, shape (n, F).
        wells: ``plate/B03`` of each.

    Raises:
        LeighError: No well has two fields.
    """
    plates, positions = _locate_wells(wells)
    found = replicate_retrieval(features, wells, plates, positions)
    scores = {"score": found.score, "map": found.precision, "shuffled": found.shuffled, "position": found.position}
    return {f"replicates/{name}": value for name, value in scores.items() if np.isfinite(value)}


def agreement_scores(clusters: Labels, labels: Labels, wells: Sequence[str]) -> dict[str, float]:
    """NMI and ARI of clusters with class, plate, row, column and well, where there are two of them.

    Args:
        clusters: Cluster of each field, shape (n,).
        labels: Class of each field, shape (n,); -1 where it has none.
        wells: ``plate/B03`` of each.
    """
    plates, positions = _locate_wells(wells)
    known = {"class": np.where(labels >= 0, labels, -1), "plate": plates, "well": np.asarray(wells)}
    if positions is not None:
        known |= {"row": positions[:, 0], "column": positions[:, 1]}
    scores = {}
    for name, groups in known.items():
        chosen = labels >= 0 if name == "class" else np.ones(len(groups), bool)
        if len(np.unique(groups[chosen])) > 1:
            scores[f"nmi/{name}"] = normalised_information(clusters[chosen], groups[chosen])
            scores[f"ari/{name}"] = adjusted_rand(clusters[chosen], groups[chosen])
    return scores


def _locate_wells(wells: Sequence[str]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64] | None]:
    """Plate of each field (n,), and row and column of its well (n, 2), where wells have names such as B03."""
    parted = [name.rpartition("/") for name in wells]
    plates = np.array([plate for plate, _, _ in parted])
    try:
        return plates, np.array([parse_well(well) for _, _, well in parted], np.int64)
    except (LeighError, ValueError):
        return plates, None
