"""Data of a study at the image sizes of its networks."""

import json
from dataclasses import replace
from typing import Any

import numpy.typing as npt
from rich.console import Console

from leigh_mlops.images import IntensityScale
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study.baselines import Baselines, fit_baselines
from leigh_mlops.study.model_selection import counterfactual_references, judge_arrays
from leigh_mlops.study.prepare import add_pixels
from leigh_mlops.training import PreparedData

__all__ = ["StudyData"]


class StudyData:
    """Data of a study at any image size, with baselines and references of counterfactuals; all are made once.

    Args:
        data: Data at one image size.
        console: Console for the progress.
        seed: Seed of the baselines.
    """

    def __init__(self, data: PreparedData, console: Console, seed: int) -> None:
        self.data, self.console, self.seed = data, console, seed
        self._by_size = {data.image_size: data}
        self._baselines: dict[int, Baselines | None] = {}
        self._references: dict[tuple[int, str], dict[str, npt.NDArray[Any]]] = {}
        self._judges: dict[tuple[int, int], dict[str, npt.NDArray[Any]]] = {}

    def at_size(self, image_size: int) -> PreparedData:
        """Return the data at an image size, with the same rows and split."""
        if image_size not in self._by_size:
            first = self.data
            data = add_pixels(first.table, first.channels, first.classes, image_size, self.console, demo=first.demo)
            if first.controls is not None:
                data = data.scale_by_controls((data.table[Metadata.SPLIT] == "train").to_numpy(bool))
            self._by_size[image_size] = replace(
                data, starts=first.starts, group=first.group, needs_labels=first.needs_labels
            )
        return self._by_size[image_size]

    def baselines_for_size(self, image_size: int) -> Baselines | None:
        """Return the baselines fitted at the image size of a network; ``None`` without classes to tell apart."""
        if image_size not in self._baselines:
            data = self.at_size(image_size).labelled_data
            known = len(data.classes) > 1 and all(data.lacking_class(part) is None for part in ("train", "val"))
            self._baselines[image_size] = fit_baselines(data, self.seed) if known else None
        return self._baselines[image_size]

    def references(self, image_size: int, scale: IntensityScale) -> dict[str, npt.NDArray[Any]]:
        """Return the references of counterfactuals at an image size and an intensity scale."""
        key = image_size, json.dumps(scale.to_json())
        if key not in self._references:
            data, judged = self.at_size(image_size), (image_size, scale.full_scale)
            if judged not in self._judges:
                self._judges[judged] = judge_arrays(data, scale.full_scale)
            self._references[key] = counterfactual_references(data, scale, self._judges[judged])
        return self._references[key]
