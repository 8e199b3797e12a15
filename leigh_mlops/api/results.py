"""Explanations as a notebook shows them: heatmaps, and counterfactuals with their measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from leigh_mlops.explanations.prepared_field import Field
from leigh_mlops.images import apply_adjustment
from leigh_mlops.jobs.colour_limits import map_colour_limit, smooth_map
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.image_files import Rgb
from leigh_mlops.report.rendering import channel_colours, composite, heatmap_overlay
from leigh_mlops.report.sheets import HeatScale, Panel, SheetRow, contact_sheet, limits_sentence

__all__ = ["Counterfactuals", "Heatmaps"]

Floats = npt.NDArray[np.float32]

_PERCENTILE = 99.5
_ONE_SCALE = "One scale."


@dataclass(frozen=True, eq=False, repr=False)
class Heatmaps:
    """Maps of where images speak for a class.

    Attributes:
        maps: Shape (N, h, w), float32, on the grid of the model's images; positive speaks for the class.
        method: Name of the method.
        unit: Unit of the values.
        table: Per image the ``predicted`` class, the ``target`` whose logit is explained, and the method's own
            measures.
        images: Raw intensities on the same grid, at the level that the model sees, shape (N, C, h, w).
        titles: One per image.
        package: The model.
    """

    maps: Floats
    method: str
    unit: str
    table: pd.DataFrame
    images: Floats
    titles: Sequence[str]
    package: ModelPackage

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.maps.shape))
        return f"Heatmaps: {self.method} in {self.unit}, {shape}; show() draws them"

    def show(self, limit: float | None = None) -> Figure:
        """Draw images and maps side by side, all maps on one colour scale.

        Args:
            limit: Value at full colour; by default the 99.5th percentile of the absolute values of all maps.
        """
        shown = [smooth_map(self.method, heat) for heat in self.maps]
        full = map_colour_limit(shown) if limit is None else limit
        rows = []
        for title, image, heat, row in zip(self.titles, self.images, shown, self.table.itertuples(), strict=True):
            picture = _draw(self.package, image)
            panels = [
                Panel(picture, f"predicted {row.predicted}"),
                Panel(heatmap_overlay(picture, heat, full), f"for {row.target} (red), against (blue)"),
            ]
            rows.append(SheetRow(title, panels))
        heading = f"{self.method.replace('_', ' ')} of {_count(len(rows))}"
        return contact_sheet(rows, heading, _scale_note(self.package), scale=HeatScale(full, self.unit))


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactuals:
    """Images as they would look in another class, verified as a 16-bit file would hold them.

    Attributes:
        images: Raw intensities in the units of the acquisition on the grid of the model's images, as read back from
            16 bits, shape (N, C, h, w); NaN where an image has no counterfactual.
        measures: One row per image: its ``predicted`` class, the ``target``, then of the saved counterfactual
            ``class``, ``probability`` of the target, ``valid``, ``status`` (green, amber or red),
            ``reencoding_error``, shares ``clipped`` and ``changed``, and more; ``note`` says why there is none.
        kind: Length of the step.
        fields: The originals; ``acquired`` has their raw intensities (C, h, w).
        titles: One per image.
        package: The model.
    """

    images: Floats
    measures: pd.DataFrame
    kind: str
    fields: Sequence[Field]
    titles: Sequence[str]
    package: ModelPackage

    @property
    def originals(self) -> Floats:
        """Raw intensities of the originals in the units of the acquisition, shape (N, C, h, w)."""
        return np.stack([field.acquired for field in self.fields])

    def __repr__(self) -> str:
        shape, made = " x ".join(map(str, self.images.shape)), int(self.measures["class"].notna().sum())
        return f"Counterfactuals: {made} of {len(self.images)} images, {self.kind}, {shape}; show() draws them"

    def show(self) -> Figure:
        """Draw each image, its counterfactual and the difference side by side, on one intensity scale."""
        drawn = [self.package.channels.index(name) for name in channel_colours(self.package.channels)]
        changes = (self.images - self.originals)[:, drawn].mean(axis=1)
        known = np.abs(changes[np.isfinite(changes)])
        limit = float(np.percentile(known, _PERCENTILE)) if known.any() else 1.0
        rows = []
        for number, (title, field) in enumerate(zip(self.titles, self.fields, strict=True)):
            measured, picture = self.measures.iloc[number], _draw(self.package, field.raw)
            panels = [Panel(picture, f"predicted {measured['predicted']}")]
            if pd.isna(measured["class"]):
                panels[0] = Panel(picture, f"predicted {measured['predicted']}; none made: {measured['note']}")
            else:
                changed = _draw(self.package, apply_adjustment(self.images[number], field.adjust))
                panels += [
                    Panel(changed, _describe(measured)),
                    Panel(heatmap_overlay(picture, changes[number], limit), "counterfactual minus image"),
                ]
            rows.append(SheetRow(title, panels))
        scale = HeatScale(limit, "counterfactual minus image, mean of the channels (raw intensity)")
        heading = f"Counterfactuals ({self.kind}) of {_count(len(rows))}"
        return contact_sheet(rows, heading, _scale_note(self.package), scale=scale)


def _describe(measured: "pd.Series[Any]") -> str:
    text = f"as {measured['target']}: p = {measured['probability']:.3f} ({measured['status']})"
    return text if measured["valid"] else f"{text}, is still {measured['class']}"


def _draw(package: ModelPackage, raw: Floats) -> Rgb:
    return composite(raw, package.channels, package.about["display_limits"])


def _scale_note(package: ModelPackage) -> str:
    return f"{limits_sentence(package.channels, package.about['display_limits'])} {_ONE_SCALE}"


def _count(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"
