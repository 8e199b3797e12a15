"""Command ``ingest``: report the images of a plate and their flaws before any training."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leigh_mlops.commands import Exclude, Platemap, Shares, console, run, split_list
from leigh_mlops.errors import LeighError
from leigh_mlops.progress import Progress

if TYPE_CHECKING:
    from leigh_mlops.plates import FoundImages
    from leigh_mlops.report.ingest_summary import QualityReport

__all__ = ["ingest"]


def ingest(
    data: Annotated[
        Path,
        typer.Argument(help="Image folder (class folders, a microscope's export, an OME-Zarr plate) or image table."),
    ],
    preset: Annotated[str, typer.Option(help="File name convention; auto detects it and reports why.")] = "auto",
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression for file names, with groups well (or row and col), site, channel, z, time, "
            "plate, condition."
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="Channels to keep, in this order, such as DAPI=1,TMRM=2."),
    ] = None,
    z: Annotated[
        str, typer.Option(help="max for the maximum projection of a stack, or the number of one plane.")
    ] = "max",
    time: Annotated[
        str | None,
        typer.Option(help="Time point to keep if fields have several: a number, first, last or all."),
    ] = None,
    acquisition: Annotated[
        str | None,
        typer.Option(help="Acquisition to keep if fields have several: a number, first, last or all."),
    ] = None,
    platemap: Platemap = None,
    illumination: Annotated[
        Path | None,
        typer.Option(help="Folder of illumination images to divide by, PLATE_IllumCHANNEL.npy or IllumCHANNEL.npy."),
    ] = None,
    plate_size: Annotated[
        int | None, typer.Option(help="Wells per plate (96, 384, 1536), if file names only number the wells.")
    ] = None,
    tiles: Annotated[
        int,
        typer.Option(
            help="Squares into which each rectangular field is cut along its longer side; 1 takes the centre square."
        ),
    ] = 1,
    field_um: Annotated[
        float | None,
        typer.Option(
            help="Width in µm of the square cut out of the centre of each field, which brings plates of different "
            "pixel sizes to one scale."
        ),
    ] = None,
    exclude: Exclude = None,
    shares: Shares = None,
    image_size: Annotated[
        int, typer.Option(help="Side in pixels of the cached images, a multiple of 32; use that of the search.")
    ] = 224,
    names_only: Annotated[
        bool, typer.Option("--names-only", help="Parse file names without opening the images.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the image table (.parquet or .csv); PNGs of the layout and of fields of each class are "
            "saved next to it."
        ),
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file for the summary.")] = None,
) -> None:
    """List the images in a folder, flag flawed ones, and test whether the plate layout predicts the class."""
    from leigh_mlops.plates import (
        EXCLUDED_BY_DEFAULT,
        PICTURES,
        check_table_path,
        find_images,
        parse_repeat,
        parse_shares,
        set_field_width,
        tile_rows,
    )
    from leigh_mlops.report.image_files import atomic_write
    from leigh_mlops.report.ingest_summary import (
        QualityReport,
        print_next_step,
        print_summary,
        summarize_images,
        write_images,
    )

    if out is not None:
        check_table_path(out)
    if shares is not None:
        parse_shares(shares)
    found = find_images(
        data,
        platemap,
        preset=preset,
        pattern=pattern,
        channels=_named_channels(channels),
        z="max" if z == "max" else _plane(z),
        illumination=illumination,
        plate_size=plate_size,
        time=None if time is None else parse_repeat(time, "--time"),
        acquisition=None if acquisition is None else parse_repeat(acquisition, "--acquisition"),
    )
    found = replace(found, table=tile_rows(found.table, tiles))
    if field_um is not None:
        found = replace(found, table=set_field_width(found.table, field_um))
    rule = EXCLUDED_BY_DEFAULT if exclude is None else [name for name in split_list(exclude) or [] if name != "none"]
    quality_report = QualityReport(found.table) if names_only else _check_quality(found, image_size, rule)
    summary = summarize_images(found, quality_report, shares)
    print_summary(console, found, quality_report, summary)
    if out is not None:
        write_images(console, out, found, quality_report, summary, shares)
    if json_path is not None:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    options = (channels, pattern, illumination, plate_size, exclude, time, acquisition, field_um)
    chosen = any(option is not None for option in options)
    chosen |= z != "max" or tiles != 1 or found.preset == PICTURES
    print_next_step(console, data, out, platemap, found, quality_report, chosen=chosen, shares=shares)


def _named_channels(text: str | None) -> dict[str, int | str] | None:
    """Parse ``DAPI=1,TMRM=2`` into a mapping; numbers become integers."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in split_list(text) or []]
    if not pairs or not all(name.strip() and value.strip() for name, _, value in pairs):
        raise LeighError(f"--channels {text!r} is not a list of channels; write it as DAPI=1,TMRM=2.")
    values = {name.strip(): value.strip() for name, _, value in pairs}
    if len(values) < len(pairs):
        raise LeighError(f"--channels {text!r} gives one name to two channels; use a different name for each.")
    return {name: _number_or_name(value) for name, value in values.items()}


def _number_or_name(text: str) -> int | str:
    from leigh_mlops.plates.whole_number import parse_whole

    number = parse_whole(text)
    return text if number is None else number


def _plane(text: str) -> int:
    from leigh_mlops.plates.whole_number import parse_whole

    plane = parse_whole(text)
    if plane is None:
        raise LeighError(f"--z {text[:40]!r} is not a plane; pass max or a number.")
    return plane


def _check_quality(found: "FoundImages", image_size: int, rule: Sequence[str]) -> "QualityReport":
    """Read every image once; the pixels stay cached for a later search."""
    from leigh_mlops.images import open_cache
    from leigh_mlops.plates import flag_fields, leave_out_treated
    from leigh_mlops.report.image_sentences import square_note
    from leigh_mlops.report.ingest_summary import QualityReport, has_missing_channel

    with Progress(console, "reading images", len(found.table)) as progress:
        cache = open_cache(found.table, found.channels, image_size, progress=progress.advance)
    if note := square_note(cache.field_size, found.table):
        console.print(note)
    flags = flag_fields(leave_out_treated(found.table), cache.quality, exclude=rule)
    table = found.table.assign(**{str(name): flags[name] for name in flags})
    lacking = has_missing_channel(found)
    failures = [(failure.path, failure.reason) for failure in cache.failures if not lacking[failure.row]]
    bits = cache.full_scale.bit_length()
    return QualityReport(table, cache.quality, failures, file_bits=bits, raw=cache.raw)


if __name__ == "__main__":
    run(ingest)
