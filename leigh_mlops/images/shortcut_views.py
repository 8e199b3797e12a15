"""Views of a field in which only something remains, from which a shortcut could tell the classes apart."""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import KDTree

from leigh_mlops.images.intensity import intensity_features
from leigh_mlops.images.nuclei import find_nuclear_channel, nucleus_centres
from leigh_mlops.images.regions import otsu

__all__ = ["MAX_FIELDS", "Views", "measure_views", "quality_views", "view_fields"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Views = dict[str, dict[str, pd.DataFrame]]
"""Features of each view and channel, on the index of the fields; a view of all channels together has one, ``""``."""

MAX_FIELDS = 1500
"""Most fields whose pixels are read, spread over all wells."""

_BATCH = 32
_THRESHOLD_FIELDS = 48
_GRID = 3  # places of nuclei are counted in so many rows and columns
_CORNER_SIDE, _CORNER_PX = 64, 12  # a stamp is looked for in squares of 12 px in the corners of an image of 64 px
_CORNER_BLUR_PX = 3.0
_FLAT_SHARE = 1 / 6  # structures wider than this share of the side are background
_LIMIT = 3.0  # standard deviations: the brightness of cells must not outweigh a faint stamp


def view_fields(table: pd.DataFrame, keys: Sequence[str], label: str) -> npt.NDArray[np.int64]:
    """Choose labelled fields from all wells in turn, at most `MAX_FIELDS` in all, sorted.

    Args:
        table: Image table.
        keys: Columns that identify a well.
        label: Column of the class.
    """
    labelled = table.reset_index(drop=True)
    labelled = labelled[labelled[label].notna()]
    turn = labelled.groupby(list(keys)).cumcount().sort_values(kind="stable")
    return np.sort(turn.index.to_numpy(np.int64)[:MAX_FIELDS])


def measure_views(
    raw: Callable[[npt.NDArray[np.int64]], Floats],
    rows: npt.NDArray[np.int64],
    channels: Sequence[str],
    quality: pd.DataFrame,
    index: "pd.Index[int]",
) -> Views:
    """Measure the views of some fields.

    - ``background``: level and spread of the pixels without signal, by channel.
    - ``focus``: share of fine structure, in the files and at this size, by channel; of the nuclear stain alone if
      there is one, as the structure of any other may be the phenotype.
    - ``density``: number of nuclei and their places, as if they were dots.
    - ``stamp``: what is fixed in the corners of the image, by channel.
    - ``cells``: intensities of the foreground alone, after the background is flattened and taken away.

    Args:
        raw: Function from rows (n,) to raw intensities (n, C, S, S).
        rows: Rows of the fields, shape (N,).
        channels: The C names.
        quality: Quality measures of all fields, see `QUALITY_NUMBERS`, in the order of the rows.
        index: Index of the image table.
    """
    rows = rows[quality.iloc[rows].notna().any(axis=1).to_numpy(bool)]  # unreadable fields have no measure
    views, nuclear = quality_views(quality.iloc[rows].set_axis(index[rows]), channels), find_nuclear_channel(channels)
    if not len(rows):
        return views
    # Evenly spread fields suffice for thresholds, and bound the memory.
    sample = raw(rows[np.unique(np.linspace(0, len(rows) - 1, _THRESHOLD_FIELDS).astype(int))])
    thresholds = [otsu(*np.unique(np.round(sample[:, place]), return_counts=True)) for place in range(len(channels))]
    dots: list[Mapping[str, float]] = []
    corners, cells, sharpness = [], [], []
    for start in range(0, len(rows), _BATCH):
        batch = raw(rows[start : start + _BATCH])
        if nuclear is not None:
            dots += [_dot_features(field[nuclear], thresholds[nuclear]) for field in batch]
        corners.append(np.stack([_corner_features(batch[:, place]) for place in range(len(channels))], axis=1))
        cells.append(intensity_features(_flatten(batch, thresholds)))
        sharpness.append(np.array([[_sharpness(plane) for plane in field] for field in batch]))
    if dots:
        views["density"] = {"": pd.DataFrame(dots, index[rows])}
    fixed, sharp = np.concatenate(corners), np.concatenate(sharpness)
    views["focus"] = {
        name: each.assign(sharpness=sharp[:, list(channels).index(name)]) for name, each in views["focus"].items()
    }
    views["stamp"] = {name: pd.DataFrame(fixed[:, place], index[rows]) for place, name in enumerate(channels)}
    return views | {"cells": {"": pd.DataFrame(np.concatenate(cells), index[rows])}}


def quality_views(quality: pd.DataFrame, channels: Sequence[str]) -> Views:
    """Select the views that quality measures hold: ``background`` and ``focus``, see :func:`measure_views`.

    Args:
        quality: Quality measures of fields, ``<measure>_<channel>``; a channel that lacks a measure is left out.
        channels: Names of the channels.
    """
    nuclear = find_nuclear_channel(channels)
    sharp = channels if nuclear is None else [channels[nuclear]]
    columns = {
        "background": {name: [f"background_{name}", f"background_spread_{name}"] for name in channels},
        "focus": {name: [f"focus_{name}"] for name in sharp},
    }
    return {
        view: {name: quality[measures] for name, measures in by_channel.items() if {*measures} <= {*quality}}
        for view, by_channel in columns.items()
    }


def _dot_features(plane: Floats, threshold: float) -> Mapping[str, float]:
    """Number of nuclei, their distances in units of the side, and how many lie in each part of the field."""
    centres = nucleus_centres(plane, threshold) / len(plane)
    near = KDTree(centres).query(centres, k=2)[0][:, 1] if len(centres) > 1 else np.array([1.0])
    places = np.clip((_GRID * centres).astype(np.int64), 0, _GRID - 1)
    parts = np.bincount(places @ [_GRID, 1], minlength=_GRID**2)
    named = {f"part {number}": float(count) for number, count in enumerate(parts)}
    return {"count": float(len(centres)), "distance": float(near.mean()), "least": float(near.min()), **named}


def _sharpness(plane: Floats) -> float:
    """Logarithm of the energy of structures of about 1 px over that of structures of about 3 px."""
    blurred = [cv2.GaussianBlur(plane, (0, 0), sigma) for sigma in (0.7, 1.4, 2.0, 4.0)]
    fine, coarse = (float((blurred[place] - blurred[place + 1]).var()) for place in (0, 2))
    return float(np.log(max(fine, 1e-9) / max(coarse, 1e-9)))


def _corner_features(planes: Floats) -> Floats:
    """Fine structure in the four corners, in units of the field's own spread and around 0; planes (n, S, S)."""
    found = []
    for plane in planes:
        small = cv2.resize(plane, (_CORNER_SIDE, _CORNER_SIDE), interpolation=cv2.INTER_AREA)
        fine = small - cv2.GaussianBlur(small, (0, 0), _CORNER_BLUR_PX)
        spread = 1.4826 * float(np.median(np.abs(fine - np.median(fine))))
        scaled = np.clip(fine / (spread or 1.0), -_LIMIT, _LIMIT)
        near, far = slice(0, _CORNER_PX), slice(-_CORNER_PX, None)
        corners = np.stack([scaled[rows, columns] for rows in (near, far) for columns in (near, far)]).ravel()
        # Brighter cells shift all places alike; a stamp is at one.
        found.append(corners - corners.mean())
    return np.asarray(found, np.float32)


def _flatten(raw: Floats, thresholds: Sequence[float]) -> Floats:
    """Foreground of each plane above its own wide background, 0 elsewhere; shape (n, C, S, S)."""
    flat = np.zeros_like(raw)
    sigma = _FLAT_SHARE * raw.shape[-1]
    for field, out in zip(raw, flat, strict=True):
        for plane, threshold, target in zip(field, thresholds, out, strict=True):
            mask = plane > threshold
            # A normalised blur of the pixels without signal, which fills the places of cells.
            weight = cv2.GaussianBlur((~mask).astype(np.float32), (0, 0), sigma)
            level = cv2.GaussianBlur(np.where(mask, 0, plane).astype(np.float32), (0, 0), sigma)
            np.copyto(target, plane - level / np.maximum(weight, 1e-3), where=mask)
    return flat
