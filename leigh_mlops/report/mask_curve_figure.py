"""Figure of a mask curve: probability of the target over the share of replaced pixels."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from leigh_mlops.report.style import MUTED, class_colours, escape_dollars, new_figure, style_axes

__all__ = ["mask_curve_figure"]


def mask_curve_figure(
    shares: ArrayLike, scores: Mapping[str, ArrayLike], *, target: str, smallest: float | None = None
) -> Figure:
    """Draw one line for each predictor, and the smallest edit as a dotted line.

    The horizontal axis shows square roots, since the first few per cent of the pixels decide.

    Args:
        shares: Shares of replaced pixels, from 0 to 1, shape (M,).
        scores: Probability of the target with each, shape (M,), by the predictor's name.
        target: Class that the counterfactual leads to.
        smallest: Share with which most predictors predict the target; ``None`` where there is none.
    """
    figure = new_figure(2.8, 2.8, dpi=80)  # 224 px, the side of the page's pictures
    axes = figure.subplots()
    for name, colour in class_colours(list(scores)).items():
        axes.plot(shares, scores[name], color=colour, linewidth=1.5, label=escape_dollars(name))
    if smallest is not None:
        label = f"smallest edit ({100 * smallest:.2g} %)"
        axes.axvline(smallest, color=MUTED, linestyle=":", linewidth=1.5, label=label)
    axes.set_xscale("function", functions=(lambda share: np.sqrt(np.clip(share, 0, None)), np.square))
    axes.set_xticks([0, 0.05, 0.25, 0.5, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="%"))
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    style_axes(axes, x="pixels replaced", y=escape_dollars(f"probability of {target}"))
    axes.legend(loc="lower right", fontsize=8, framealpha=0.8)
    return figure
