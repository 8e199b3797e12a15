"""Counterfactual changes of each measure, compared with the real difference between the classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.style import INK, MUTED, PALETTE, add_figure_legend, escape_dollars, new_figure, style_axes
from leigh_mlops.scores.paired_changes import PairedChange

__all__ = ["ChangeDirection", "change_figure", "change_sentences", "measure_name"]

_REAL, _CHANGE = ("real difference between the classes", PALETTE[1], "D"), ("counterfactual change", PALETTE[0], "o")


@dataclass(frozen=True)
class ChangeDirection:
    """Changes of all measures from one class towards another.

    Attributes:
        source: Class that the model sees in the images.
        target: Class that their counterfactuals lead to.
        changes: Change of each measure, by its name, such as ``intensity_TMRM``.
        wells: Number of wells whose fields are compared.
        unseen: Whether none of these wells was used in training.
        left_out: Number of fields that are left out because their counterfactual is red.
    """

    source: str
    target: str
    changes: Mapping[str, PairedChange]
    wells: int
    unseen: bool
    left_out: int = 0


def measure_name(measure: str) -> str:
    """Name of a measure in words.

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


def change_figure(directions: Sequence[ChangeDirection], heading: str) -> Figure:
    """Draw the changes, one row for each measure and one column for each direction.

    Every panel has its own unit and 0 in its middle, so that a column shows at a glance whether
    both marks lie on the same side, and how far from 0.

    Args:
        directions: Directions with the same measures; two cover a pair of classes.
        heading: Title of the figure.

    Raises:
        ValueError: There is no direction.
    """
    if not directions:
        raise ValueError("directions is empty: there is nothing to draw.")
    measures = list(directions[0].changes)
    figure = new_figure(3.4 + 4.4 * len(directions), 1.6 + 0.72 * len(measures))
    note = "Percent: the change as a share of the real difference. Each row has its own scale with 0 in the middle."
    figure.suptitle(f"{escape_dollars(heading)}\n{note}", fontsize=12, color=INK)
    panels = figure.subplots(len(measures), len(directions), squeeze=False)
    for place, measure in enumerate(measures):
        for axes, direction in zip(panels[place], directions, strict=True):
            _panel(axes, direction.changes[measure])
            title = f"from {direction.source} towards {direction.target} ({format_count(direction.wells, 'well')})"
            style_axes(axes, x="", y="", title="" if place else escape_dollars(title))
            axes.tick_params(labelsize=8)
        panels[place][0].set_ylabel(
            escape_dollars(measure_name(measure).replace(" (", "\n(")), rotation=0, ha="right", va="center", fontsize=10
        )
    for name, colour, marker in (_REAL, _CHANGE):
        panels[0][0].plot([], [], marker, color=colour, markersize=8, label=f"{name}, with its 95 % interval")
    add_figure_legend(figure, panels[0][0])
    return figure


def change_sentences(direction: ChangeDirection) -> list[str]:
    """Sentences on the changes in one direction, the intensities of whole fields first.

    Args:
        direction: The measures and the wells they come from.
    """
    which = "none seen in training" if direction.unseen else "some of them seen in training"
    way = f"Towards {direction.target} (from {direction.source}, {format_count(direction.wells, 'well')}, {which})"
    sentences = [
        f"{way}, {_effect_clause(name, change)}."
        for name, change in direction.changes.items()
        if name.startswith("intensity_") and math.isfinite(change.low)
    ]
    differ = [change for change in direction.changes.values() if change.has_class_difference]
    if differ:
        agree = sum(change.has_matching_sign is True for change in differ)
        sentences.append(
            f"Towards {direction.target}, the signs agree in {agree} of the {format_count(len(differ), 'measure')} "
            "in which the classes differ (false discovery rate below 5 %)."
        )
    if direction.left_out:
        sentences.append(
            f"Towards {direction.target}, {format_count(direction.left_out, 'field')} with a red counterfactual "
            f"{'is' if direction.left_out == 1 else 'are'} left out of these measures."
        )
    return sentences


def _effect_clause(measure: str, change: PairedChange) -> str:
    """Text on the change of one measure and how it compares with the real difference."""
    name = measure_name(measure).partition(" (")[0]
    low, high = sorted((abs(change.low), abs(change.high)))
    if not change.is_significant or change.low <= 0 <= change.high:
        return (
            f"{name} changes by {change.change:.3g} ({change.low:.3g} to {change.high:.3g}), which is not significant"
        )
    clause = f"{name} {_trend_verb(change.change)} by {abs(change.change):.3g} ({low:.3g} to {high:.3g})"
    if math.isnan(change.real_q):
        return clause
    if not change.has_class_difference:
        return f"{clause}, where the classes are not known to differ ({change.real:.3g})"
    if change.has_matching_sign:
        return f"{clause}, {100 * change.ratio:.0f} % of the real difference of {abs(change.real):.3g}"
    return f"{clause}, but between the classes it {_trend_verb(change.real)} by {abs(change.real):.3g}"


def _trend_verb(change: float) -> str:
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
    axes.text(1.02, 0, _ratio_text(change), transform=outside, va="center", fontsize=9, color=_CHANGE[1])


def _ratio_text(change: PairedChange) -> str:
    """Ratio of the change to the real difference as text, or the reason why there is none."""
    if math.isnan(change.change):
        return "not measured"
    if not change.has_class_difference:
        return "classes not\n" + ("known to differ" if math.isfinite(change.real_q) else "compared")
    return f"{100 * change.ratio:.0f} %" + ("" if change.has_matching_sign else "\nopposite sign")
