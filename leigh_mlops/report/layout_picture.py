"""Layout of the classes on their plates, as a figure and as letters in a terminal."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.text import Text

from leigh_mlops.plates import plate_shape, well_name
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.plate_axes import WIDE_PLATE, draw_plate_axes
from leigh_mlops.report.style import INK, add_figure_legend, class_colours, escape_dollars, new_figure

__all__ = ["layout_letters", "layout_picture"]

MAX_PLATES = 12
_WELL = [Metadata.PLATE, Metadata.WELL]


def layout_picture(table: pd.DataFrame, sentence: str = "") -> Figure:
    """Draw every plate as a grid of wells in the colours of their classes.

    A well without a class is grey; one whose fields are all excluded is crossed out. Only the
    first 12 plates are drawn, and the figure says how many are missing.

    Args:
        table: Image table; ``Metadata_Excluded`` is used if present.
        sentence: Text above the figure.

    Raises:
        ValueError: The table has no row.
    """
    if table.empty:
        raise ValueError("the table has no row: there is no plate to draw.")
    wells = _wells(table)
    plates = list(dict.fromkeys(wells[Metadata.PLATE]))
    drawn = plates[:MAX_PLATES]
    across = min(len(drawn), 3)
    down = -(-len(drawn) // across)
    rows, cols = plate_shape(table[Metadata.ROW], table[Metadata.COLUMN])
    figure = new_figure(0.6 + across * max(3.6, 0.27 * cols), 0.9 + down * max(2.4, 0.27 * rows), layout="compressed")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    colours = class_colours(sorted(wells[Metadata.CONDITION].dropna().unique()))
    for axes, plate in zip(panels, drawn, strict=False):
        _draw_plate(axes, wells[wells[Metadata.PLATE] == plate], (rows, cols), colours)
        axes.set_title(escape_dollars(f"plate {plate}"), fontsize=11, color=INK, loc="left")
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    _add_legend_entries(panels[0], wells, colours)
    add_figure_legend(figure, panels[0])
    more = f" {len(plates) - len(drawn)} more plates are not drawn." if len(plates) > len(drawn) else ""
    figure.suptitle(escape_dollars(sentence + more), fontsize=11, color=INK, wrap=True, ha="left", x=0.02)
    return figure


def _wells(table: pd.DataFrame) -> pd.DataFrame:
    """One row per well: its position, its class, and whether all of its fields are excluded."""
    excluded = table[Metadata.EXCLUDED] if Metadata.EXCLUDED in table else pd.Series(False, index=table.index)
    grouped = table.assign(excluded=excluded.astype(bool)).groupby(_WELL, sort=True)
    places = grouped[[Metadata.ROW, Metadata.COLUMN, Metadata.CONDITION]].first()
    return places.join(grouped["excluded"].all()).reset_index()


def _draw_plate(axes: Axes, wells: pd.DataFrame, shape: tuple[int, int], colours: Mapping[str, str]) -> None:
    size = 90 if shape[1] <= WIDE_PLATE else 45
    draw_plate_axes(axes, shape, size)
    shades = wells[Metadata.CONDITION].map(colours).fillna("#B5B5B5")
    axes.scatter(wells[Metadata.COLUMN], wells[Metadata.ROW], s=size, c=list(shades))
    out = wells[wells["excluded"]]
    axes.scatter(out[Metadata.COLUMN], out[Metadata.ROW], s=size, c="black", marker="x", linewidths=1)


def _add_legend_entries(axes: Axes, wells: pd.DataFrame, colours: Mapping[str, str]) -> None:
    counts = wells[Metadata.CONDITION].value_counts()
    for name, colour in colours.items():
        axes.scatter([], [], s=60, color=colour, label=escape_dollars(f"{name} ({counts[name]} wells)"))
    if wells[Metadata.CONDITION].isna().any():
        axes.scatter([], [], s=60, color="#B5B5B5", label="no class")
    if wells["excluded"].any():
        axes.scatter([], [], s=60, c="black", marker="x", label="all fields excluded")


def layout_letters(table: pd.DataFrame, plate: str) -> Text:
    """Grid of letters for one plate: each class is shown as the shortest prefix that tells all classes apart.

    Args:
        table: Image table.
        plate: Name of the plate.

    Returns:
        One line per used row, with a dot for a well without an image and ``?`` for one without a class.
    """
    wells = _wells(table[table[Metadata.PLATE].astype("str") == plate])
    classes = sorted(table[Metadata.CONDITION].dropna().unique())
    marks, colours = _class_prefixes(classes), class_colours(classes)
    width = max(map(len, marks.values()), default=1)
    placed = {(r, c): k for r, c, k in wells[[Metadata.ROW, Metadata.COLUMN, Metadata.CONDITION]].to_numpy()}
    rows = range(wells[Metadata.ROW].min(), wells[Metadata.ROW].max() + 1)
    cols = range(wells[Metadata.COLUMN].min(), wells[Metadata.COLUMN].max() + 1)
    text = Text("    " + " ".join(f"{col:>{max(width, 2)}}" for col in cols), style="dim")
    for row in rows:
        text.append(f"\n{well_name(row, 1)[:-2]:>3} ", style="dim")
        for col in cols:
            if (row, col) in placed:
                name = placed[row, col]
                mark, shade = (marks[name], colours[name]) if name in marks else ("?", "")
            else:
                mark, shade = ".", "dim"
            text.append(f"{mark:>{max(width, 2)}} ", style=shade)
    return text


def _class_prefixes(classes: list[str]) -> dict[str, str]:
    for length in range(1, max(map(len, classes), default=1) + 1):
        marks = {name: name[:length] for name in classes}
        if len(set(marks.values())) == len(classes):
            return marks
    return {name: name for name in classes}
