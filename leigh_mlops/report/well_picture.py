"""Pictures of plates with a sign for each well: the contents of a plate map, and what a search does with the wells."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leigh_mlops.plates import PlatemapReading, is_treated, parse_well, plate_shape, standard_controls
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.well_uses import WellUse
from leigh_mlops.report.plate_axes import WIDE_PLATE, draw_plate_axes
from leigh_mlops.report.platemap_sentences import cell_sentence, header_phrase
from leigh_mlops.report.style import INK, class_colours, escape_dollars, new_figure

__all__ = ["MAX_DRAWN_PLATES", "platemap_picture", "use_picture"]

MAX_DRAWN_PLATES = 12
_GREY = "#B5B5B5"
_RED = "#C00000"
_USE_LETTERS = {WellUse.VAL: "V", WellUse.TEST: "T", WellUse.LEAK: "!", WellUse.UNASSIGNED: "-"}
_CONTROL_LETTERS = {"negcon": "N", "poscon": "P", "empty": "E"}
_MAX_LINES = 14


@dataclass(frozen=True)
class _Key:
    """Entry of the legend for wells with a sign.

    Attributes:
        rows: Column of the wells that is true for those that have it.
        label: Meaning of the sign.
        letter: Letter in the well.
        hollow: Whether the well is a ring.
        mark: Sign over the well: ``x``, or ``o`` for a red ring around it.
    """

    rows: str
    label: str
    letter: str = ""
    hollow: bool = False
    mark: str = ""


def use_picture(uses: pd.DataFrame, headline: str = "") -> Figure:
    """Draw what a search would do with each well.

    Args:
        uses: As :func:`~leigh_mlops.plates.well_uses.well_uses` returns it.
        headline: Text above the plates.

    Raises:
        ValueError: There is no well.
    """
    wells = uses.assign(**{use.name: uses["use"] == use for use in WellUse})
    keys = [
        _Key(use.name, use.value, letter=_USE_LETTERS.get(use, ""), hollow=use is WellUse.TREATED, mark=_use_mark(use))
        for use in WellUse
        if use not in (WellUse.TRAIN, WellUse.NO_CLASS)
    ]
    train = int(wells[WellUse.TRAIN.name].sum())
    lines = [f"{train} wells without a sign are in the training part."] if train else []
    return _draw(wells, keys, headline, lines)


def _use_mark(use: WellUse) -> str:
    return {WellUse.EXCLUDED: "x", WellUse.LEAK: "o"}.get(use, "")


def platemap_picture(reading: PlatemapReading, name: str) -> Figure:
    """Draw the contents of each well of a plate map, and write what its columns were taken for.

    Treated wells are rings, with a dot that grows with the dose, controls have letters, and red
    rings are around wells with damaged cells.

    Args:
        reading: The plate map.
        name: Name of the file, for the headline.

    Raises:
        ValueError: The map has no well.
    """
    wells = _map_wells(reading)
    keys = [
        *(_Key(kind, f"control: {kind}", letter=letter) for kind, letter in _CONTROL_LETTERS.items()),
        _Key("treated", "with a compound (dot: dose)", hollow=True),
        _Key("damaged", "with a damaged cell", mark="o"),
    ]
    lines = [
        "Columns: " + "; ".join(header_phrase(header) for header in reading.headers) + ".",
        *(cell_sentence(problem) for problem in reading.problems),
    ]
    return _draw(wells, keys, f"Plate map {name}", lines)


def _map_wells(reading: PlatemapReading) -> pd.DataFrame:
    """Wells of a plate map with their places, kinds and relative doses."""
    table = reading.table
    places = [parse_well(str(name)) for name in table[Metadata.WELL]]
    wells = table.assign(
        Metadata_Plate=table[Metadata.PLATE].astype(str) if Metadata.PLATE in table else "",
        Metadata_Row=[row for row, _ in places],
        Metadata_Col=[col for _, col in places],
    )
    if Metadata.CONDITION not in wells:
        wells[Metadata.CONDITION] = None
    controls, _ = standard_controls(wells)
    if controls is not None:
        wells[Metadata.CONTROL] = controls
    for kind in _CONTROL_LETTERS:
        wells[kind] = (wells[Metadata.CONTROL] == kind) if Metadata.CONTROL in wells else False
    damaged = {problem.well for problem in reading.problems}
    names = wells[Metadata.PLATE] + "/" + wells[Metadata.WELL]
    maps = wells.get("Metadata_Plate_Map_Name", pd.Series("", wells.index)).astype(str) + "/" + wells[Metadata.WELL]
    wells["damaged"] = names.isin(damaged) | maps.isin(damaged) | wells[Metadata.WELL].isin(damaged)
    wells["treated"] = is_treated(wells)
    wells["dose"] = _relative_doses(wells, [header.column for header in reading.headers if header.meaning == "dose"])
    return wells


def _relative_doses(wells: pd.DataFrame, columns: Sequence[str]) -> "pd.Series[float]":
    """Rank of each dose among the doses of its column, from 0 to 1; 0 without a dose."""
    ranks = pd.Series(0.0, wells.index)
    for column in columns:
        if column in wells:
            doses = pd.to_numeric(wells[column], errors="coerce")
            ranks = ranks.mask(doses > 0, doses.where(doses > 0).rank(pct=True, method="dense"))
    return ranks


def _draw(wells: pd.DataFrame, keys: Sequence[_Key], headline: str, lines: Sequence[str]) -> Figure:
    if wells.empty:
        raise ValueError("there is no well to draw")
    plates = list(dict.fromkeys(wells[Metadata.PLATE]))
    drawn = plates[:MAX_DRAWN_PLATES]
    across = min(len(drawn), 3)
    down = -(-len(drawn) // across)
    shape = plate_shape(wells[Metadata.ROW], wells[Metadata.COLUMN])
    width = max(7.0, 0.6 + across * max(4.2, 0.31 * shape[1]))
    wrapped = [part for line in _shorten(lines) for part in textwrap.wrap(line, int(13 * width))]
    above, below = down * max(3.0, 0.31 * shape[0]) + 1.4, 0.15 + 0.17 * len(wrapped)
    figure = new_figure(width, above + below)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[above, below])[:, 0]
    panels = top.subplots(down, across, squeeze=False).ravel()
    colours = class_colours(sorted(wells[Metadata.CONDITION].dropna().astype(str).unique()))
    for axes, plate in zip(panels, drawn, strict=False):
        _draw_wells(axes, wells[wells[Metadata.PLATE] == plate], shape, colours, keys)
        axes.set_title(escape_dollars(f"plate {plate}".strip()), fontsize=11, color=INK, loc="left")
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    _add_entries(panels[0], wells, colours, keys)
    handles, names = panels[0].get_legend_handles_labels()
    top.legend(
        handles,
        names,
        loc="outside lower left",
        ncols=min(max(2, int(width / 2.6)), len(handles)),
        frameon=False,
        fontsize=10,
    )
    more = f" {len(plates) - len(drawn)} more plates are not drawn." if len(plates) > len(drawn) else ""
    title = "\n".join(textwrap.fill(line, int(11 * width)) for line in (headline + more).splitlines())
    top.suptitle(escape_dollars(title), fontsize=11, color=INK, ha="left", x=0.02)
    bottom.text(0.02, 1.0, escape_dollars("\n".join(wrapped)), fontsize=9, color=INK, ha="left", va="top")
    return figure


def _shorten(lines: Sequence[str]) -> list[str]:
    shown = list(lines[:_MAX_LINES])
    return [*shown, f"… and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else shown


def _draw_wells(
    axes: Axes, wells: pd.DataFrame, shape: tuple[int, int], colours: dict[str, str], keys: Sequence[_Key]
) -> None:
    size = 150 if shape[1] <= WIDE_PLATE else 55
    draw_plate_axes(axes, shape, size)
    for (_, well), colour in zip(wells.iterrows(), _shades(wells, colours), strict=True):
        _draw_well(axes, well, colour, size, [key for key in keys if well[key.rows]])


def _shades(wells: pd.DataFrame, colours: dict[str, str]) -> list[str]:
    return [colours.get(str(name), _GREY) for name in wells[Metadata.CONDITION]]


def _draw_well(axes: Axes, well: "pd.Series[Any]", colour: str, size: float, keys: Sequence[_Key]) -> None:
    x, y = well[Metadata.COLUMN], well[Metadata.ROW]
    hollow = any(key.hollow for key in keys)
    axes.scatter(
        [x], [y], s=size, facecolors="none" if hollow else colour, edgecolors=colour, linewidths=1.6 if hollow else 0
    )
    dose = well.get("dose", 0.0)
    if hollow and isinstance(dose, float) and dose > 0:
        axes.scatter([x], [y], s=0.45 * size * dose, c=colour, linewidths=0)
    for key in keys:
        if key.letter:
            shade = colour if hollow else "white"
            axes.text(
                x, y, key.letter, size=7 if size > 100 else 5, color=shade, weight="bold", ha="center", va="center"
            )
        if key.mark == "x":
            axes.scatter([x], [y], s=size, c="black", marker="x", linewidths=1)
        if key.mark == "o":
            axes.scatter([x], [y], s=1.7 * size, facecolors="none", edgecolors=_RED, linewidths=1.6)


def _add_entries(axes: Axes, wells: pd.DataFrame, colours: dict[str, str], keys: Sequence[_Key]) -> None:
    """Add the entries of the legend: classes, and the signs that occur."""
    counts = wells[Metadata.CONDITION].astype("str").value_counts()
    for name, colour in colours.items():
        axes.scatter([], [], s=60, color=colour, label=escape_dollars(f"{name} ({counts[name]} wells)"))
    if wells[Metadata.CONDITION].isna().any():
        axes.scatter([], [], s=60, color=_GREY, label=f"no class ({int(wells[Metadata.CONDITION].isna().sum())})")
    for key in keys:
        if not (number := int(wells[key.rows].sum())):
            continue
        label = f"{key.label} ({number})"
        if key.letter:
            axes.scatter([], [], s=60, color=INK, marker=f"${key.letter}$", label=label)
        elif key.mark == "x":
            axes.scatter([], [], s=60, c="black", marker="x", label=label)
        else:
            edge = _RED if key.mark else INK
            axes.scatter([], [], s=60, facecolors="none", edgecolors=edge, linewidths=1.6, label=label)
