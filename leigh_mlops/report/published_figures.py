"""Figures as the published work shows them: training by epoch, and predictions in [0, 1] by true class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.report.sentences import SCORE_NAMES, format_count
from leigh_mlops.report.style import (
    INK,
    MUTED,
    add_figure_legend,
    class_colours,
    escape_dollars,
    new_figure,
    style_axes,
)

__all__ = ["prediction_spread", "training_curves"]

Floats = NDArray[np.float64]

_PARTS = {"train": ("training", "#0072B2"), "val": ("validation", "#D55E00")}


def training_curves(epochs: Sequence[Mapping[str, float]], *, kept: int = 0) -> Figure:
    """Draw accuracy and loss of training and validation by epoch, as figures 4.1 and 4.7 of the thesis.

    Training values are means over the epoch's augmented batches, while the weights change and dropout is on, so that
    validation may be better. The thesis drew its test part in place of a validation part.

    Args:
        epochs: Metrics of each epoch: ``train/loss``, ``val/loss``, and for classifiers ``train/accuracy`` and
            ``val/accuracy``; those that are missing or not finite are left out.
        kept: Epoch that is kept, from 1; 0 for none.

    Raises:
        ValueError: No epoch has a finite accuracy or loss.
    """
    shown = [name for name in ("accuracy", "loss") if any(len(_line(epochs, part, name)[0]) for part in _PARTS)]
    if not shown:
        raise ValueError("no epoch has a finite accuracy or loss: there is nothing to draw.")
    figure = new_figure(4.8 * len(shown), 3.8)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        for part, (label, colour) in _PARTS.items():
            axes.plot(*_line(epochs, part, name), "o-", color=colour, linewidth=1.5, markersize=3, label=label)
        if kept:
            axes.axvline(kept, color=MUTED, linestyle=":", linewidth=1.2, label=f"epoch kept ({kept})")
        style_axes(axes, x="epoch", y=SCORE_NAMES[name])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_figure_legend(figure, panels[0])
    return figure


def _line(epochs: Sequence[Mapping[str, float]], part: str, name: str) -> tuple[Floats, Floats]:
    values = np.array([metrics.get(f"{part}/{name}", np.nan) for metrics in epochs], dtype=np.float64)
    known = np.isfinite(values)
    return np.flatnonzero(known).astype(np.float64) + 1, np.compress(known, values)


def prediction_spread(predictions: Mapping[str, ArrayLike], *, target: str, z_prime: float | None = None) -> Figure:
    """Draw predictions in [0, 1] by true class with their spread, as figures 4.2 and 4.8 of the thesis.

    The dark bar of a class is its mean and the band of three standard deviations around it, by which Z' (eq. 4.1 of
    the thesis) is computed: it is 0 where two bands touch.

    Args:
        predictions: True class to the probability of ``target`` of each of its fields, 0 to 1, shape (N,).
        target: Class whose probability is drawn.
        z_prime: Z' of the probabilities of the fields, for the title.

    Raises:
        ValueError: There is no prediction, or one is not in [0, 1].
    """
    drawn = {name: np.asarray(values, dtype=np.float64).ravel() for name, values in predictions.items()}
    if not any(values.size for values in drawn.values()):
        raise ValueError("there is no prediction to draw.")
    for name, values in drawn.items():
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"the predictions of {name} are not all in [0, 1]: pass probabilities.")
    figure = new_figure(6.4, 4.6)
    axes = figure.subplots()
    for place, (name, colour) in enumerate(class_colours(list(drawn)).items()):
        _draw_class(axes, place, drawn[name], colour)
    counts = [f"{escape_dollars(name)}\n{format_count(len(values), 'field')}" for name, values in drawn.items()]
    axes.set_xticks(range(len(drawn)), counts)
    axes.set_xlim(-0.6, len(drawn) - 0.4)
    title = "" if z_prime is None else f"Z' of probabilities (fields): {z_prime:.3f}"
    style_axes(axes, x="true class", y=escape_dollars(f"predicted probability of {target}"), title=title)
    add_figure_legend(figure, axes)
    return figure


def _draw_class(axes: Axes, place: int, values: Floats, colour: str) -> None:
    # Steps of the golden ratio spread the dots evenly, without chance.
    across = place + ((np.arange(len(values)) * 0.618034) % 1 - 0.5) * 0.5
    axes.scatter(across, values, s=14, color=colour, alpha=0.45, edgecolors="none")
    if len(values) > 1:
        label = "mean and three standard deviations" if place == 0 else None
        spread = 3 * float(values.std(ddof=1))
        axes.errorbar(
            place, float(values.mean()), yerr=spread, fmt="_", color=INK, capsize=8, markersize=22, label=label
        )
