"""What a job says to its reader: sentences of the page and captions of the pictures."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from leigh_mlops.explanations import KINDS, unit_of
from leigh_mlops.jobs.direction import compounds_of
from leigh_mlops.jobs.fields_table import holding, kinds_in
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.words import counted

__all__ = ["Said", "captions", "field_title", "map_title", "map_words", "sentences"]

_SHOWN = (".png", ".gif", ".webp")
_LIGHTS = {
    "green": "all measures in order",
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
        "regions whose deep features speak for (red) or against (blue) {target}; coarse by nature",
    ),
    "guided_grad_cam": ("Guided Grad-CAM", "fine structures within the regions of Grad-CAM that speak for {target}"),
    "integrated_gradients": (
        "Integrated gradients",
        "what each pixel adds to (red) or takes from (blue) the score of {target} on the way from black to the image",
    ),
    "smooth_grad": (
        "SmoothGrad",
        "pixels where more light would raise (red) or lower (blue) the score of {target}, averaged over noise",
    ),
    "deep_lift": (
        "DeepLIFT",
        "what each pixel adds to (red) or takes from (blue) the score of {target}, beside a reference",
    ),
    "lrp": (
        "Layer-wise relevance",
        "how the score of {target} is shared out over the pixels, for (red) and against (blue) it",
    ),
    "prediction_difference": (
        "Prediction difference",
        "how much the score of {target} falls (red) or rises (blue) when a patch looks like its surroundings",
    ),
}
"""Each method's name and what its map shows."""


class Said(NamedTuple):
    """What a job has found, in sentences.

    Attributes:
        counterfactuals: How many arrived, and who else believes them.
        job: On the job as a whole.
        details: Figures for those who look after the model.
    """

    counterfactuals: list[str]
    job: list[str]
    details: list[str]


def sentences(fields: pd.DataFrame, wells: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage) -> Said:
    """What was found, in plain words.

    How many counterfactuals arrived is said first, since a picture that did not arrive explains nothing.
    """
    were = "was" if len(fields) == 1 else "were"
    said = [
        f"{counted(len(fields), 'field')} of {counted(len(wells), 'well')} {were} explained; "
        f"{len(failures)} could not be explained."
    ]
    if "predicted" in wells and "Metadata_Condition" in wells:
        treated = compounds_of(wells).notna()
        known = wells["Metadata_Condition"].isin(package.model.spec.classes) & wells["predicted"].notna()
        labelled = wells[known & ~treated]
        without = " without a compound" if treated.any() else ""
        unseen = labelled[~labelled["seen"].astype(bool)]
        right = int((unseen["predicted"] == unseen["Metadata_Condition"]).sum())
        is_ = "is" if right == 1 else "are"
        if len(labelled):
            said.append(
                f"{right} of the {len(unseen)} labelled wells{without} that the model had not seen {is_} classified as "
                f"labelled; the {len(labelled) - len(unseen)} on which it was trained or chosen say nothing about how "
                "good it is."
            )
    found, details = _on_counterfactuals(fields)
    return Said([*found, *_on_fields_without(fields)], said, details)


def captions(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    """Path and caption of every picture of a field that a sheet can show."""
    paths = {str(name).removeprefix("picture_"): path for name, path in row.items() if str(name).startswith("picture_")}
    return [
        (path, _caption(name, row)) for name, path in paths.items() if isinstance(path, str) and path.endswith(_SHOWN)
    ]


def field_title(row: "pd.Series[Any]") -> str:
    """Which field this is."""
    label = row.get("Metadata_Condition")
    labelled = f", class {label}" if isinstance(label, str) else ""
    return f"{row['Metadata_Plate']}, well {row['Metadata_Well']}, field {row['Metadata_Site']}{labelled}"


def map_title(name: str) -> str | None:
    """Name of a heatmap; None for a picture that is none.

    Example:
        >>> map_title("occlusion_TMRM"), map_title("image")
        ('Occlusion of TMRM alone', None)
    """
    if name.startswith("counterfactual_") and name.endswith("_map"):
        kind = name.removeprefix("counterfactual_").removesuffix("_map")
        return f"Where the change counts ({kind})" if kind in KINDS else None
    method = _method_of(name)
    if method not in _METHODS:
        return None
    channel = name.removeprefix(method).removeprefix("_")
    return f"{_METHODS[method][0]} of {channel} alone" if channel else _METHODS[method][0]


def map_words(name: str, row: "Mapping[Any, Any] | pd.Series[Any]") -> tuple[str, str] | None:
    """Name of a heatmap and what its colours mean; None for a picture that is none.

    Args:
        name: Of the picture, such as ``occlusion``, ``occlusion_TMRM`` or ``counterfactual_confident_map``.
        row: The field's columns.
    """
    title, method = map_title(name), _method_of(name)
    if title is None:
        return None
    if method not in _METHODS:
        return title, _of_change(name, row)
    target = row.get(f"{name}_target", row.get(f"{method}_target"))
    said = _METHODS[method][1].format(target=target if isinstance(target, str) else "the predicted class")
    full = row.get(f"{name}_full_colour")
    scale = f"; full colour is {full:.2g} {unit_of(name)}" if isinstance(full, float) else ""
    return title, f"{said}{scale}."


def _method_of(name: str) -> str:
    return "occlusion" if name.startswith("occlusion_") else name


def _caption(name: str, row: "pd.Series[Any]") -> str:
    kind = name.removeprefix("counterfactual_")
    if kind in KINDS:
        return _of_counterfactual(name, kind, row)
    if name.startswith(("counterfactual_", "sweep")):
        return _of_change(name, row)
    if (words := map_words(name, row)) is not None:
        return words[0]
    if name.startswith("interpolation"):
        towards = row.get("interpolation_towards")
        end = towards if isinstance(towards, str) else f"the mean of {row['interpolation_target']}"
        return f"from the image to {end}"
    if name == "image" and isinstance(row.get("predicted"), str):
        return f"image: {row['predicted']}, {row['probability_' + row['predicted']]:.3f}"
    return name.replace("_", " ")


def _of_change(name: str, row: "Mapping[Any, Any] | pd.Series[Any]") -> str:
    target, kind = row["counterfactual_target"], name.removeprefix("counterfactual_").removesuffix("_map")
    if name.startswith("sweep"):
        return f"from the image through the counterfactual towards {target} and past it"
    return (
        f"where the change towards {target} ({kind}) raises (red) or lowers (blue) its log-odds; "
        f"full colour is {row[f'{name}_full_colour']:.2g} nats"
    )


def _of_counterfactual(name: str, kind: str, row: "pd.Series[Any]") -> str:
    target = row["counterfactual_target"]
    said = f"towards {target} ({kind}); saved file: {row[f'{name}_class']}"
    light = row.get(f"{name}_light")
    colour = f"; {light}" if light in _LIGHTS else ""
    return f"{said} ({target} {row[f'{name}_probability']:.3f}){colour}"


def _on_counterfactuals(fields: pd.DataFrame) -> tuple[list[str], list[str]]:
    """How many arrived, and who else believes them, target by target; and how they were made."""
    kinds = kinds_in(fields)
    said: list[str] = []
    details: list[str] = []
    if not kinds:
        return said, details
    key = f"counterfactual_{kinds[0]}"
    for target, tried in fields.dropna(subset=[f"{key}_light"]).groupby("counterfactual_target"):
        arrived = int(holding(tried, kinds[0]).sum())
        there = "at the boundary to {} or past it" if kinds[0] == "boundary" else "like {} to it"
        does = {"boundary": "lie", "confident": "look"}.get(kinds[0], "look") + ("s" if arrived == 1 else "")
        end = "" if arrived == len(tried) else "; the others explain nothing"
        said.append(
            f"Of {counted(len(tried), 'field')} the model made an image that looks like {target}; {arrived} of these "
            f"{does} {there.format(target)} when the saved file is read again{end}."
        )
        of_them = {str(name).removeprefix(f"{key}_"): tried[name] for name in tried if str(name).startswith(f"{key}_")}
        said += _on_trust(str(target), of_them)
        details += _on_making(str(target), of_them)
    return said, details


def _on_fields_without(fields: pd.DataFrame) -> Iterator[str]:
    """How many have no counterfactual, or none of one kind."""
    notes = fields.get("counterfactual_note", pd.Series(dtype=object)).dropna()
    already = notes[notes.str.startswith("already ")]
    for note, number in already.value_counts().items():
        are, have = ("is", "has") if number == 1 else ("are", "have")
        yield f"{counted(number, 'field')} {are} {note} and {have} no counterfactual."
    yield from _lacking(len(notes) - len(already), "counterfactual", "counterfactual_note")
    for kind in reversed(KINDS):
        name = f"counterfactual_{kind}"
        if f"{name}_note" in fields:
            made = fields[f"{name}_light"].notna() if f"{name}_light" in fields else False
            lacking = fields[f"{name}_note"].notna() & ~pd.Series(made, fields.index)
            yield from _lacking(int(lacking.sum()), f"{kind} counterfactual", f"{name}_note")


def _lacking(number: int, what: str, column: str) -> Iterator[str]:
    if number:
        have = "has" if number == 1 else "have"
        yield f"{counted(number, 'field')} {have} no {what}; {column} in fields.parquet says why."


def _on_trust(target: str, of_them: dict[str, "pd.Series[Any]"]) -> Iterator[str]:
    lights = ", ".join(f"{(of_them['light'] == light).sum()} {light} ({means})" for light, means in _LIGHTS.items())
    yield f"How far those towards {target} can be trusted: {lights}."
    if "oracle_class" in of_them and (judged := of_them["oracle_class"].dropna()).size:
        believed = int((judged == target).sum())
        yield (
            f"An independently trained classifier takes {believed} of {len(judged)} "
            f"({100 * believed / len(judged):.0f} %) for {target}."
        )
    if "twin_error" in of_them and (errors := of_them["twin_error"].dropna()).size:
        yield (
            f"The median distance to the true twin in {target} is {errors.median():.2f} of that of the image itself; "
            "below 1 is nearer."
        )


def _on_making(target: str, of_them: dict[str, "pd.Series[Any]"]) -> Iterator[str]:
    if "way" in of_them and "attempts" in of_them:
        yield (
            f"Of the counterfactuals towards {target}, {(of_them['way'] == 'gradient').sum()} left the straight way "
            f"for the gradient, and {(of_them['attempts'] > 1).sum()} needed further attempts after their file was "
            "read again."
        )
