"""From the columns of a field to what its well's page tells of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from leigh_mlops.explanations import KINDS
from leigh_mlops.jobs.said import map_words
from leigh_mlops.report.changes import measure_name
from leigh_mlops.report.job_records import FieldStory, ReportPicture, Step

__all__ = ["stories_of"]

Row = Mapping[Any, Any]

_AT = {
    "boundary": "at the boundary",
    "confident": "past the boundary",
    "alpha_0": "ECINN, shorter step",
    "alpha_1": "ECINN, longer step",
}
_FILMS = (".gif", ".webp")
_CERTIFICATE = {
    "class": "the model says",
    "probability": "probability of the target",
    "light": "light",
    "oracle_class": "an independent classifier says",
    "clipped": "share outside the camera's range",
    "reencoding_error": "re-encoding error",
    "padding_energy": "padding energy",
    "distance": "distance from the target class",
    "twin_error": "distance to the true twin",
    "note": "note",
}


def stories_of(fields: pd.DataFrame, doubts: Mapping[str, str]) -> dict[str, FieldStory]:
    """What is told of each field, by its name.

    Args:
        fields: The job's table of fields.
        doubts: Why the maps of a method may not be believed, by the method's name.
    """
    titles = _titles(fields)
    return {
        str(row["field"]): _story(row, title, doubts)
        for row, title in zip(fields.to_dict("records"), titles, strict=True)
    }


def _story(row: Row, title: str, doubts: Mapping[str, str]) -> FieldStory:
    pictures = {
        str(name).removeprefix("picture_"): path
        for name, path in row.items()
        if str(name).startswith("picture_") and isinstance(path, str)
    }
    maps = {name: words for name in pictures if (words := map_words(name, row)) is not None}
    channels = [name for name in pictures if name.startswith("image_")]
    told = {"image", *maps, *channels, *(f"counterfactual_{kind}" for kind in KINDS)}
    return FieldStory(
        title=title,
        facts=dict(_facts(row)),
        flags=_flags(row),
        image=_image(pictures, title),
        channels=[
            ReportPicture(pictures[name], name.removeprefix("image_"), f"{name.removeprefix('image_')} alone")
            for name in channels
        ],
        maps=[ReportPicture(pictures[name], *words, warning=_doubt(name, doubts)) for name, words in maps.items()],
        target=str(row.get("counterfactual_target", "")),
        steps=_steps(row, pictures),
        certificates=_certificates(row),
        changes=_changes(row),
        others=[
            ReportPicture(path, name.replace("_", " "), _of_other(name, path))
            for name, path in pictures.items()
            if name not in told and not path.endswith(".mp4")
        ],
        notes=list(_notes(row)),
    )


def _image(pictures: Mapping[str, str], title: str) -> ReportPicture | None:
    if "image" not in pictures:
        return None
    said = f"{title} as it was taken; all fields on one scale of intensity"
    return ReportPicture(pictures["image"], "Image, all channels", said)


def _titles(fields: pd.DataFrame) -> list[str]:
    """Each field within its well; plane and time are named where there are several."""
    named = {"Metadata_Site": "Field", "Metadata_Z": "plane", "Metadata_Time": "time"}
    told = [name for name in named if name == "Metadata_Site" or (name in fields and len(fields[name].unique()) > 1)]
    rows = zip(*(fields[name] for name in told), strict=True)
    return [", ".join(f"{named[name]} {value}" for name, value in zip(told, row, strict=True)) for row in rows]


def _facts(row: Row) -> Iterator[tuple[str, Any]]:
    if isinstance(row.get("Metadata_Condition"), str):
        yield "labelled as", row["Metadata_Condition"]
    if isinstance(row.get("predicted"), str):
        yield "the model says", row["predicted"]
        yield "its probability", row[f"probability_{row['predicted']}"]
    if row.get("seen"):
        yield "seen in training", "yes: says nothing about how good the model is"


def _flags(row: Row) -> list[str]:
    trust = row.get("trust")
    return [flag for flag in trust.split("; ") if flag] if isinstance(trust, str) else []


def _of_other(name: str, path: str) -> str:
    kind = "film" if path.endswith(_FILMS) else "strip of stills" if name.endswith("_strip") else "picture"
    return f"{name.removesuffix('_film').removesuffix('_strip').replace('_', ' ')}, {kind}"


def _doubt(name: str, doubts: Mapping[str, str]) -> str:
    method = name if name in doubts else "occlusion" if name.startswith("occlusion_") else name
    return doubts.get(method, "")


def _kinds(row: Row) -> list[str]:
    """Kinds of counterfactuals that the field has, the shortest step first."""
    made = [kind for kind in KINDS if isinstance(row.get(f"counterfactual_{kind}_light"), str)]
    return sorted(made, key=lambda kind: row.get(f"counterfactual_{kind}_length", 0.0))


def _steps(row: Row, pictures: Mapping[str, str]) -> list[Step]:
    kinds = [kind for kind in _kinds(row) if f"counterfactual_{kind}" in pictures]
    if not kinds or "image" not in pictures:
        return []
    before = row.get(f"probability_{row.get('counterfactual_target')}", float("nan"))
    steps = [Step(pictures["image"], "image", float(before))]
    for kind in kinds:
        name = f"counterfactual_{kind}"
        probability = float(row.get(f"{name}_probability", float("nan")))
        steps.append(Step(pictures[name], _AT[kind], probability, row[f"{name}_light"]))
    return steps


def _certificates(row: Row) -> list[dict[str, Any]]:
    return [
        {"counterfactual": _AT[kind]}
        | {words: row.get(f"counterfactual_{kind}_{name}") for name, words in _CERTIFICATE.items()}
        for kind in _kinds(row)
    ]


def _changes(row: Row) -> list[dict[str, Any]]:
    """Every measure before and after the step that says most."""
    kinds = _kinds(row)
    if not kinds:
        return []
    after = f"counterfactual_{max(kinds, key=KINDS.index)}_after_"
    rows = []
    for name in row:
        measure = str(name).removeprefix(after)
        if str(name).startswith(after) and f"image_{measure}" in row:
            before, then = float(row[f"image_{measure}"]), float(row[name])
            share = 100 * (then - before) / before if before else float("nan")
            rows.append(
                {
                    "measure": measure_name(measure),
                    "image": before,
                    "counterfactual": then,
                    "change": then - before,
                    "change (%)": share,
                }
            )
    return rows


def _notes(row: Row) -> Iterator[str]:
    if isinstance(note := row.get("counterfactual_note"), str):
        yield f"No counterfactual: {note}."
    for kind in KINDS:
        if isinstance(note := row.get(f"counterfactual_{kind}_note"), str):
            yield f"Counterfactual {_AT[kind]}: {note}."
