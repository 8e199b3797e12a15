"""Texts of a job's report: summary sentences and captions of the pictures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS, map_unit
from leigh_mlops.explanations.maps import ERROR_MAP
from leigh_mlops.job_columns import (
    COUNTERFACTUAL,
    INTERPOLATION,
    PICTURE,
    PROBABILITY,
    REFERENCE,
    JobColumn,
)
from leigh_mlops.jobs.reporting.counterfactual_sentences import IMAGE_NAMES, describe_counterfactuals, describe_missing
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.table_columns import Columns, is_missing, row_count

__all__ = ["JobSummary", "captions", "field_title", "map_title", "describe_map", "summarise_job"]

Row = Mapping[str, Any]

_IMAGE_SUFFIXES = (".png", ".gif", ".webp")

_METHODS = {
    "occlusion": (
        "Occlusion",
        "how much covering a part of the image lowers (red) or raises (blue) the score of {target}",
    ),
    "grad_cam": (
        "Grad-CAM",
        "regions whose deep features support (red) or oppose (blue) {target}; coarse by design",
    ),
    "guided_grad_cam": ("Guided Grad-CAM", "fine structures within the Grad-CAM regions that support {target}"),
    "integrated_gradients": (
        "Integrated gradients",
        "how much each pixel raises (red) or lowers (blue) the score of {target} on the path from black to the image",
    ),
    "smooth_grad": (
        "SmoothGrad",
        "pixels that raise (red) or lower (blue) the score of {target} if brighter, averaged over noisy copies",
    ),
    "deep_lift": (
        "DeepLIFT",
        "how much each pixel raises (red) or lowers (blue) the score of {target}, relative to a reference image",
    ),
    "lrp": (
        "Layer-wise relevance",
        "how the score of {target} is distributed over the pixels that support (red) or oppose (blue) it",
    ),
    "prediction_difference": (
        "Prediction difference",
        "how much the score of {target} falls (red) or rises (blue) when a patch is replaced by that of other fields",
    ),
    ERROR_MAP: (
        "Error of the reconstruction",
        "where the reconstruction differs from the image (red), more than in 99 % of the training fields",
    ),
}
"""Title of each method and the meaning of its map."""


class JobSummary(NamedTuple):
    """Summary of a job, in sentences.

    Attributes:
        counterfactuals: Number of valid counterfactuals, and their agreement with the oracle and the twins.
        job: Sentences on the job as a whole.
        details: Numbers for maintainers of the model.
    """

    counterfactuals: list[str]
    job: list[str]
    details: list[str]


def summarise_job(
    fields: Columns, wells: Columns, failed: int, classes: Sequence[str], verdicts: Columns | None = None
) -> JobSummary:
    """Summarise the results of a job.

    The number of valid counterfactuals comes first, since an invalid one explains nothing.

    Args:
        fields: Columns of the table of fields.
        wells: Columns of the table of wells, with their ``compound``.
        failed: Number of fields that could not be explained.
        classes: The model's classes.
        verdicts: Columns of the table of counterfactuals, see `counterfactual_table`.
    """
    count, were = row_count(fields), "was" if row_count(fields) == 1 else "were"
    sentences = [
        f"{format_count(count, 'field')} of {format_count(row_count(wells), 'well')} {were} explained; "
        f"{failed} could not be explained."
    ]
    found, details = describe_counterfactuals(fields, verdicts or {})
    return JobSummary([*found, *describe_missing(fields)], [*sentences, *_describe_labelled(wells, classes)], details)


def _describe_labelled(wells: Columns, classes: Sequence[str]) -> Iterator[str]:
    """Describe how many of the labelled wells without a compound are classified as labelled."""
    if JobColumn.PREDICTED not in wells or Metadata.CONDITION not in wells:
        return
    treated = [not is_missing(compound) for compound in wells["compound"]]
    rows = zip(wells[Metadata.CONDITION], wells[JobColumn.PREDICTED], wells[JobColumn.SEEN], treated, strict=True)
    labelled = [
        (label == predicted, bool(seen))
        for label, predicted, seen, has_compound in rows
        if label in classes and not is_missing(predicted) and not has_compound
    ]
    unseen = [is_right for is_right, seen in labelled if not seen]
    if labelled:
        without, is_ = " without a compound" if any(treated) else "", "is" if sum(unseen) == 1 else "are"
        yield (
            f"{sum(unseen)} of the {len(unseen)} labelled wells{without} that the model had not seen {is_} classified "
            f"as labelled; the {len(labelled) - len(unseen)} that it was trained or chosen on are no evidence of its "
            "accuracy."
        )


def captions(row: Row) -> list[tuple[str, str]]:
    """Return path and caption of every picture of a field that a sheet can show."""
    paths = {name: row[column] for name, column in PICTURE.select(row).items()}
    return [
        (path, _caption(name, row))
        for name, path in paths.items()
        if isinstance(path, str) and path.endswith(_IMAGE_SUFFIXES)
    ]


def field_title(row: "Row | pd.Series[Any]") -> str:
    """Title of a field: plate, well, site and class."""
    label = row.get(Metadata.CONDITION)
    labelled = f", class {label}" if isinstance(label, str) else ""
    return f"{row[Metadata.PLATE]}, well {row[Metadata.WELL]}, field {row[Metadata.SITE]}{labelled}"


def map_title(name: str) -> str | None:
    """Title of a heatmap; None for any other picture.

    Example:
        >>> map_title("occlusion_TMRM"), map_title("image")
        ('Occlusion of TMRM alone', None)
    """
    if name in COUNTERFACTUAL and name.endswith("_map"):
        kind = name.removeprefix(COUNTERFACTUAL.prefix).removesuffix("_map")
        return f"Where the change matters ({kind})" if kind in COUNTERFACTUAL_KINDS else None
    method = _map_method(name)
    if method not in _METHODS:
        return None
    channel = name.removeprefix(method).removeprefix("_")
    return f"{_METHODS[method][0]} of {channel} alone" if channel else _METHODS[method][0]


def describe_map(name: str, row: Row) -> tuple[str, str] | None:
    """Title of a heatmap and the meaning of its colours; None for any other picture.

    Args:
        name: Name of the picture, such as ``occlusion``, ``occlusion_TMRM`` or ``counterfactual_confident_map``.
        row: The field's columns.
    """
    title, method = map_title(name), _map_method(name)
    if title is None:
        return None
    if method not in _METHODS:
        return title, _change_caption(name, row)
    target = row.get(f"{name}_target", row.get(f"{method}_target"))
    text = _METHODS[method][1].format(target=target if isinstance(target, str) else "the predicted class")
    full = row.get(f"{name}_full_colour")
    scale = f"; full colour is {full:.2g} {map_unit(name)}" if isinstance(full, float) else ""
    return title, f"{text}{scale}."


def _map_method(name: str) -> str:
    return "occlusion" if name.startswith("occlusion_") else name


def _caption(name: str, row: Row) -> str:
    kind = name.removeprefix(COUNTERFACTUAL.prefix)
    if kind in COUNTERFACTUAL_KINDS:
        return _counterfactual_caption(name, kind, row)
    if name in COUNTERFACTUAL or name.startswith("sweep"):
        return _change_caption(name, row)
    if name.startswith("interpolation"):
        towards = row.get(INTERPOLATION("towards"))
        end = towards if isinstance(towards, str) else f"the mean of {row[INTERPOLATION('target')]}"
        return f"from the image to {end}"
    if name == "image" and isinstance(row.get(JobColumn.PREDICTED), str):
        return f"image: {row[JobColumn.PREDICTED]}, {row[PROBABILITY(row[JobColumn.PREDICTED])]:.3f}"
    if name in REFERENCE:
        return f"reference: {IMAGE_NAMES.get(name.removeprefix(REFERENCE.prefix), name)}"
    return map_title(name) or name.replace("_", " ")


def _change_caption(name: str, row: Row) -> str:
    target, kind = row[JobColumn.TARGET], name.removeprefix(COUNTERFACTUAL.prefix).removesuffix("_map")
    if name.startswith("sweep"):
        return f"from the image through the counterfactual towards {target} and past it"
    return (
        f"where the change towards {target} ({kind}) raises (red) or lowers (blue) its log-odds; "
        f"full colour is {row[f'{name}_full_colour']:.2g} nats"
    )


def _counterfactual_caption(name: str, kind: str, row: Row) -> str:
    target = row[JobColumn.TARGET]
    text = f"towards {target} ({kind}); saved file: {row[f'{name}_class']}"
    status = row.get(f"{name}_status")
    colour = f"; {status}" if isinstance(status, str) else ""
    return f"{text} ({target} {row[f'{name}_probability']:.3f}){colour}"
