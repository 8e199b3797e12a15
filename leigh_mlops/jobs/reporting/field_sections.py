"""Sections on single fields for the pages of wells, from the table of fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.job_columns import (
    AFTER,
    COUNTERFACTUAL,
    IMAGE,
    PICTURE,
    PROBABILITY,
    REFERENCE,
    SMALLEST_EDIT,
    ColumnFamily,
    JobColumn,
    counterfactual_family,
    reference_family,
)
from leigh_mlops.jobs.reporting.captions import describe_map
from leigh_mlops.jobs.reporting.counterfactual_sentences import KIND_NAMES, REFERENCE_NAMES
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.change_charts import measure_name
from leigh_mlops.report.job.job_records import CounterfactualStep, FieldSection, ReportPicture
from leigh_mlops.report.sentences import format_percent
from leigh_mlops.report.table_columns import Columns, is_missing, table_rows

__all__ = ["build_field_sections", "find_title_columns"]

Row = Mapping[Any, Any]

_TITLES = {Metadata.SITE: "Field", Metadata.Z: "plane", Metadata.TIME: "time"}
_FILM_SUFFIXES = (".gif", ".webp")
_VERIFICATION_LABELS = {
    "class": "predicted class",
    "probability": "probability of the target",
    "status": "status",
    "reasons": "why it is not green",
    "oracles": "independent classifiers that predict the target",
    "oracles_asked": "of so many",
    "realism": "distance from real fields (1: the limit)",
    "clipped": "share outside the camera's range",
    "reencoding_error": "re-encoding error",
    "padding_energy": "padding energy",
    "distance": "distance from the target class",
    "twin_error": "distance to the true twin",
    "note": "note",
}


def build_field_sections(
    fields: Columns, doubts: Mapping[str, str], title_columns: Sequence[str] | None = None
) -> dict[str, FieldSection]:
    """Build the section on each field, by the field's name.

    Args:
        fields: Columns of the job's table of fields, or of some of its rows.
        doubts: Warnings on the maps of methods that did not pass their checks, by the method's name.
        title_columns: Columns that tell the fields of a well apart; None for those that vary in these rows.
    """
    titles = _titles(fields, find_title_columns(fields) if title_columns is None else title_columns)
    return {
        str(row["field"]): _field_section(row, title, doubts)
        for row, title in zip(table_rows(fields), titles, strict=True)
    }


def _field_section(row: Row, title: str, doubts: Mapping[str, str]) -> FieldSection:
    pictures = {name: row[column] for name, column in PICTURE.select(row).items() if isinstance(row[column], str)}
    maps = {name: words for name in pictures if (words := describe_map(name, row)) is not None}
    channels = [name for name in pictures if name in IMAGE]
    references = [name for name in pictures if name in REFERENCE or name == SMALLEST_EDIT("image")]
    placed = {"image", *maps, *channels, *references, *(COUNTERFACTUAL(kind) for kind in COUNTERFACTUAL_KINDS)}
    return FieldSection(
        title=title,
        facts=dict(_facts(row)),
        flags=_flags(row),
        image=_image(pictures, title),
        channels=[
            ReportPicture(pictures[name], name.removeprefix(IMAGE.prefix), f"{name.removeprefix('image_')} alone")
            for name in channels
        ],
        maps=[
            ReportPicture(pictures[name], *words, warning=_map_warning(name, doubts)) for name, words in maps.items()
        ],
        target=str(row.get(JobColumn.TARGET, "")),
        steps=_steps(row, pictures),
        references=[_reference(name, pictures[name], row) for name in references],
        verification=_verification(row),
        changes=_changes(row),
        others=[
            ReportPicture(path, *_other_words(name, path, row))
            for name, path in pictures.items()
            if name not in placed and not path.endswith(".mp4")
        ],
        notes=list(_notes(row)),
    )


def _image(pictures: Mapping[str, str], title: str) -> ReportPicture | None:
    if "image" not in pictures:
        return None
    caption = f"{title} as it was taken; all fields on one scale of intensity"
    return ReportPicture(pictures["image"], "Image, all channels", caption)


def find_title_columns(fields: Columns) -> list[str]:
    """Columns that tell the fields of a well apart: the site, and plane and time if there are several."""
    return [name for name in _TITLES if name == Metadata.SITE or _count_values(fields.get(name, ())) > 1]


def _titles(fields: Columns, columns: Sequence[str]) -> list[str]:
    """Titles of the fields within their wells."""
    rows = zip(*(fields[name] for name in columns), strict=True)
    return [", ".join(f"{_TITLES[name]} {value}" for name, value in zip(columns, row, strict=True)) for row in rows]


def _count_values(values: Sequence[Any]) -> int:
    """Number of different values; all missing ones count as one."""
    return len({None if is_missing(value) else value for value in values})


def _facts(row: Row) -> Iterator[tuple[str, Any]]:
    if isinstance(row.get(Metadata.CONDITION), str):
        yield "labelled as", row[Metadata.CONDITION]
    if isinstance(row.get(JobColumn.PREDICTED), str):
        yield "predicted class", row[JobColumn.PREDICTED]
        yield "its probability", row[PROBABILITY(row[JobColumn.PREDICTED])]
    if row.get(JobColumn.SEEN):
        yield "seen in training", "yes: not evidence of accuracy"


def _flags(row: Row) -> list[str]:
    trust = row.get(JobColumn.TRUST)
    return [flag for flag in trust.split("; ") if flag] if isinstance(trust, str) else []


def _other_words(name: str, path: str, row: Row) -> tuple[str, str]:
    """Title and caption of a picture that has no place of its own on the page."""
    if name == SMALLEST_EDIT("curve"):
        return "Ever larger edits", (
            "pixels are replaced by the counterfactual's, those first whose change acts most; mean gain in this "
            f"network's probability {float(row[SMALLEST_EDIT('area')]):.2f} (0.5: an even rise, 1: a single pixel)"
        )
    kind = "film" if path.endswith(_FILM_SUFFIXES) else "strip of stills" if name.endswith("_strip") else "picture"
    shown = name.removesuffix("_film").removesuffix("_strip").replace("_", " ")
    return name.replace("_", " "), f"{shown}, {kind}"


def _map_warning(name: str, doubts: Mapping[str, str]) -> str:
    method = name if name in doubts else "occlusion" if name.startswith("occlusion_") else name
    return doubts.get(method, "")


def _available_kinds(row: Row) -> list[str]:
    """Kinds of counterfactuals of the field, the shortest step first."""
    made = [kind for kind in COUNTERFACTUAL_KINDS if isinstance(row.get(counterfactual_family(kind)("status")), str)]
    return sorted(made, key=lambda kind: row.get(counterfactual_family(kind)("length"), 0.0))


def _steps(row: Row, pictures: Mapping[str, str]) -> list[CounterfactualStep]:
    kinds = [kind for kind in _available_kinds(row) if COUNTERFACTUAL(kind) in pictures]
    if not kinds or "image" not in pictures:
        return []
    before = row.get(PROBABILITY(row.get(JobColumn.TARGET)), float("nan"))
    steps = [CounterfactualStep(pictures["image"], "image", float(before))]
    for kind in kinds:
        name = COUNTERFACTUAL(kind)
        probability = float(row.get(f"{name}_probability", float("nan")))
        said = _verdict(row, kind)
        steps.append(CounterfactualStep(pictures[name], KIND_NAMES[kind], probability, row[f"{name}_status"], said))
    return steps


def _verdict(row: Row, kind: str) -> str:
    """Verdict of the independent classifiers on a counterfactual; empty where none was asked."""
    of_kind = counterfactual_family(kind)
    asked = row.get(of_kind("oracles_asked"))
    if not asked or is_missing(asked):
        return ""
    return f"{row[JobColumn.TARGET]} to {row[of_kind('oracles')]:.0f} of {asked:.0f} independent classifiers"


def _reference(name: str, path: str, row: Row) -> ReportPicture:
    """Picture of a reference or of the smallest edit, with what the model and the classifiers predict for it."""
    if name == SMALLEST_EDIT("image"):
        share = format_percent(float(row[SMALLEST_EDIT("share")]))
        said = f"{share} of the pixels replaced turn the prediction of this network and most independent classifiers"
        return ReportPicture(path, "smallest edit", said)
    name = name.removeprefix(REFERENCE.prefix)
    of_map = reference_family(name)
    said = f"this network: {row.get(of_map('class'))}"
    if asked := row.get(of_map("oracles_asked")):
        said += f"; {row[JobColumn.TARGET]} to {row[of_map('oracles')]:.0f} of {asked:.0f} independent classifiers"
    return ReportPicture(path, REFERENCE_NAMES.get(name, name), said)


def _verification(row: Row) -> list[dict[str, Any]]:
    return [
        {"counterfactual": KIND_NAMES[kind]}
        | {words: row.get(counterfactual_family(kind)(name)) for name, words in _VERIFICATION_LABELS.items()}
        for kind in _available_kinds(row)
    ]


def _changes(row: Row) -> list[dict[str, Any]]:
    """Compare every measure before and after the most informative counterfactual."""
    kinds = _available_kinds(row)
    if not kinds:
        return []
    of_kind = counterfactual_family(max(kinds, key=COUNTERFACTUAL_KINDS.index))
    rows = []
    for measure, column in ColumnFamily(of_kind(AFTER.prefix)).select(row).items():
        if IMAGE(measure) in row:
            before, then = float(row[IMAGE(measure)]), float(row[column])
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
    if isinstance(note := row.get(JobColumn.NOTE), str):
        yield f"No counterfactual: {note}."
    for kind in COUNTERFACTUAL_KINDS:
        if isinstance(note := row.get(counterfactual_family(kind)("note")), str):
            yield f"Counterfactual {KIND_NAMES[kind]}: {note}."
