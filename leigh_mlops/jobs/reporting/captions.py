"""Texts of a job's report: summary sentences and captions of the pictures."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS, map_unit
from leigh_mlops.job_columns import (
    COUNTERFACTUAL,
    INTERPOLATION,
    PICTURE,
    PROBABILITY,
    JobColumn,
    counterfactual_family,
)
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import format_count
from leigh_mlops.screening.reference_classes import well_compounds
from leigh_mlops.screening.well_table import counterfactual_kinds, is_valid_counterfactual

__all__ = ["JobSummary", "captions", "field_title", "map_title", "describe_map", "summarise_job"]

_IMAGE_SUFFIXES = (".png", ".gif", ".webp")
_STATUS_MEANINGS = {
    "green": "all measures within their limits",
    "amber": "a measure beyond its limit",
    "red": "explains nothing",
}

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
    fields: pd.DataFrame, wells: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage
) -> JobSummary:
    """Summarise the results of a job.

    The number of valid counterfactuals comes first, since an invalid one explains nothing.
    """
    were = "was" if len(fields) == 1 else "were"
    sentences = [
        f"{format_count(len(fields), 'field')} of {format_count(len(wells), 'well')} {were} explained; "
        f"{len(failures)} could not be explained."
    ]
    if JobColumn.PREDICTED in wells and Metadata.CONDITION in wells:
        treated = well_compounds(wells).notna()
        known = wells[Metadata.CONDITION].isin(package.model.spec.classes) & wells[JobColumn.PREDICTED].notna()
        labelled = wells[known & ~treated]
        without = " without a compound" if treated.any() else ""
        unseen = labelled[~labelled[JobColumn.SEEN].astype(bool)]
        right = int((unseen[JobColumn.PREDICTED] == unseen[Metadata.CONDITION]).sum())
        is_ = "is" if right == 1 else "are"
        if len(labelled):
            sentences.append(
                f"{right} of the {len(unseen)} labelled wells{without} that the model had not seen {is_} classified as "
                f"labelled; the {len(labelled) - len(unseen)} that it was trained or chosen on are no evidence of its "
                "accuracy."
            )
    found, details = _describe_counterfactuals(fields)
    return JobSummary([*found, *_describe_missing(fields)], sentences, details)


def captions(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    """Return path and caption of every picture of a field that a sheet can show."""
    paths = {name: row[column] for name, column in PICTURE.select(row.index).items()}
    return [
        (path, _caption(name, row))
        for name, path in paths.items()
        if isinstance(path, str) and path.endswith(_IMAGE_SUFFIXES)
    ]


def field_title(row: "pd.Series[Any]") -> str:
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


def describe_map(name: str, row: "Mapping[Any, Any] | pd.Series[Any]") -> tuple[str, str] | None:
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


def _caption(name: str, row: "pd.Series[Any]") -> str:
    kind = name.removeprefix(COUNTERFACTUAL.prefix)
    if kind in COUNTERFACTUAL_KINDS:
        return _counterfactual_caption(name, kind, row)
    if name in COUNTERFACTUAL or name.startswith("sweep"):
        return _change_caption(name, row)
    if (words := describe_map(name, row)) is not None:
        return words[0]
    if name.startswith("interpolation"):
        towards = row.get(INTERPOLATION("towards"))
        end = towards if isinstance(towards, str) else f"the mean of {row[INTERPOLATION('target')]}"
        return f"from the image to {end}"
    if name == "image" and isinstance(row.get(JobColumn.PREDICTED), str):
        return f"image: {row[JobColumn.PREDICTED]}, {row[PROBABILITY(row[JobColumn.PREDICTED])]:.3f}"
    return name.replace("_", " ")


def _change_caption(name: str, row: "Mapping[Any, Any] | pd.Series[Any]") -> str:
    target, kind = row[JobColumn.TARGET], name.removeprefix(COUNTERFACTUAL.prefix).removesuffix("_map")
    if name.startswith("sweep"):
        return f"from the image through the counterfactual towards {target} and past it"
    return (
        f"where the change towards {target} ({kind}) raises (red) or lowers (blue) its log-odds; "
        f"full colour is {row[f'{name}_full_colour']:.2g} nats"
    )


def _counterfactual_caption(name: str, kind: str, row: "pd.Series[Any]") -> str:
    target = row[JobColumn.TARGET]
    text = f"towards {target} ({kind}); saved file: {row[f'{name}_class']}"
    status = row.get(f"{name}_status")
    colour = f"; {status}" if status in _STATUS_MEANINGS else ""
    return f"{text} ({target} {row[f'{name}_probability']:.3f}){colour}"


def _describe_counterfactuals(fields: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Describe, for each target, how many counterfactuals are valid and trusted; and how they were made."""
    kinds = counterfactual_kinds(fields)
    sentences: list[str] = []
    details: list[str] = []
    if not kinds:
        return sentences, details
    of_kind = counterfactual_family(kinds[0])
    for target, tried in fields.dropna(subset=[of_kind("status")]).groupby(JobColumn.TARGET):
        arrived = int(is_valid_counterfactual(tried, kinds[0]).sum())
        there = "at or beyond the boundary to {}" if kinds[0] == "boundary" else "like {} to the model"
        does = {"boundary": "lie", "confident": "look"}.get(kinds[0], "look") + ("s" if arrived == 1 else "")
        end = "" if arrived == len(tried) else "; the others explain nothing"
        sentences.append(
            f"For {format_count(len(tried), 'field')}, the model generated an image that looks like {target}; "
            f"read back from the saved file, {arrived} of these {does} {there.format(target)}{end}."
        )
        of_them = {name: tried[column] for name, column in of_kind.select(tried).items()}
        sentences += _describe_quality(str(target), of_them)
        details += _describe_generation(str(target), of_them)
    return sentences, details


def _describe_missing(fields: pd.DataFrame) -> Iterator[str]:
    """Describe how many fields have no counterfactual, or none of one kind."""
    notes = fields.get(JobColumn.NOTE, pd.Series(dtype=object)).dropna()
    already = notes[notes.str.startswith("already ")]
    for note, number in already.value_counts().items():
        are, have = ("is", "has") if number == 1 else ("are", "have")
        yield f"{format_count(number, 'field')} {are} {note} and {have} no counterfactual."
    yield from _missing_sentence(len(notes) - len(already), "counterfactual", JobColumn.NOTE)
    for kind in reversed(COUNTERFACTUAL_KINDS):
        name = COUNTERFACTUAL(kind)
        if f"{name}_note" in fields:
            made = fields[f"{name}_status"].notna() if f"{name}_status" in fields else False
            lacking = fields[f"{name}_note"].notna() & ~pd.Series(made, fields.index)
            yield from _missing_sentence(int(lacking.sum()), f"{kind} counterfactual", f"{name}_note")


def _missing_sentence(number: int, what: str, column: str) -> Iterator[str]:
    if number:
        have = "has" if number == 1 else "have"
        yield f"{format_count(number, 'field')} {have} no {what}; see {column} in fields.parquet."


def _describe_quality(target: str, of_them: dict[str, "pd.Series[Any]"]) -> Iterator[str]:
    counts = ", ".join(
        f"{(of_them['status'] == status).sum()} {status} ({means})" for status, means in _STATUS_MEANINGS.items()
    )
    yield f"Quality of the counterfactuals towards {target}: {counts}."
    if "oracle_class" in of_them and (oracle_classes := of_them["oracle_class"].dropna()).size:
        believed = int((oracle_classes == target).sum())
        yield (
            f"An independently trained classifier predicts {target} for {believed} of {len(oracle_classes)} "
            f"({100 * believed / len(oracle_classes):.0f} %)."
        )
    if "twin_error" in of_them and (errors := of_them["twin_error"].dropna()).size:
        yield (
            f"The median distance to the true twin in {target} is {errors.median():.2f} times that of the original "
            "image; below 1 means closer."
        )


def _describe_generation(target: str, of_them: dict[str, "pd.Series[Any]"]) -> Iterator[str]:
    if "way" in of_them and "attempts" in of_them:
        yield (
            f"Counterfactuals towards {target}: {(of_them['way'] == 'gradient').sum()} along the gradient instead of "
            f"the straight line, {(of_them['attempts'] > 1).sum()} with more than one attempt."
        )
