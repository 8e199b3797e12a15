"""What a job says to its reader: sentences of the page and captions of the pictures."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from leigh_mlops.explanations import KINDS
from leigh_mlops.jobs.fields_table import holding, kinds_in
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.words import counted

__all__ = ["captions", "field_title", "sentences"]

_SHOWN = (".png", ".gif", ".webp")
_LIGHTS = ("green", "amber", "red")


def sentences(
    fields: pd.DataFrame, wells: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage
) -> tuple[list[str], list[str]]:
    """What was found, in sentences: on the counterfactuals, and on the job as a whole.

    How many counterfactuals arrived is said first, since a picture that did not arrive explains nothing.
    """
    were = "was" if len(fields) == 1 else "were"
    said = [
        f"{counted(len(fields), 'field')} of {counted(len(wells), 'well')} {were} explained; "
        f"{len(failures)} could not be explained."
    ]
    if "predicted" in wells and "Metadata_Condition" in wells:
        labelled = wells[wells["Metadata_Condition"].isin(package.model.spec.classes)]
        unseen = labelled[~labelled["seen"].astype(bool)]
        right = int((unseen["predicted"] == unseen["Metadata_Condition"]).sum())
        said.append(
            f"{right} of the {len(unseen)} labelled wells that the model had not seen are classified as labelled; "
            f"the {len(labelled) - len(unseen)} on which it was trained or chosen say nothing about how good it is."
        )
    return [*_on_counterfactuals(fields), *_on_fields_without(fields)], said


def captions(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    """Path and caption of every picture of a field that a page can show."""
    paths = {str(name).removeprefix("picture_"): path for name, path in row.items() if str(name).startswith("picture_")}
    return [
        (path, _caption(name, row)) for name, path in paths.items() if isinstance(path, str) and path.endswith(_SHOWN)
    ]


def field_title(row: "pd.Series[Any]") -> str:
    """Which field this is."""
    label = row.get("Metadata_Condition")
    labelled = f", class {label}" if isinstance(label, str) else ""
    return f"{row['Metadata_Plate']}, well {row['Metadata_Well']}, field {row['Metadata_Site']}{labelled}"


def _caption(name: str, row: "pd.Series[Any]") -> str:
    kind = name.removeprefix("counterfactual_")
    if kind in KINDS:
        return _of_counterfactual(name, kind, row)
    if name.startswith(("counterfactual_", "sweep")):
        return _of_change(name, row)
    if name == "occlusion":
        return (
            f"what speaks for {row['occlusion_target']}; full colour is {row['occlusion_full_colour']:.2g} of its logit"
        )
    if name.startswith("interpolation"):
        towards = row.get("interpolation_towards")
        end = towards if isinstance(towards, str) else f"the mean of {row['interpolation_target']}"
        return f"from the image to {end}"
    if name == "image" and isinstance(row.get("predicted"), str):
        return f"image: {row['predicted']}, {row['probability_' + row['predicted']]:.3f}"
    return name.replace("_", " ")


def _of_change(name: str, row: "pd.Series[Any]") -> str:
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


def _on_counterfactuals(fields: pd.DataFrame) -> Iterator[str]:
    """How many arrived, how, and who else believes them, target by target."""
    kinds = kinds_in(fields)
    if not kinds:
        return
    key = f"counterfactual_{kinds[0]}"
    for target, tried in fields.dropna(subset=[f"{key}_light"]).groupby("counterfactual_target"):
        arrived = int(holding(tried, kinds[0]).sum())
        there = (
            f"lie at the boundary to {target} or past it" if kinds[0] == "boundary" else f"are {target} to the model"
        )
        yield (
            f"{arrived} of {len(tried)} counterfactuals towards {target} ({kinds[0]}) {there} when "
            "the saved file is read again" + ("." if arrived == len(tried) else "; the others explain nothing.")
        )
        of_them = {str(name).removeprefix(f"{key}_"): tried[name] for name in tried if str(name).startswith(f"{key}_")}
        yield from _on_trust(str(target), of_them)


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
    lights = ", ".join(f"{(of_them['light'] == light).sum()} {light}" for light in _LIGHTS)
    yield f"Of those towards {target}, {lights} (the rule stands under Methods)."
    if "way" in of_them and "attempts" in of_them:
        yield (
            f"Of those towards {target}, {(of_them['way'] == 'gradient').sum()} left the straight way for the "
            f"gradient, and {(of_them['attempts'] > 1).sum()} needed further attempts after their file was read again."
        )
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
