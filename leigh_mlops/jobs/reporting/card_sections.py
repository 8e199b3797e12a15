"""Cards of clusters for the page of a job: sentences and pictures, and the files of each cluster."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import map_unit
from leigh_mlops.job_columns import PICTURE, JobColumn
from leigh_mlops.jobs.reporting.captions import captions, field_title, map_title
from leigh_mlops.models.deep_cluster import find_cluster
from leigh_mlops.report.job.job_records import CardExample, CardSection, ReportPicture
from leigh_mlops.report.rendering import heatmap_overlay, write_png
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.table_columns import Columns, select_rows, table_rows
from leigh_mlops.scores.heatmap_clusters import Enrichment
from leigh_mlops.screening.cluster_cards import ClusterCard, ClusterCards
from leigh_mlops.screening.map_clusters import MeanMap

__all__ = [
    "card_sections",
    "card_table",
    "describe_cards",
    "draw_mean_maps",
    "read_cluster_names",
    "sort_cluster_pictures",
]

_MAPS = ("grad_cam", "guided_grad_cam")
_NAMED = 4

Row = Mapping[str, Any]

Names = Mapping[str, str]
"""Names that the user gave to clusters, by their names in the model."""


def read_cluster_names(path: Path, clusters: Sequence[str]) -> dict[str, str]:
    """Read the names that a user gave to clusters: a CSV file with the columns ``cluster`` and ``name``.

    Args:
        path: The file; clusters as ``cluster 07``, or as numbers.
        clusters: Clusters of the model.

    Raises:
        LeighError: The file can't be read, lacks a column, or names a cluster that the model does not have.
    """
    try:
        table = pd.read_csv(path, dtype=str).dropna(how="all")
    except (OSError, ValueError) as error:
        raise LeighError(
            f"{path} can't be read ({error}); give a CSV file with the columns cluster and name."
        ) from None
    if lacking := [column for column in ("cluster", "name") if column not in table]:
        raise LeighError(f"{path} has no column {lacking[0]}; give a CSV file with the columns cluster and name.")
    found = {}
    for given, name in zip(table["cluster"].fillna(""), table["name"], strict=True):
        cluster = find_cluster(given, clusters)
        if cluster is None:
            raise LeighError(f"{path} names {given!r}, which is no cluster of the model; it has {len(clusters)}.")
        if isinstance(name, str) and name.strip():
            found[cluster] = name.strip()
    return found


def describe_cards(found: ClusterCards) -> list[str]:
    """Sentences on all clusters, the most important first: whether they follow the position, or the focus."""
    sentences = _describe_empty(found)
    followed = {name: each for name, each in found.agreements.items() if not each.is_by_chance}
    for name, each in followed.items():
        sentences.append(
            f"Clusters follow the {name} of the plate rather than cells alone: their normalised mutual "
            f"information with it is {each.information:.3f} within classes; for shuffled wells it is at "
            f"most {each.high:.3f} (97.5 %)."
        )
    if found.quarters is not None and found.follows_quarters and not followed:
        sentences.append(
            f"Clusters follow the position on the plate: their normalised mutual information with its quarters is "
            f"{found.quarters.information:.3f}; for shuffled wells it is at most {found.quarters.high:.3f} (97.5 %). "
            "What sets them apart, a class that stands apart on the plate included, can't be told from the position."
        )
    sharp = [card.name for card in found.cards if card.follows_focus]
    if sharp:
        sentences.append(
            f"{', '.join(sharp[:_NAMED])}{' and others' if len(sharp) > _NAMED else ''} "
            f"{'differs' if len(sharp) == 1 else 'differ'} from the rest by the sharpness of the images most of all."
        )
    if found.agreements and not found.follows_position:
        listed = ", ".join(f"{name} {each.information:.3f}" for name, each in found.agreements.items())
        sentences.append(
            f"Clusters follow no position more than shuffled wells do (normalised mutual information within classes: "
            f"{listed})."
        )
    if found.rand == found.rand:
        sentences.append(
            f"Fields of bootstrapped wells, clustered anew, give the same clusters with an adjusted Rand index of "
            f"{found.rand:.2f} (1: the same, 0: chance)."
        )
    return sentences


def _describe_empty(found: ClusterCards) -> list[str]:
    """Describe how many clusters have no field."""
    empty = found.clusters - len(found.cards)
    if not empty or not found.cards:
        return []
    if len(found.cards) == 1:
        return [
            f"All fields are in one of the {found.clusters} clusters, so that the model tells none of them apart; "
            "train it for more epochs, or on more images like these."
        ]
    return [f"{empty} of the {found.clusters} clusters {'has' if empty == 1 else 'have'} no field of these images."]


def card_sections(
    found: ClusterCards, fields: Columns, names: Names, means: Mapping[str, ReportPicture] | None = None
) -> list[CardSection]:
    """Build the cards of a page, those of clusters without a well of their own last.

    Args:
        found: Clusters of the fields.
        fields: Columns of the table of fields.
        names: Names that the user gave to clusters.
        means: Mean map of each cluster, which stands first on its card.
    """
    shown = {field for card in found.cards for field in (*card.typical, *card.uncertain)}
    places = [place for place, field in enumerate(fields[JobColumn.FIELD]) if field in shown]
    rows = {str(row[JobColumn.FIELD]): row for row in table_rows(select_rows(fields, places))}
    sections = []
    for card in found.cards:
        examples = [CardExample("mean map", [means[card.name]])] if means and card.name in means else []
        examples += [_example("typical", rows[each]) for each in card.typical]
        examples += [_example("least certain", rows[each]) for each in card.uncertain if each not in card.typical]
        title = f"{names[card.name]} ({card.name})" if card.name in names else card.name
        sections.append(CardSection(title, _card_sentences(card, found), examples))
    return sections


def _example(kind: str, row: Row) -> CardExample:
    """A field with its maps."""
    pictures = [
        ReportPicture(path, "image" if path.endswith("/image.png") else caption, caption)
        for path, caption in captions(row)
        if path.endswith(("/image.png", *(f"/{name}.png" for name in _MAPS)))
    ]
    return CardExample(f"{kind}: {field_title(row)}", pictures)


def card_table(found: ClusterCards, names: Names) -> pd.DataFrame:
    """Table of one row per cluster, with lists joined by semicolons."""
    rows = [
        {
            "cluster": card.name,
            "name": names.get(card.name, ""),
            "fields": card.fields,
            "wells": card.wells,
            "follows_position": bool(found.follows_position and card.places),
            "follows_focus": card.follows_focus,
            "positions": "; ".join(_place_phrase(each) for each in card.places),
            "groups": "; ".join(_place_phrase(each) for each in card.groups),
            "differences": "; ".join(f"{each.feature} {each.effect:+.2f}" for each in card.differences),
            "stability": card.stability,
            "typical": "; ".join(card.typical),
            "least_certain": "; ".join(card.uncertain),
        }
        for card in found.cards
    ]
    return pd.DataFrame(rows)


def draw_mean_maps(
    out: Path, means: Mapping[str, MeanMap], *, method: str, epoch: int, size: int, limit: float
) -> dict[str, ReportPicture]:
    """Draw the mean map of each cluster as ``images/<epoch>/<cluster>/mean-<method>.png``; return the pictures.

    Args:
        out: The job's folder.
        means: Mean maps by cluster.
        method: Method that made the maps.
        epoch: Epoch of the network.
        size: Side of the pictures in pixels.
        limit: Value at full colour, that of the maps of single fields.
    """
    drawn = {}
    for cluster, mean in means.items():
        heat = cv2.resize(mean.heat.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        path = _cluster_folder(epoch, cluster) / f"mean-{method}.png"
        write_png(out / path, heatmap_overlay(np.zeros((size, size, 3), np.uint8), heat, limit))
        drawn[cluster] = ReportPicture(
            path.as_posix(),
            f"mean of {format_count(mean.fields, 'map')}",
            f"Mean of {format_count(mean.fields, 'map')} ({map_title(method) or method}): places that support (red) or "
            f"oppose (blue) {cluster} wherever they are in its fields; full colour is {limit:.2g} {map_unit(method)}.",
        )
    return drawn


def _cluster_folder(epoch: int, cluster: str) -> Path:
    return Path("images") / str(epoch) / cluster.replace(" ", "_")


def sort_cluster_pictures(out: Path, fields: Columns, epoch: int) -> int:
    """Lay the maps of each field into ``images/<epoch>/<cluster>/<image>-<method>.png``; return their number.

    The cluster is the one that a map explains. The files are links to those of the fields where the file system has
    links, and else copies.

    Args:
        out: The job's folder.
        fields: Columns of the table of fields.
        epoch: Epoch of the network.
    """
    count = 0
    targets = [f"{method}_target" for method in _MAPS]
    used = [JobColumn.FIELD, JobColumn.PREDICTED, *map(PICTURE, _MAPS), *targets]
    for row in table_rows({name: fields[name] for name in used if name in fields}):
        for method in _MAPS:
            path, cluster = row.get(PICTURE(method)), row.get(f"{method}_target", row.get(JobColumn.PREDICTED))
            if not isinstance(path, str) or not isinstance(cluster, str):
                continue
            target = out / _cluster_folder(epoch, cluster) / f"{row[JobColumn.FIELD]}-{method}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(out / path, target)
            except OSError:
                shutil.copyfile(out / path, target)
            count += 1
    return count


def _card_sentences(card: ClusterCard, found: ClusterCards) -> list[str]:
    sentences = []
    if found.follows_position and card.places:
        sentences.append(f"It follows the position: {', '.join(map(_place_phrase, card.places[:_NAMED]))}.")
    if card.follows_focus:
        first = card.differences[0]
        sentences.append(f"It follows the focus: {first.feature} differs by {first.effect:+.1f} standard deviations.")
    sentences.append(
        f"{format_count(card.fields, 'field')}; {format_count(card.wells, 'well')} most of whose fields are in it."
    )
    if card.groups:
        sentences.append(f"Enriched in {', '.join(map(_place_phrase, card.groups[:_NAMED]))}.")
    if card.differences:
        listed = ", ".join(f"{each.feature} {each.effect:+.1f}" for each in card.differences)
        sentences.append(f"Wells differ from the others, in standard deviations (FDR 5 %): {listed}.")
    if card.stability == card.stability:
        sentences.append(f"Overlap with the closest cluster of bootstrapped wells: {card.stability:.0%}.")
    return sentences


def _place_phrase(each: Enrichment) -> str:
    return f"{each.group} ({each.inside} of {format_count(each.wells, 'well')} there, q {each.q:.2g})"
