"""Command ``ingest``: report the images found, and their flaws, before anything is trained."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from leigh_mlops.commands import Exclude, Platemap, console, run, split_list
from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates import (
    EXCLUDED_BY_DEFAULT,
    PICTURES,
    FoundImages,
    assign_split,
    bit_depths,
    check_table_path,
    count_flags,
    describe_donors,
    describe_layout,
    find_images,
    flag_fields,
    position_effects,
    probe_confounds,
    write_table,
)
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.progress import Progress
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.report.layout_picture import layout_letters, layout_picture
from leigh_mlops.report.sentences import confound_sentences, depth_lines, effect_lines
from leigh_mlops.report.style import save_figure
from leigh_mlops.report.terminal_tables import flag_table

__all__ = ["ingest"]

_MAX_EXAMPLES = 3
_MAX_MAPS = 2


@dataclass(frozen=True)
class QualityReport:
    """Quality of the fields, as measured in their pixels.

    Attributes:
        table: The image table with the flaws of each field.
        quality: Measures of each field, one row per row of the table; empty where no pixels were read.
        failures: Path and reason of every field that could not be read.
        file_bits: Bits of a value in the files.
    """

    table: pd.DataFrame
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: Sequence[tuple[str, str]] = ()
    file_bits: int = 16

    def measure_columns(self, measure: str) -> pd.DataFrame:
        """The columns of one measure, one per channel, named by the channel."""
        columns = [str(name) for name in self.quality if str(name).startswith(f"{measure}_")]
        return self.quality[columns].rename(columns=lambda name: name.removeprefix(f"{measure}_"))


def ingest(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of images (class folders, a microscope's folder, an OME-Zarr plate) or an image table."
        ),
    ],
    preset: Annotated[str, typer.Option(help="How the files are named; auto finds out and says why.")] = "auto",
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Your own regular expression for file names, with groups well (or row and col), site, channel, z, "
            "time, plate, condition."
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="Channels to keep, in the order wanted, such as DAPI=1,TMRM=2."),
    ] = None,
    z: Annotated[str, typer.Option(help="max projects the planes of a stack; a number takes one plane.")] = "max",
    platemap: Platemap = None,
    illumination: Annotated[
        Path | None,
        typer.Option(help="Folder of illumination images, PLATE_IllumCHANNEL.npy or IllumCHANNEL.npy, to divide by."),
    ] = None,
    plate_size: Annotated[
        int | None, typer.Option(help="Wells of a plate (96, 384, 1536), where the names only number them.")
    ] = None,
    exclude: Exclude = None,
    image_size: Annotated[
        int, typer.Option(help="Side in pixels at which images are kept for the search, a multiple of 32.")
    ] = 224,
    names_only: Annotated[bool, typer.Option("--names-only", help="Do not open the images.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the image table here (.parquet or .csv), its layout as PNG beside it.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the summary here, for other programs.")
    ] = None,
) -> None:
    """Show which images are in a folder, what is wrong with them, and whether their layout can mislead."""
    if out is not None:
        check_table_path(out)
    found = find_images(
        data,
        platemap,
        preset=preset,
        pattern=pattern,
        channels=_named_channels(channels),
        z="max" if z == "max" else _plane(z),
        illumination=illumination,
        plate_size=plate_size,
    )
    rule = EXCLUDED_BY_DEFAULT if exclude is None else [name for name in split_list(exclude) or [] if name != "none"]
    looked = QualityReport(found.table) if names_only else _check_quality(found, image_size, rule)
    summary = _summarize(found, looked)
    _warn(summary)
    _show(found, looked, summary)
    if out is not None:
        _write(out, looked, summary)
    if json_path is not None:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    chosen = any(option is not None for option in (channels, pattern, illumination, plate_size, exclude))
    chosen |= z != "max" or found.preset == PICTURES
    _show_next(data, out, platemap, found, looked, chosen=chosen)


def _named_channels(text: str | None) -> dict[str, int | str] | None:
    """``DAPI=1,TMRM=2`` as a mapping; numbers become integers."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in split_list(text) or []]
    if not pairs or not all(name.strip() and value.strip() for name, _, value in pairs):
        raise LeighError(f"--channels {text!r} names no channels; write it as DAPI=1,TMRM=2.")
    values = {name.strip(): value.strip() for name, _, value in pairs}
    if len(values) < len(pairs):
        raise LeighError(f"--channels {text!r} gives one name to two channels; give each its own.")
    return {name: int(value) if value.isdecimal() else value for name, value in values.items()}


def _plane(text: str) -> int:
    if not text.isdecimal():
        raise LeighError(f"--z {text!r} is no plane; give max or a number.")
    return int(text)


def _check_quality(found: FoundImages, image_size: int, rule: Sequence[str]) -> QualityReport:
    """Read every image once; the pixels stay cached for the search that follows."""
    from leigh_mlops.images import open_cache

    with Progress(console, "reading images", len(found.table)) as progress:
        cache = open_cache(found.table, found.channels, image_size, progress=progress.advance)
    flags = flag_fields(found.table, cache.quality, exclude=rule)
    table = found.table.assign(**{str(name): flags[name] for name in flags})
    lacking = _has_missing_channel(found)
    failures = [(failure.path, failure.reason) for failure in cache.failures if not lacking[failure.row]]
    return QualityReport(table, cache.quality, failures, file_bits=cache.full_scale.bit_length())


def _summarize(found: FoundImages, looked: QualityReport) -> dict[str, Any]:
    """Summarize the images as plain numbers and names; what could not be computed is empty."""
    table = looked.table
    classes = table.dropna(subset=Metadata.CONDITION).groupby(Metadata.CONDITION)
    columns = [str(name) for name in looked.quality if str(name).startswith("background")]
    background = looked.quality[columns] if columns else None
    donors = describe_donors(table)
    return {
        "fields": len(table),
        "wells": _count_wells(table),
        "plates": int(table[Metadata.PLATE].nunique()),
        "preset": found.preset,
        "why": found.why,
        "channels": list(found.channels),
        "classes": {str(name): {"wells": _count_wells(rows), "fields": len(rows)} for name, rows in classes},
        "unmatched": [str(path) for path in found.unmatched],
        "absent": [str(path) for path in found.absent],
        "unjoined": found.unjoined,
        "unused": found.unused,
        "failures": [{"path": path, "reason": reason} for path, reason in looked.failures],
        "flags": _flag_counts(table) | {"missing_channel": int(_has_missing_channel(found).sum())},
        "bit_depth": {plate: str(depth) for plate, depth in _depths(looked).items()},
        "layout": describe_layout(table).sentence if len(classes) > 1 else "",
        "donors": donors.sentence if donors else "",
        "confounds": probe_confounds(table, background),
        "effects": _effects(looked),
    }


def _has_missing_channel(found: FoundImages) -> "pd.Series[bool]":
    """Mark fields of which the table names no file for a channel."""
    return found.table[[f"FileName_{channel}" for channel in found.channels]].isna().any(axis=1)


def _count_wells(table: pd.DataFrame) -> int:
    return len(table[[Metadata.PLATE, Metadata.WELL]].drop_duplicates())


def _flag_counts(table: pd.DataFrame) -> dict[str, int]:
    """Fields with each flaw; all zero where no pixels were read."""
    if Metadata.FLAGS not in table:
        return {}
    counts = count_flags(table, table).sum(axis=1)
    return {str(name): int(count) for name, count in counts.items()}


def _depths(looked: QualityReport) -> Mapping[str, object]:
    return bit_depths(looked.table, looked.quality, file_bits=looked.file_bits) if len(looked.quality) else {}


def _effects(looked: QualityReport) -> list[dict[str, Any]]:
    """Share of the variance between wells that row, column and edge explain, for each plate and channel."""
    if looked.quality.empty:
        return []
    effects = position_effects(looked.table, looked.measure_columns("mean"))
    return [{str(key): value for key, value in effect.items()} for effect in effects.to_dict("records")]


def _warn(summary: Mapping[str, Any]) -> None:
    for sentence in confound_sentences(summary["confounds"]):
        console.print(sentence, style="bold yellow", markup=False)


def _show(found: FoundImages, looked: QualityReport, summary: Mapping[str, Any]) -> None:
    console.print(
        f"Found {summary['fields']} fields in {summary['wells']} wells; plates: {summary['plates']}; "
        f"file names: {found.preset}; channels: {', '.join(found.channels)}.",
        markup=False,
    )
    console.print(f"Why {found.preset}: {found.why}.", markup=False)
    if found.platemap is not None:
        console.print(f"Plate map: {found.platemap}.", markup=False)
    _show_problems(found, looked, summary)
    if summary["classes"]:
        classes = Table("class", "wells", "fields")
        for name, counts in summary["classes"].items():
            classes.add_row(name, str(counts["wells"]), str(counts["fields"]))
        console.print(classes)
    if unclassed := summary["fields"] - sum(counts["fields"] for counts in summary["classes"].values()):
        console.print(f"Fields without a class, left out of training: {unclassed}.")
    if summary["layout"]:
        for plate in list(dict.fromkeys(looked.table[Metadata.PLATE]))[:_MAX_MAPS]:
            console.print(f"Plate {plate}:", markup=False)
            console.print(layout_letters(looked.table, plate))
    for line in (summary["layout"], summary["donors"], *effect_lines(summary["effects"])):
        if line:
            console.print(line, markup=False)


def _show_problems(found: FoundImages, looked: QualityReport, summary: Mapping[str, Any]) -> None:
    _list("Image files that are left out", [_with_reason(path, found.reasons) for path in found.unmatched])
    _list("Folders without a usable image", found.empty_folders)
    _list("Files that are named but do not exist", [path.name for path in found.absent])
    _list("Wells that are not in the plate map", found.unjoined)
    _list("Wells of the plate map without an image", found.unused)
    _list("Words for controls that are not known, read as none", found.unknown_controls)
    lacking = found.table[_has_missing_channel(found)]
    wells = zip(lacking[Metadata.PLATE], lacking[Metadata.WELL], lacking[Metadata.SITE], strict=True)
    _list("Fields that lack a channel", [f"{plate}/{well}, field {site}" for plate, well, site in wells])
    _list("Fields that cannot be read", [reason.rstrip(".") for _, reason in looked.failures])
    for line in depth_lines(_depths(looked)):
        console.print(line, markup=False)
    if any(count for name, count in summary["flags"].items() if name != "missing_channel"):
        console.print(flag_table(count_flags(looked.table, looked.table)))


def _with_reason(path: Path, reasons: Mapping[Path, str]) -> str:
    return f"{path.name} ({reasons[path]})" if path in reasons else f"{path.name} (no preset knows the name)"


def _list(what: str, names: Sequence[str]) -> None:
    if names:
        more = ", …; --json names all" if len(names) > _MAX_EXAMPLES else ""
        shown = escape_unprintable(", ".join(names[:_MAX_EXAMPLES]))
        console.print(f"{what}: {len(names)} ({shown}{more}).", markup=False)


def _write(out: Path, looked: QualityReport, summary: Mapping[str, Any]) -> None:
    measures = looked.quality.add_prefix("Metadata_Quality_")
    write_table(pd.concat([looked.table, measures], axis=1), out)
    console.print(f"Wrote the image table to {out}.", markup=False)
    picture = out.with_suffix(".layout.png")
    headline = [*confound_sentences(summary["confounds"]), summary["layout"]]
    save_figure(layout_picture(looked.table, "\n".join(headline)), picture)
    console.print(f"Drew the layout of the plates into {picture}.", markup=False)


def _show_next(
    data: Path, out: Path | None, platemap: Path | None, found: FoundImages, looked: QualityReport, *, chosen: bool
) -> None:
    """Print the next command, or what has to be fixed before there is one."""
    table = looked.table
    if len(looked.failures) == len(table):
        console.print("No field can be read: mend the images, then ingest again.")
        return
    if table[Metadata.CONDITION].nunique() < 2:
        where = found.platemap or "a platemap.csv beside the images (well_position,condition)"
        console.print(f"Next: name the class of each well in the column condition of {where}, then ingest again.")
        return
    try:
        assign_split(table)
    except LeighError as error:
        console.print(f"A search would refuse these images: {error}", markup=False)
    if chosen and out is None:
        console.print("Next: the same command with --out plate.parquet, which keeps these choices for a search.")
        return
    words = ["python", "-m", "leigh_mlops.tune", "--data", str(out or data)]
    if platemap is not None and out is None:
        words += ["--platemap", str(platemap)]
    console.print(f"Next: {shlex.join(words)}", markup=False)


if __name__ == "__main__":
    run(ingest)
