"""From a folder of images to prepared data: table, split, cache, said in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from leigh_mlops.errors import LeighError
from leigh_mlops.images import open_cache
from leigh_mlops.plates import (
    assign_split,
    describe_split,
    find_images,
    is_demo,
    leaked_wells,
    require_classes,
    write_demo_plate,
)
from leigh_mlops.progress import Progress
from leigh_mlops.training import PARTS, PreparedData

__all__ = ["DEMO", "DataSource", "Divided", "divided_table", "find_data", "prepare", "with_cache"]

DEMO = Path("demo")


@dataclass(frozen=True)
class DataSource:
    """Where the images are and how their wells are divided.

    Attributes:
        path: Folder or table; ``None`` for the demo plate, which is made in ``demo/``.
        platemap: What stands in each well, where it lies elsewhere.
        group: What is never divided: ``well``, ``plate``, ``batch`` or ``donor``.
        seed: Of the split.
        skip_broken: Leave out images that can't be read instead of refusing them.
    """

    path: Path | None
    platemap: Path | None = None
    group: str = "well"
    seed: int = 0
    skip_broken: bool = False


Divided = tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]
"""An image table, its channels and its classes."""


def divided_table(source: DataSource, console: Console) -> Divided:
    """Find the images and divide their wells; nothing is written.

    Raises:
        LeighError: There are no images, only one class, or too few wells for a split.
    """
    table, channels, classes = find_data(source, console)
    require_classes(table)
    table = table.assign(Metadata_Split=assign_split(table, group=source.group, seed=source.seed))
    _show_split(table, console)
    return table, channels, classes


def prepare(
    source: DataSource,
    table: pd.DataFrame,
    channels: Sequence[str],
    classes: Sequence[str],
    image_size: int,
    console: Console,
) -> PreparedData:
    """Add the pixels to a divided table.

    Raises:
        LeighError: Images can't be read, and ``source`` does not say to leave them out.
    """
    data = with_cache(table, channels, classes, image_size, console, demo=is_demo(source.path or DEMO))
    if data.failures and not source.skip_broken:
        raise LeighError(
            f"{len(data.failures)} of {len(table)} fields can't be used, the first because "
            f"{data.failures[0].reason.rstrip('.')}; mend or remove them, or leave them out with --skip-broken."
        )
    for failure in data.failures:
        console.print(f"  left out: {failure.reason}", markup=False)
    return data


def find_data(source: DataSource, console: Console) -> Divided:
    """The image table, its channels and its classes; the demo plate is made where it does not stand yet."""
    path = source.path
    if path is None:
        path = DEMO
        if not (path / "platemap.csv").exists():
            console.print(f"No --data: a demo plate with known truth is made in {path}/.")
            write_demo_plate(path, wells_per_class=32, seed=0)
    found = find_images(path, platemap=source.platemap)
    wells = found.table[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    console.print(
        f"{path}: {len(found.table)} fields of {len(wells)} wells, "
        f"channels {', '.join(found.channels)} (names read as {found.preset}).",
        markup=False,
    )
    if found.unmatched:
        console.print(
            f"  {len(found.unmatched)} files match no pattern and are left out, for example {found.unmatched[0].name}",
            markup=False,
        )
    conditions = found.table.get("Metadata_Condition", pd.Series(dtype=str)).dropna()
    return found.table, found.channels, tuple(sorted(map(str, conditions.unique())))


def with_cache(
    table: pd.DataFrame,
    channels: Sequence[str],
    classes: Sequence[str],
    image_size: int,
    console: Console,
    *,
    demo: bool = False,
) -> PreparedData:
    """Add the pixels at one size; a bar shows how far it is."""
    with Progress(console, f"reading images at {image_size} px", len(table)) as progress:
        cache = open_cache(table, channels, image_size, progress=progress.advance)
    return PreparedData(table, tuple(channels), tuple(classes), cache, demo)


def _show_split(table: pd.DataFrame, console: Console) -> None:
    shown = Table(title="Wells (fields) in each part; no well stands in two", title_justify="left")
    counts = describe_split(table, table["Metadata_Split"])
    shown.add_column("class")
    for part in PARTS:
        shown.add_column(part, justify="right")
    for name, rows in counts.groupby("class"):
        cells = {row["part"]: f"{row['wells']} ({row['fields']})" for _, row in rows.iterrows()}
        shown.add_row(str(name), *(cells.get(part, "0") for part in PARTS))
    leaked = leaked_wells(table, table["Metadata_Split"])
    if leaked:
        shown.title = "Wells (fields) in each part"
    console.print(shown)
    if leaked:
        console.print(
            f"[bold red]Leak: {len(leaked)} wells stand in more than one part of the split handed in "
            f"(for example {leaked[0]}). Scores on them say how well the network remembers, not how well it sees."
        )
