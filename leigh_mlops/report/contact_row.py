"""Explanation of one field as a row of a contact sheet."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.report.rendering import composite, heatmap_overlay
from leigh_mlops.report.sheets import HeatScale, Panel, SheetRow

__all__ = ["HEAT_LABEL", "explained_row", "heat_scale"]

HEAT_LABEL = "drop of the predicted class's logit where the window covers the image"
_CAPTIONS = {
    "counterfactual_confident": "as {target}, confidently",
    "counterfactual_typical": "as typical {target}",
    "reconstruction": "reconstruction",
}


def heat_scale(maps: Sequence[ArrayLike]) -> HeatScale | None:
    """Common scale for all maps of a sheet: the 99.5th percentile of their absolute values."""
    if not maps:
        return None
    limit = float(np.percentile(np.abs(np.concatenate([np.ravel(each) for each in maps])), 99.5))
    return HeatScale(limit or 1.0, HEAT_LABEL)


def explained_row(
    title: str,
    raw: ArrayLike,
    channels: Sequence[str],
    limits: ArrayLike,
    numbers: Mapping[str, Any],
    *,
    images: Mapping[str, ArrayLike],
    maps: Mapping[str, ArrayLike],
    frames: Mapping[str, ArrayLike],
    scale: HeatScale | None = None,
) -> SheetRow:
    """Build a row: the image, then everything that explains it, left to right.

    Args:
        title: Title that identifies the field.
        raw: Raw intensities (C, H, W).
        channels: Channel names, length C.
        limits: Per channel (low, high), shape (C, 2), one for all rows of a sheet.
        numbers: Columns of the field: probabilities and results of the verification.
        images: Raw intensities (C, H, W) by name.
        maps: (H, W) by name.
        frames: Raw intensities (S, C, H, W) by name; three of them are shown.
        scale: Colour scale of the maps.
    """
    picture = composite(raw, channels, limits)
    panels = [Panel(picture, _prediction(numbers))]
    for name, image in images.items():
        panels.append(Panel(composite(image, channels, limits), _caption(name, numbers)))
    for name, heat in maps.items():
        limit = scale.limit if scale else float(np.abs(heat).max()) or 1.0
        target = numbers.get(f"{name}_target", "the class")
        panels.append(Panel(heatmap_overlay(picture, heat, limit), f"what speaks for {target}"))
    for name, stack in frames.items():
        steps = np.asarray(stack)
        for place in (0, len(steps) // 2, len(steps) - 1):
            share = round(100 * place / (len(steps) - 1))
            panels.append(
                Panel(
                    composite(steps[place], channels, limits),
                    f"{share} % of the way to the mean of {numbers[f'{name}_target']}",
                )
            )
    return SheetRow(title, panels)


def _prediction(numbers: Mapping[str, Any]) -> str:
    if "predicted" not in numbers:
        return "image"
    name = numbers["predicted"]
    return f"image: {name}, probability {numbers[f'probability_{name}']:.3f}"


def _caption(name: str, numbers: Mapping[str, Any]) -> str:
    caption = _CAPTIONS.get(name, name).format(target=numbers.get(JobColumn.TARGET, "?"))
    if f"{name}_mse" in numbers:
        caption += f", mean squared error {numbers[f'{name}_mse']:.3f}"
    return caption
