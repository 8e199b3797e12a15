"""Preparation of data from a folder of images: table, split and cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images import open_cache
from leigh_mlops.images.shortcut_views import measure_views, view_fields
from leigh_mlops.plates import (
    EXCLUDED_BY_DEFAULT,
    FoundImages,
    assign_split,
    bit_depths,
    count_flags_by_class,
    count_treated,
    describe_donors,
    describe_layout,
    describe_split,
    find_images,
    flag_fields,
    fold_split,
    is_demo,
    leaked_wells,
    leave_out_treated,
    parse_shares,
    probe_confounds,
    require_classes,
    require_one_scale,
    write_demo_plate,
)
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folds import Folds
from leigh_mlops.plates.whole_number import parse_whole
from leigh_mlops.progress import Progress
from leigh_mlops.report.image_sentences import depth_lines, leak_sentence, square_note, treated_sentences
from leigh_mlops.report.platemap_sentences import cell_sentence
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.terminal_tables import flag_table
from leigh_mlops.training import PARTS, PreparedData

__all__ = [
    "DEMO",
    "DataSource",
    "DividedData",
    "measure_confounds",
    "class_names",
    "divide_data",
    "divided_table",
    "find_data",
    "find_labelled_data",
    "add_flags",
    "prepare_data",
    "prepare_undivided",
    "add_pixels",
]

DEMO = Path("demo")


@dataclass(frozen=True)
class DataSource:
    """Location of the images and division of their wells.

    Attributes:
        path: Folder or table; ``None`` for the demo plate, which is made in ``demo/``.
        platemap: Plate map, if it is not in the folder.
        group: Unit that is never divided: ``well``, ``plate``, ``batch`` or ``donor``.
        seed: Seed of the split.
        skip_broken: Leave out images that can't be read instead of refusing them.
        exclude: Flaws for which a field is left out; ``None`` for the default rule.
        fold: ``2/5`` takes the second of five parts as test part; ``2/all`` gives each group a part.
        scale_by: ``training`` for one intensity scale; ``controls`` adjusts each plate to a common
            level by its own negative controls first.
        train_on_compounds: Count wells with a compound, which are no controls, as labelled; otherwise
            they are in no class.
        shares: ``60,20,20``: percent of the groups in training, validation and test part; ``None`` for these.
    """

    path: Path | None
    platemap: Path | None = None
    group: str = "well"
    seed: int = 0
    skip_broken: bool = False
    exclude: Sequence[str] | None = None
    fold: str | None = None
    scale_by: str = "training"
    train_on_compounds: bool = False
    shares: str | None = None

    @property
    def excluded_flaws(self) -> tuple[str, ...]:
        """Flaws for which a field is left out."""
        if self.exclude is None:
            return tuple(EXCLUDED_BY_DEFAULT)
        return tuple(name for name in self.exclude if name != "none")


DividedData = tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]
"""An image table, its channels and its classes."""


def divided_table(source: DataSource, console: Console, *, needs_labels: bool = True) -> DividedData:
    """Find the images and divide their wells; nothing is written.

    Raises:
        LeighError: There are no images, too few wells for a split, or a single class where labels are needed.
    """
    return divide_data(find_data(source, console), source, console, needs_labels=needs_labels)


def divide_data(found: DividedData, source: DataSource, console: Console, *, needs_labels: bool = True) -> DividedData:
    """Divide the wells of a table that :func:`find_data` found; nothing is written.

    Args:
        found: Table with all labels.
        source: Division of the wells.
        console: Console to print to.
        needs_labels: Whether fields without a class, such as those of treated wells, are in no part.

    Raises:
        LeighError: There are too few wells for a split, or a single class where labels are needed.
    """
    table, channels, classes = _leave_out_treated(found, source, console, needs_labels=needs_labels)
    if needs_labels:
        require_classes(table)
    require_one_scale(table, needs_labels=needs_labels)
    table = table.assign(Metadata_Split=_split(table, source, needs_labels=needs_labels))
    _show_split(table, console, source.group)
    if len(classes) > 1:
        console.print(describe_layout(table).sentence, markup=False)
    if donors := describe_donors(table):
        console.print(donors.sentence, markup=False)
    return table, channels, classes


def _split(table: pd.DataFrame, source: DataSource, *, needs_labels: bool) -> "pd.Series[str]":
    if source.scale_by not in ("training", "controls"):
        raise LeighError(f"--scale-by {source.scale_by!r} is unknown; choose training or controls.")
    if source.shares is not None:
        shares = _given_shares(table, source)
        return assign_split(table, source.group, shares, source.seed, needs_labels=needs_labels)
    if source.fold is None:
        return assign_split(table, group=source.group, seed=source.seed, needs_labels=needs_labels)
    place, _, count = source.fold.partition("/")
    fold = parse_whole(place)
    folds: Folds | None = "all" if count == "all" else parse_whole(count)
    if fold is None or folds is None:
        raise LeighError(f"--fold {source.fold[:40]!r} is not a fold; write it as 2/5, or as 2/all for one group each.")
    return fold_split(table, fold, folds, group=source.group, seed=source.seed, needs_labels=needs_labels)


def _given_shares(table: pd.DataFrame, source: DataSource) -> tuple[float, float, float]:
    shares = parse_shares(source.shares or "")
    if source.fold is not None:
        raise LeighError(f"--shares {source.shares} with --fold {source.fold}, which sets the parts; give one of them.")
    if Metadata.SPLIT in table:
        raise LeighError(
            f"--shares {source.shares} with images that come with a split; leave out --shares, or remove "
            f"{Metadata.SPLIT} (the folders train and test)."
        )
    return shares


def prepare_data(
    source: DataSource,
    table: pd.DataFrame,
    channels: Sequence[str],
    classes: Sequence[str],
    image_size: int,
    console: Console,
    *,
    needs_labels: bool = True,
) -> PreparedData:
    """Add the pixels to a divided table.

    Args:
        source: Images and rules.
        table: Table with its split.
        channels: Channels in their order.
        classes: Classes in their order.
        image_size: Side in pixels.
        console: Console to print to.
        needs_labels: Whether fields without a class are left out.

    Raises:
        LeighError: Images can't be read, and ``source`` does not say to leave them out.
    """
    data = add_pixels(table, channels, classes, image_size, console, demo=is_demo(source.path or DEMO))
    data = replace(add_flags(data, source.excluded_flaws, console), group=source.group, needs_labels=needs_labels)
    _refuse_failures(data, source, console)
    _check_class_coverage(data)
    if source.scale_by == "controls":
        return data.scale_by_controls((data.table[Metadata.SPLIT] == "train").to_numpy(bool))
    return data


def _refuse_failures(data: PreparedData, source: DataSource, console: Console) -> None:
    if data.failures and not source.skip_broken:
        raise LeighError(
            f"{len(data.failures)} of {len(data.table)} fields can't be used, the first because "
            f"{data.failures[0].reason.rstrip('.')}; fix or remove them, or leave them out with --skip-broken."
        )
    for failure in data.failures:
        console.print(f"  left out: {failure.reason}", markup=False)


def prepare_undivided(source: DataSource, image_size: int, console: Console) -> PreparedData:
    """Find the images and add their pixels, for folds that are dealt later: the table has no split.

    With ``scale_by`` controls, their level is that of all plates until the data are divided.

    Raises:
        LeighError: There are no images, only one class, or images can't be read.
    """
    table, channels, classes = find_labelled_data(source, console)
    require_classes(table)
    require_one_scale(table)
    data = add_pixels(table.assign(Metadata_Split=None), channels, classes, image_size, console)
    data = replace(add_flags(data, source.excluded_flaws, console), group=source.group)
    _refuse_failures(data, source, console)
    return data.scale_by_controls(np.ones(len(table), bool)) if source.scale_by == "controls" else data


def _check_class_coverage(data: PreparedData) -> None:
    for part in PARTS:
        if (absent := data.lacking_class(part)) is not None:
            of_class = f" of class {absent!r}" if absent else ""
            raise LeighError(
                f"no usable field{of_class} is left in the {part} part; add images of more wells, or exclude fewer "
                "with --exclude."
            )


def find_data(source: DataSource, console: Console) -> DividedData:
    """Find the image table, its channels and its classes; the demo plate is written first if it does not exist."""
    path = source.path
    if path is None:
        path = DEMO
        if not (path / "platemap.csv").exists():
            console.print(f"No --data: a demo plate with known truth is made in {path}/.")
            write_demo_plate(path, wells_per_class=32, seed=0)
    found = find_images(path, platemap=source.platemap)
    wells = found.table[[Metadata.PLATE, Metadata.WELL]].drop_duplicates()
    console.print(
        f"{path}: {len(found.table)} fields of {len(wells)} wells, "
        f"channels {', '.join(found.channels)} (names read as {found.preset}).",
        markup=False,
    )
    _show_losses(found, console)
    return found.table, found.channels, _list_classes(found.table)


def _show_losses(found: FoundImages, console: Console) -> None:
    """Print decisions that a user would want to know, and what was left out."""
    lines = list(found.notes)
    if cells := found.damaged_cells:
        lines.append(
            f"{format_count(len(cells), 'cell')} of the plate map not as expected (see leigh platemap), such as "
            f"{cell_sentence(cells[0])}"
        )
    if found.refused:
        first = found.refused[0]
        lines.append(
            f"{len(found.refused)} parts of the plate cannot be read and are left out, for example "
            f"{Path(*first.parts[-3:])} ({found.reasons[first]})"
        )
    if found.unmatched:
        lines.append(
            f"{len(found.unmatched)} files match no pattern and are left out, for example {found.unmatched[0].name}"
        )
    for line in lines:
        console.print(f"  {escape_unprintable(line)}", markup=False)


def find_labelled_data(source: DataSource, console: Console, *, needs_labels: bool = True) -> DividedData:
    """Find the data of which labels are used; treated wells have no class, unless the source says so."""
    return _leave_out_treated(find_data(source, console), source, console, needs_labels=needs_labels)


def _leave_out_treated(found: DividedData, source: DataSource, console: Console, *, needs_labels: bool) -> DividedData:
    table, channels, _ = found
    counts = count_treated(table)
    sentences = treated_sentences(counts, train_on_compounds=source.train_on_compounds, needs_labels=needs_labels)
    for sentence in sentences:
        console.print(sentence, markup=False)
    if not source.train_on_compounds:
        table = leave_out_treated(table)
    return table, channels, _list_classes(table)


def class_names(table: pd.DataFrame, source: DataSource) -> tuple[str, ...]:
    """Names of the classes of a table that :func:`find_data` found, sorted, without those of treated wells alone."""
    return _list_classes(table if source.train_on_compounds else leave_out_treated(table))


def _list_classes(table: pd.DataFrame) -> tuple[str, ...]:
    conditions = table.get(Metadata.CONDITION, pd.Series(dtype=str)).dropna()
    return tuple(sorted(map(str, conditions.unique())))


def add_pixels(
    table: pd.DataFrame,
    channels: Sequence[str],
    classes: Sequence[str],
    image_size: int,
    console: Console,
    *,
    demo: bool = False,
) -> PreparedData:
    """Add the pixels at one size, with a progress bar."""
    with Progress(console, f"reading images at {image_size} px", len(table)) as progress:
        cache = open_cache(table, channels, image_size, progress=progress.advance)
    if note := square_note(cache.field_size, table):
        console.print(f"  {note}")
    return PreparedData(table, tuple(channels), tuple(classes), cache, demo)


def add_flags(data: PreparedData, rule: Sequence[str], console: Console) -> PreparedData:
    """Return the data with the flaws of each field in its table; fields excluded by the rule are in no part.

    Raises:
        LeighError: A flaw is unknown.
    """
    flags = flag_fields(data.table, data.cache.quality, exclude=rule)
    table = data.table.assign(**{str(name): flags[name] for name in flags})
    file_bits = data.cache.full_scale.bit_length()
    for line in depth_lines(bit_depths(table, data.cache.quality, file_bits=file_bits)):
        console.print(line, markup=False)
    if (table[Metadata.FLAGS] != "").any():
        console.print(flag_table(count_flags_by_class(flags, table)))
    return replace(data, table=table)


def measure_confounds(data: PreparedData) -> dict[str, dict[str, float]]:
    """Measure how well position, plate or views of the images in which little remains separate the classes.

    Each measure is empty where there are fewer than two classes.
    """
    if len(data.classes) < 2:
        return probe_confounds(data.table)
    rows = view_fields(data.table, (Metadata.PLATE, Metadata.WELL), Metadata.CONDITION)
    views = measure_views(data.cache.raw, rows, data.channels, data.cache.quality, data.table.index)
    return probe_confounds(data.table, views)


def _show_split(table: pd.DataFrame, console: Console, group: str) -> None:
    summary = Table(title="Wells (fields) in each part; no well stands in two", title_justify="left")
    counts = describe_split(table, table[Metadata.SPLIT])
    summary.add_column("class")
    for part in PARTS:
        summary.add_column(part, justify="right")
    for name, rows in counts.groupby("class"):
        cells = {row["part"]: f"{row['wells']} ({row['fields']})" for _, row in rows.iterrows()}
        summary.add_row(str(name), *(cells.get(part, "0") for part in PARTS))
    leaked = leaked_wells(table, table[Metadata.SPLIT])
    divided = [] if group == "well" else leaked_wells(table, table[Metadata.SPLIT], group)
    unassigned = table[Metadata.CONDITION].notna() & table[Metadata.SPLIT].isna()
    if leaked:
        summary.title = "Wells (fields) in each part"
    console.print(summary)
    if divided:
        console.print(
            f"The given split divides {format_count(len(divided), group)} (for example {divided[0]}) that "
            f"--group {group} requires to be whole."
        )
    if unassigned.any():
        console.print(f"{unassigned.sum()} fields are in no part of the given split and are not used.")
    if leaked:
        console.print(leak_sentence(leaked), style="bold red", markup=False)
