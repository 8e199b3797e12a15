"""Summary of the images found in a folder and of their flaws: numbers, the terminal's text, and the files written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from leigh_mlops.command_line import command_line
from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images.shortcut_views import Views, measure_views, view_fields
from leigh_mlops.plates import (
    FoundImages,
    assign_split,
    bit_depths,
    count_flags_by_class,
    count_treated,
    describe_donors,
    describe_layout,
    differing_scales,
    leaked_wells,
    leave_out_treated,
    parse_shares,
    position_effects,
    probe_confounds,
    require_one_scale,
    scale_phrases,
    well_uses,
    write_table,
)
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.class_montage import class_montage
from leigh_mlops.report.image_sentences import depth_lines, treated_sentences, use_sentences
from leigh_mlops.report.layout_picture import layout_letters, layout_picture
from leigh_mlops.report.platemap_sentences import header_record, platemap_lines
from leigh_mlops.report.sentences import confound_sentences, effect_lines
from leigh_mlops.report.style import save_figure
from leigh_mlops.report.terminal_tables import flag_table
from leigh_mlops.report.well_picture import use_picture
from leigh_mlops.settings import UNLABELLED_FAMILIES

__all__ = [
    "QualityReport",
    "find_uses",
    "has_missing_channel",
    "print_next_step",
    "print_summary",
    "summarize_images",
    "write_images",
]

_MAX_EXAMPLES = 3
_MAX_MAPS = 2


@dataclass(frozen=True)
class QualityReport:
    """Quality of the fields, measured on their pixels.

    Attributes:
        table: The image table with the flaws of each field.
        quality: Measures of each field, one row per row of the table; empty where no pixels were read.
        failures: Path and reason of every field that could not be read.
        file_bits: Bits of a value in the files.
        raw: Returns raw intensities (n, C, H, W) of rows of the table; None where no pixels were read.
    """

    table: pd.DataFrame
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: Sequence[tuple[str, str]] = ()
    file_bits: int = 16
    raw: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None

    @property
    def classed_table(self) -> pd.DataFrame:
        """The image table as a search reads it, in which treated wells have no class."""
        return leave_out_treated(self.table)

    @property
    def needs_labels(self) -> bool:
        """Return whether a search needs labels: it does if there are two classes, and else takes families without."""
        return len(set(self.classed_table[Metadata.CONDITION].dropna())) > 1

    def measure_columns(self, measure: str) -> pd.DataFrame:
        """The columns of one measure, one per channel, named by the channel."""
        columns = [str(name) for name in self.quality if str(name).startswith(f"{measure}_")]
        return self.quality[columns].rename(columns=lambda name: name.removeprefix(f"{measure}_"))


def find_uses(quality_report: QualityReport, shares: str | None = None) -> tuple[pd.DataFrame, str]:
    """Find what a search with its defaults would do with each well, and why it would do nothing, if so."""
    table, needs_labels = quality_report.classed_table, quality_report.needs_labels
    try:
        fractions = (0.6, 0.2, 0.2) if shares is None or Metadata.SPLIT in table else parse_shares(shares)
        parts: pd.Series[str] | None = assign_split(table, fractions=fractions, needs_labels=needs_labels)
        require_one_scale(table, needs_labels=needs_labels)
    except LeighError as error:
        return well_uses(quality_report.table, table.get(Metadata.SPLIT), needs_labels=needs_labels), str(error)
    return well_uses(quality_report.table, parts, needs_labels=needs_labels), ""


def summarize_images(found: FoundImages, quality_report: QualityReport, shares: str | None = None) -> dict[str, Any]:
    """Summarize the images in plain numbers and names; a value that cannot be computed is empty.

    Args:
        found: The images.
        quality_report: Their quality.
        shares: Percent of the wells in each part, as the next command will have them.
    """
    table = quality_report.classed_table
    uses, refusal = find_uses(quality_report, shares)
    leaked = leaked_wells(table, table[Metadata.SPLIT]) if Metadata.SPLIT in table else []
    classes = table.dropna(subset=Metadata.CONDITION).groupby(Metadata.CONDITION)
    donors = describe_donors(table)
    return {
        "fields": len(table),
        "wells": _count_wells(table),
        "plates": int(table[Metadata.PLATE].nunique()),
        "preset": found.preset,
        "why": found.why,
        "channels": list(found.channels),
        "classes": {str(name): {"wells": _count_wells(rows), "fields": len(rows)} for name, rows in classes},
        "leaked": leaked,
        "uses": {str(use): int(number) for use, number in uses["use"].value_counts().items()},
        "use_of_wells": {f"{row[Metadata.PLATE]}/{row[Metadata.WELL]}": str(row["use"]) for _, row in uses.iterrows()},
        "refusal": refusal,
        "treated": asdict(count_treated(quality_report.table)),
        "notes": found.notes,
        "scales": differing_scales(quality_report.table),
        "unmatched": [str(path) for path in found.unmatched],
        "refused": [str(path) for path in found.refused],
        "reasons": {str(path): reason for path, reason in found.reasons.items()},
        "absent": [str(path) for path in found.absent],
        "unjoined": found.unjoined,
        "unused": found.unused,
        "platemap": {
            "columns": [header_record(header) for header in found.headers],
            "cells": [problem._asdict() for problem in found.damaged_cells],
        },
        "failures": [{"path": path, "reason": reason} for path, reason in quality_report.failures],
        "flags": _flag_counts(table) | {"missing_channel": int(has_missing_channel(found).sum())},
        "bit_depth": {plate: str(depth) for plate, depth in _depths(quality_report).items()},
        "layout": describe_layout(table).sentence if len(classes) > 1 else "",
        "donors": donors.sentence if donors else "",
        "confounds": probe_confounds(table, _measure_views(table, found.channels, quality_report)),
        "effects": _effects(quality_report),
    }


def _measure_views(table: pd.DataFrame, channels: Sequence[str], quality_report: QualityReport) -> Views:
    """Measure the views of the images; none if no pixels were read, or no field has a class."""
    rows = view_fields(table, (Metadata.PLATE, Metadata.WELL), Metadata.CONDITION)
    if quality_report.raw is None or not len(rows):
        return {}
    return measure_views(quality_report.raw, rows, channels, quality_report.quality, table.index)


def has_missing_channel(found: FoundImages) -> "pd.Series[bool]":
    """Mark fields that lack a file for a channel."""
    return found.table[[f"FileName_{channel}" for channel in found.channels]].isna().any(axis=1)


def _count_wells(table: pd.DataFrame) -> int:
    return len(table[[Metadata.PLATE, Metadata.WELL]].drop_duplicates())


def _flag_counts(table: pd.DataFrame) -> dict[str, int]:
    """Count the fields with each flaw; all counts are zero if no pixels were read."""
    if Metadata.FLAGS not in table:
        return {}
    counts = count_flags_by_class(table, table).sum(axis=1)
    return {str(name): int(count) for name, count in counts.items()}


def _depths(quality_report: QualityReport) -> Mapping[str, object]:
    return (
        bit_depths(quality_report.table, quality_report.quality, file_bits=quality_report.file_bits)
        if len(quality_report.quality)
        else {}
    )


def _effects(quality_report: QualityReport) -> list[dict[str, Any]]:
    """Compute the share of variance between wells that row, column and edge explain, per plate and channel."""
    if quality_report.quality.empty:
        return []
    effects = position_effects(quality_report.table, quality_report.measure_columns("mean"))
    return [{str(key): value for key, value in effect.items()} for effect in effects.to_dict("records")]


def print_summary(
    console: Console, found: FoundImages, quality_report: QualityReport, summary: Mapping[str, Any]
) -> None:
    """Print what was found, warnings first.

    Args:
        console: Where to print.
        found: The images.
        quality_report: Their quality.
        summary: From ``summarize_images``.
    """
    for sentence in confound_sentences(summary["confounds"]):
        console.print(sentence, style="bold yellow", markup=False)
    console.print(
        f"Found {summary['fields']} fields in {summary['wells']} wells; plates: {summary['plates']}; "
        f"file names: {found.preset}; channels: {', '.join(found.channels)}.",
        markup=False,
    )
    console.print(f"Reason for {found.preset}: {found.why}.", markup=False)
    _print_decisions(console, found, summary)
    _print_problems(console, found, quality_report, summary)
    if summary["classes"]:
        classes = Table("class", "wells", "fields")
        for name, counts in summary["classes"].items():
            classes.add_row(name, str(counts["wells"]), str(counts["fields"]))
        console.print(classes)
    treated = count_treated(quality_report.table)
    for sentence in treated_sentences(treated, needs_labels=quality_report.needs_labels):
        console.print(sentence, markup=False)
    unclassed = summary["fields"] - sum(counts["fields"] for counts in summary["classes"].values())
    if unclassed and quality_report.needs_labels:
        of_treated = f", {treated.fields} of them of treated wells" if treated.fields else ""
        console.print(f"Fields without a class, excluded from training: {unclassed}{of_treated}.")
    for line in use_sentences(summary["uses"], summary["leaked"]):
        console.print(line, style="bold red" if line.startswith("Leak") else None, markup=False)
    if summary["layout"]:
        table = quality_report.classed_table
        for plate in list(dict.fromkeys(table[Metadata.PLATE]))[:_MAX_MAPS]:
            console.print(f"Plate {plate}:", markup=False)
            console.print(layout_letters(table, plate))
    for line in (summary["layout"], summary["donors"], *effect_lines(summary["effects"])):
        if line:
            console.print(line, markup=False)


def _print_decisions(console: Console, found: FoundImages, summary: Mapping[str, Any]) -> None:
    for note in found.notes:
        console.print(f"Note: {note}.", markup=False)
    for phrase in scale_phrases(summary["scales"]):
        console.print(
            f"Warning: {phrase}. tune and train refuse them together, unless --field-um cuts a square of one width in "
            "µm out of all fields.",
            style="bold yellow",
            markup=False,
        )
    if found.platemap is not None:
        console.print(f"Plate map: {found.platemap}.", markup=False)
        for line in platemap_lines(found.headers, found.damaged_cells):
            console.print(line, markup=False)


def _print_problems(
    console: Console, found: FoundImages, quality_report: QualityReport, summary: Mapping[str, Any]
) -> None:
    _print_examples(console, "Image files not used", [_with_reason(path, found.reasons) for path in found.unmatched])
    entries = [f"{Path(*path.parts[-3:])} ({found.reasons[path]})" for path in found.refused]
    _print_examples(console, "Parts of the plate that cannot be read", entries)
    _print_examples(console, "Folders without a usable image", found.empty_folders)
    _print_examples(console, "Listed files that do not exist", [path.name for path in found.absent])
    _print_examples(console, "Wells missing from the plate map", found.unjoined)
    _print_examples(console, "Wells of the plate map without an image", found.unused)
    _print_examples(console, "Unknown control types, treated as no control", found.unknown_controls)
    lacking = found.table[has_missing_channel(found)]
    wells = zip(lacking[Metadata.PLATE], lacking[Metadata.WELL], lacking[Metadata.SITE], strict=True)
    _print_examples(
        console, "Fields without all channels", [f"{plate}/{well}, field {site}" for plate, well, site in wells]
    )
    _print_examples(
        console, "Fields that cannot be read", [reason.rstrip(".") for _, reason in quality_report.failures]
    )
    for line in depth_lines(_depths(quality_report)):
        console.print(line, markup=False)
    if any(count for name, count in summary["flags"].items() if name != "missing_channel"):
        console.print(flag_table(count_flags_by_class(quality_report.table, quality_report.classed_table)))


def _with_reason(path: Path, reasons: Mapping[Path, str]) -> str:
    return f"{path.name} ({reasons[path]})" if path in reasons else f"{path.name} (no preset matches the name)"


def _print_examples(console: Console, what: str, names: Sequence[str]) -> None:
    if names:
        more = ", …; --json lists all" if len(names) > _MAX_EXAMPLES else ""
        shown = escape_unprintable(", ".join(names[:_MAX_EXAMPLES]))
        console.print(f"{what}: {len(names)} ({shown}{more}).", markup=False)


def write_images(
    console: Console,
    out: Path,
    found: FoundImages,
    quality_report: QualityReport,
    summary: Mapping[str, Any],
    shares: str | None = None,
) -> None:
    """Write the image table with its measures, and beside it pictures of layout, uses of wells and fields."""
    measures = quality_report.quality.add_prefix("Metadata_Quality_")
    write_table(pd.concat([quality_report.table, measures], axis=1), out)
    console.print(f"Wrote the image table to {out}.", markup=False)
    picture = out.with_suffix(".layout.png")
    headline = [*confound_sentences(summary["confounds"]), summary["layout"]]
    save_figure(layout_picture(quality_report.classed_table, "\n".join(headline)), picture)
    console.print(f"Wrote the plate layout to {picture}.", markup=False)
    picture = out.with_suffix(".wells.png")
    headline = use_sentences(summary["uses"], summary["leaked"])
    save_figure(use_picture(find_uses(quality_report, shares)[0], "\n".join(headline)), picture)
    console.print(f"Wrote what a search would do with each well to {picture}.", markup=False)
    if quality_report.raw is None:
        return
    examples = class_montage(quality_report.classed_table, quality_report.raw, found.channels)
    if examples is not None:
        picture = save_figure(examples, out.with_suffix(".classes.png"))
        console.print(f"Wrote fields of each class to {picture}.", markup=False)


def print_next_step(
    console: Console,
    data: Path,
    out: Path | None,
    platemap: Path | None,
    found: FoundImages,
    quality_report: QualityReport,
    *,
    chosen: bool,
    shares: str | None = None,
) -> None:
    """Print the next command, or the problem to fix first."""
    table = quality_report.classed_table
    if len(quality_report.failures) == len(table):
        console.print("No field can be read. Replace the images and run ingest again.")
        return
    if not quality_report.needs_labels:
        where = found.platemap or "a platemap.csv next to the images (well_position,condition)"
        _print_unlabelled(console, where, table[Metadata.CONDITION].nunique())
    if refusal := find_uses(quality_report, shares)[1]:
        console.print(f"A search cannot use these images: {refusal}", markup=False)
    if chosen and out is None:
        console.print("Next: run the same command with --out plate.parquet, which saves these options for a search.")
        return
    words = ["--data", str(out or data)]
    if platemap is not None and out is None:
        words += ["--platemap", str(platemap)]
    if shares is not None:
        words += ["--shares", shares]
    console.print(f"Next: {command_line('tune', *words)}", markup=False)


def _print_unlabelled(console: Console, where: object, classes: int) -> None:
    """Print what a search of images without two classes does, and where classes can be added."""
    found, able = "is one class" if classes else "are no classes", ", ".join(UNLABELLED_FAMILIES)
    console.print(
        f"There {found}: only families that need no labels ({able}) can be trained, on all usable fields. For "
        f"classifiers, add the class of each well in the column condition of {where}, then run ingest again.",
        markup=False,
    )
