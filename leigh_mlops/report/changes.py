"""What counterfactuals change, measure by measure, beside the real difference of the classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leigh_mlops.report.style import INK, MUTED, PALETTE, dress, legend_below, new_figure, plain
from leigh_mlops.report.words import counted
from leigh_mlops.scores.changes import PairedChange

__all__ = ["Direction", "change_figure", "change_sentences", "measure_name"]

_REAL, _CHANGE = ("real difference of the classes", PALETTE[1], "D"), ("counterfactual change", PALETTE[0], "o")


@dataclass(frozen=True)
class Direction:
    """What changes on the way from one class to another.

    Attributes:
        source: Class that the model sees in the images.
        target: Class that their counterfactuals lead to.
        changes: By measure, such as ``intensity_TMRM``.
        wells: Wells whose fields are compared.
        unseen: Whether the model saw none of them in training.
        left_out: Fields whose counterfactual is red.
    """

    source: str
    target: str
    changes: Mapping[str, PairedChange]
    wells: int
    unseen: bool
    left_out: int = 0


def measure_name(measure: str) -> str:
    """A measure in words.

    Example:
        >>> measure_name("mitochondria_intensity_TMRM"), measure_name("nuclei_area")
        ('TMRM in mitochondria (raw intensity)', 'area of nuclei (share of the field)')
        >>> measure_name("intensity_TMRM"), measure_name("texture_TMRM")
        ('mean TMRM (raw intensity)', 'texture of TMRM (finest contrast per mean)')
    """
    kind, _, channel = measure.partition("_")
    if kind == "intensity":
        return f"mean {channel} (raw intensity)"
    if kind == "texture":
        return f"texture of {channel} (finest contrast per mean)"
    region, found, channel = measure.partition("_intensity_")
    if found:
        return f"{channel} in {region} (raw intensity)"
    return f"area of {measure.removeprefix('area_').removesuffix('_area')} (share of the field)"


def change_figure(directions: Sequence[Direction], heading: str) -> Figure:
    """One row for each measure, one column for each direction.

    Every panel has its own unit and 0 in its middle, so that a look down a column shows whether
    both marks lie on the same side, and how far.

    Args:
        directions: Two of them say all of two classes; all have the same measures.
        heading: What is shown.

    Raises:
        ValueError: There is no direction.
    """
    if not directions:
        raise ValueError("directions is empty: there is nothing to draw.")
    measures = list(directions[0].changes)
    figure = new_figure(3.4 + 4.4 * len(directions), 1.6 + 0.72 * len(measures))
    note = "Percent: the change as a share of the real difference. Each row has its own scale with 0 in the middle."
    figure.suptitle(f"{plain(heading)}\n{note}", fontsize=12, color=INK)
    panels = figure.subplots(len(measures), len(directions), squeeze=False)
    for place, measure in enumerate(measures):
        for axes, direction in zip(panels[place], directions, strict=True):
            _panel(axes, direction.changes[measure])
            title = f"from {direction.source} towards {direction.target} ({counted(direction.wells, 'well')})"
            dress(axes, x="", y="", title="" if place else plain(title))
            axes.tick_params(labelsize=8)
        panels[place][0].set_ylabel(
            plain(measure_name(measure).replace(" (", "\n(")), rotation=0, ha="right", va="center", fontsize=10
        )
    for name, colour, marker in (_REAL, _CHANGE):
        panels[0][0].plot([], [], marker, color=colour, markersize=8, label=f"{name}, with its 95 % interval")
    legend_below(figure, panels[0][0])
    return figure


def change_sentences(direction: Direction) -> list[str]:
    """What changes on one way, in words, the intensities of whole fields first.

    Args:
        direction: The measures and the wells they come from.
    """
    which = "that the model had not seen" if direction.unseen else "among them some that it was trained on"
    way = f"Towards {direction.target} (from {direction.source}, {counted(direction.wells, 'well')}, {which})"
    said = [
        f"{way}, {_effect(name, change)}."
        for name, change in direction.changes.items()
        if name.startswith("intensity_") and math.isfinite(change.low)
    ]
    differ = [change for change in direction.changes.values() if change.differs]
    if differ:
        agree = sum(change.agrees is True for change in differ)
        said.append(
            f"Towards {direction.target}, signs agree in {agree} of the {counted(len(differ), 'measure')} in which the "
            "classes really differ (false discovery rate below 5 %)."
        )
    if direction.left_out:
        said.append(
            f"Towards {direction.target}, {counted(direction.left_out, 'field')} with a red counterfactual "
            f"{'is' if direction.left_out == 1 else 'are'} left out of these measures."
        )
    return said


def _effect(measure: str, change: PairedChange) -> str:
    """The change of one measure, and how it stands to the real difference."""
    name = measure_name(measure).partition(" (")[0]
    low, high = sorted((abs(change.low), abs(change.high)))
    if not change.changes or change.low <= 0 <= change.high:
        return f"{name} changes by {change.change:.3g} ({change.low:.3g} to {change.high:.3g}), which may be nothing"
    said = f"{name} {_moves(change.change)} by {abs(change.change):.3g} ({low:.3g} to {high:.3g})"
    if math.isnan(change.real_q):
        return said
    if not change.differs:
        return f"{said}, where the classes are not known to differ ({change.real:.3g})"
    if change.agrees:
        return f"{said}, {100 * change.ratio:.0f} % of the real difference of {abs(change.real):.3g}"
    return f"{said}, where it really {_moves(change.real)} by {abs(change.real):.3g}"


def _moves(change: float) -> str:
    return "falls" if change < 0 else "rises"


def _panel(axes: Axes, change: PairedChange) -> None:
    drawn = [
        (1, (change.real, change.real_low, change.real_high), _REAL),
        (0, (change.change, change.low, change.high), _CHANGE),
    ]
    axes.axvline(0, color=MUTED, linewidth=1)
    for height, (value, low, high), (_, colour, marker) in drawn:
        axes.hlines(height, low, high, color=colour, linewidth=4, alpha=0.45)
        axes.plot(value, height, marker, color=colour, markersize=8)
    ends = [abs(end) for _, numbers, _ in drawn for end in numbers if math.isfinite(end)]
    limit = 1.15 * max(ends, default=0) or 1.0
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-0.7, 1.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    outside = axes.get_yaxis_transform()
    axes.text(1.02, 0, _beside(change), transform=outside, va="center", fontsize=9, color=_CHANGE[1])


def _beside(change: PairedChange) -> str:
    """The ratio, where there is a difference to compare with."""
    if math.isnan(change.change):
        return "not measured"
    if not change.differs:
        return "classes not\n" + ("known to differ" if math.isfinite(change.real_q) else "compared")
    return f"{100 * change.ratio:.0f} %" + ("" if change.agrees else "\nwrong way")
