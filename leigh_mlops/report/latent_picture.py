"""Figure of the latent map: fields by class, plate and well, with the outliers named."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leigh_mlops.job_columns import LATENT, JobColumn
from leigh_mlops.plates import well_name
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.style import GRID, INK, MUTED, PALETTE, class_colours, escape_dollars, new_figure, style_axes
from leigh_mlops.report.table_columns import Columns, float_values, is_missing, row_count, select_rows

__all__ = ["MAX_NAMED_OUTLIERS", "outlying_rows", "latent_picture", "variance_share"]

MAX_NAMED_OUTLIERS = 8
MAX_NAMED_WELLS = 24
MAX_GROUPS = 14
MARKERS = "os^Dv"
POSITION_MAP = "cividis"
"""Perceptually uniform and safe for colour-blind readers (Nuñez et al. 2018)."""
OTHER_COLOUR = "#B5B5B5"

_WELL = [Metadata.PLATE, Metadata.WELL]
_USED_COLUMNS = [
    *_WELL, Metadata.ROW, Metadata.COLUMN, Metadata.CONDITION, JobColumn.FIELD, JobColumn.SEEN,
    JobColumn.LATENT_DISTANCE, LATENT(1), LATENT(2),
]  # fmt: skip


def outlying_rows(fields: Columns, limit: float) -> list[int]:
    """Numbers of the rows with a ``latent_distance`` above the limit, the farthest first."""
    distances = float_values(fields[JobColumn.LATENT_DISTANCE])
    outside = np.flatnonzero(distances > limit)
    return [int(row) for row in outside[np.argsort(-distances[outside], kind="stable")]]


def variance_share(fields: Columns, column: str, group: str) -> float:
    """Share of the variance of a column between wells that their group explains.

    It is the adjusted R squared of the groups' means, over the means of the wells: fields of a well are
    not independent measurements, and many groups explain some variance by chance.

    Args:
        fields: Columns of the fields, with ``Metadata_Plate`` and ``Metadata_Well``.
        column: Numeric column.
        group: Column that is constant within a well, such as ``Metadata_Condition``; wells without it are left out.

    Returns:
        0 to 1; NaN with fewer than two groups, a single well in each, or no variance.
    """
    used = {name: fields[name] for name in _WELL} | {"value": fields[column], "group": fields[group]}
    grouped = pd.DataFrame(used).dropna(subset=["group"]).groupby(_WELL)
    wells = grouped.agg(value=("value", "mean"), group=("group", "first"))
    n, k = len(wells), wells["group"].nunique()
    total = float(np.square(wells["value"] - wells["value"].mean()).sum())
    if k < 2 or n <= k or total == 0:
        return float("nan")
    within = float(np.square(wells["value"] - wells.groupby("group")["value"].transform("mean")).sum())
    return max(0.0, 1 - within / (n - k) / (total / (n - 1)))


def latent_picture(fields: Columns, explained: Sequence[float], limit: float) -> Figure:
    """Draw the first two latent components of each field, coloured by class, by plate, and by position.

    Up to 24 wells are named; with more, row and column have a panel each. Fields used to train or choose
    the model are hollow. Each title gives the share of a component's variance between wells that the
    panel's grouping explains. The farthest fields are numbered and named below; those beyond the frame
    are drawn on its edge.

    Args:
        fields: Columns of the fields: ``field``, ``Metadata_Plate``, ``_Well``, ``_Row``, ``_Col``,
            ``latent_1`` and further ones, ``latent_distance``, and if known
            ``Metadata_Condition`` and ``seen``.
        explained: Share of the training fields' variance along each component, 0 to 1.
        limit: ``latent_distance`` above which a field is an outlier.

    Raises:
        ValueError: There is no field, or no component.
    """
    if not row_count(fields) or not len(explained):
        raise ValueError(f"{row_count(fields)} fields and {len(explained)} components: there is nothing to draw.")
    vertical = LATENT(2) if len(explained) > 1 else JobColumn.LATENT_DISTANCE
    # Drawn in a random order, or the last class would cover the others.
    shuffled = np.random.default_rng(0).permutation(row_count(fields)).tolist()
    fields = select_rows({name: fields[name] for name in _USED_COLUMNS if name in fields}, shuffled)
    places = _clip_outliers(np.stack([float_values(fields[name]) for name in (LATENT(1), vertical)], axis=1))
    panels = _panels(fields)
    named = outlying_rows(fields, limit)[:MAX_NAMED_OUTLIERS]
    across, down = (2, 2) if len(panels) == 4 else (len(panels), 1)
    figure = new_figure(5.4 * across, 4.6 * down + 0.9 + 0.13 * len(named))
    for each, (title, group, draw) in zip(figure.subplots(down, across).ravel(), panels.values(), strict=True):
        draw(each, fields, places)
        _ring_outliers(each, places[named], near=0.04 * np.ptp(places, axis=0))
        style_axes(
            each,
            x=_axis_label(explained, 1),
            y=_axis_label(explained, 2),
            title=escape_dollars(f"{title}{_variance_text(fields, group)}"),
        )
        each.grid(color=GRID, linewidth=0.7)
        each.set_axisbelow(True)
    figure.supxlabel(escape_dollars(_footnote(fields, named, limit)), fontsize=9, color=INK, ha="left", x=0.02)
    return figure


_Draw = Callable[[Axes, Columns, NDArray[np.float64]], None]


def _panels(fields: Columns) -> dict[str, tuple[str, str, _Draw]]:
    """Title, column whose share of the variance is given, and drawing function of each panel.

    Fields of which none has a class get no panel of classes.
    """
    panels: dict[str, tuple[str, str, _Draw]] = {}
    if not all(map(is_missing, fields.get(Metadata.CONDITION, ()))):
        panels["class"] = ("class", Metadata.CONDITION, _draw_by_class)
    panels["plate"] = ("plate", Metadata.PLATE, _draw_by_plate)
    if len(set(zip(*(fields[name] for name in _WELL), strict=True))) <= MAX_NAMED_WELLS:
        return panels | {"well": ("well", "", _draw_by_well)}
    return panels | {
        "row": ("row", Metadata.ROW, _draw_by_row),
        "column": ("column", Metadata.COLUMN, _draw_by_column),
    }


def _clip_outliers(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip outlying positions (N, 2) to a frame that leaves room for the others."""
    low, middle, high = np.percentile(places, [5, 50, 95], axis=0)
    room = 2.5 * np.maximum(np.maximum(middle - low, high - middle), 1e-9)
    return np.clip(places, middle - room, middle + room)


def _axis_label(explained: Sequence[float], number: int) -> str:
    if number > len(explained):
        return "distance from the training fields"
    return f"component {number} ({explained[number - 1]:.0%} of the training fields' variance)"


def _variance_text(fields: Columns, group: str) -> str:
    if group not in fields:
        return ""
    shares = [variance_share(fields, name, group) for name in (LATENT(1), LATENT(2)) if name in fields]
    if not np.isfinite(shares).any():
        return ""
    return ": " + ", ".join(f"{share:.0%} of component {n}" for n, share in enumerate(shares, start=1))


def _largest_groups(values: Sequence[str | None]) -> list[str]:
    """Names in alphabetical order; if there are too many, those with the most fields."""
    counts = Counter(value for value in values if value is not None)
    return sorted(name for name, _ in counts.most_common(MAX_GROUPS))


def _draw_by_class(axes: Axes, fields: Columns, places: NDArray[np.float64]) -> None:
    _draw_by_group(axes, fields, places, Metadata.CONDITION, "no class")


def _draw_by_plate(axes: Axes, fields: Columns, places: NDArray[np.float64]) -> None:
    _draw_by_group(axes, fields, places, Metadata.PLATE, "other plates")


def _draw_by_group(axes: Axes, fields: Columns, places: NDArray[np.float64], column: str, others: str) -> None:
    groups = [None if is_missing(value) else str(value) for value in fields.get(column, [None] * len(places))]
    names, values = _largest_groups(groups), np.asarray(groups, object)
    # Classes have the same colours in every figure.
    colours = class_colours(names)
    left = np.asarray([group not in names for group in groups])
    if left.any():
        _draw_dots(axes, fields, places, left, OTHER_COLOUR, "o", f"{others} ({left.sum()})")
    for place, name in enumerate(names):
        marker = MARKERS[(place if len(names) <= len(PALETTE) else place // len(PALETTE)) % len(MARKERS)]
        chosen = values == name
        _draw_dots(axes, fields, places, chosen, colours[name], marker, f"{name} ({chosen.sum()})")
    axes.legend(loc="best", fontsize=8, framealpha=0.8, edgecolor="none")


def _draw_dots(
    axes: Axes,
    fields: Columns,
    places: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    colour: str,
    marker: str,
    label: str,
) -> None:
    seen, size = _training_mask(fields), _marker_size(len(places))
    hollow = chosen & seen
    axes.scatter(
        places[hollow, 0], places[hollow, 1], s=size, facecolors="none", edgecolors=colour, marker=marker,
        linewidths=0.8, alpha=0.8,
    )  # fmt: skip
    full = chosen & ~seen
    axes.scatter(places[full, 0], places[full, 1], s=size, c=colour, marker=marker, linewidths=0, alpha=0.8)
    axes.scatter([], [], s=40, c=colour, marker=marker, label=escape_dollars(label))


def _training_mask(fields: Columns) -> NDArray[np.bool_]:
    return np.asarray(fields.get(JobColumn.SEEN, [False] * row_count(fields)), bool)


def _marker_size(count: int) -> float:
    return 34 if count < 200 else 20 if count < 1000 else 9


def _draw_by_well(axes: Axes, fields: Columns, places: NDArray[np.float64]) -> None:
    """Draw the fields of each well, connected to its name at their median."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(*(fields[name] for name in _WELL), strict=True)):
        rows.setdefault(key, []).append(row)
    for (_, well), of_well in sorted(rows.items()):
        own = places[of_well]
        centre = np.median(own, axis=0)
        for place in own:
            axes.plot(*np.stack([centre, place]).T, color="#CCCCCC", linewidth=0.7, zorder=1)
        axes.scatter(own[:, 0], own[:, 1], s=6, c=MUTED, zorder=2)
        name = escape_dollars(str(well))
        axes.text(centre[0], centre[1], name, fontsize=8, color=INK, ha="center", va="center", zorder=3)


def _draw_by_row(axes: Axes, fields: Columns, places: NDArray[np.float64]) -> None:
    _draw_by_position(axes, fields[Metadata.ROW], places, lambda row: well_name(row, 1)[:-2])


def _draw_by_column(axes: Axes, fields: Columns, places: NDArray[np.float64]) -> None:
    _draw_by_position(axes, fields[Metadata.COLUMN], places, str)


def _draw_by_position(
    axes: Axes, numbers: Sequence[int], places: NDArray[np.float64], name: Callable[[int], str]
) -> None:
    size = _marker_size(len(places))
    drawn = axes.scatter(places[:, 0], places[:, 1], s=size, c=numbers, cmap=POSITION_MAP, linewidths=0, alpha=0.9)
    shown = sorted({int(number) for number in numbers})
    shown = shown[:: -(-len(shown) // 12)]
    bar = axes.figure.colorbar(drawn, ax=axes, ticks=shown, pad=0.02)
    bar.ax.set_yticklabels([name(number) for number in shown])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)


def _ring_outliers(axes: Axes, places: NDArray[np.float64], near: NDArray[np.float64]) -> None:
    """Ring and number positions (M, 2); those no farther apart than ``near`` (2,) share one label."""
    labels: list[tuple[NDArray[np.float64], list[str]]] = []
    for number, place in enumerate(places, start=1):
        beside = [numbers for other, numbers in labels if (np.abs(other - place) <= near).all()]
        if beside:
            beside[0].append(str(number))
        else:
            labels.append((place, [str(number)]))
    axes.scatter(places[:, 0], places[:, 1], s=90, facecolors="none", edgecolors=INK, linewidths=0.9, zorder=4)
    for (x, y), numbers in labels:
        text, offset = ", ".join(numbers), (-6, 6)
        axes.annotate(text, (x, y), offset, textcoords="offset points", fontsize=8, color=INK, ha="right", zorder=5)


def _footnote(fields: Columns, named: Sequence[int], limit: float) -> str:
    lines = ["Above each panel: how much of the variance between wells goes with what it shows."]
    if _training_mask(fields).any() and not _training_mask(fields).all():
        lines.append("Hollow: fields with which the model was trained or chosen.")
    outside = len(outlying_rows(fields, limit))
    if outside:
        shown = "" if outside <= MAX_NAMED_OUTLIERS else f", the {MAX_NAMED_OUTLIERS} farthest named here"
        where = f"far out (distance above {limit:.1f}){shown}; beyond the frame, on its edge"
        lines.append(f"{outside} of {row_count(fields)} fields lie {where}:")
        lines += [
            f"{number}  {fields[JobColumn.FIELD][row]}, distance {fields[JobColumn.LATENT_DISTANCE][row]:.1f}"
            for number, row in enumerate(named, start=1)
        ]
    return "\n".join(lines)
