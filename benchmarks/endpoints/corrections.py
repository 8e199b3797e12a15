"""Corrections of transported fields without a network."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.endpoints.directions import Direction
from benchmarks.transport import Floats

Change = Callable[[Floats], Floats]
Map = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def corrections(given: Direction) -> dict[str, Change]:
    """Changes of transported fields that need no network, by name; the mean of draws begins with the images."""
    matched = {
        f"+ histogram{where}, division {number}": partial(
            match_histograms, maps=histogram_maps(halves, given.real, is_agreed)
        )
        for is_agreed, where in ((False, ""), (True, " where halves agree"))
        for number, halves in enumerate(given.divisions, start=1)
    }
    return matched | {
        "+ spectrum": partial(match_spectra, given=given),
        "mean of three draws": lambda images: np.mean([each.apply(images) for each in given.draws], axis=0),
    }


def histogram_maps(halves: tuple[Floats, Floats], real: Floats, is_agreed: bool) -> list[Map]:
    """Quantiles of each channel of transported training fields, and those to which they are mapped: of real ones.

    Where halves are to agree, each quantile is displaced by the smaller of the displacements that the two halves ask
    for, and not at all where these have different signs.
    """
    levels, maps = np.linspace(0, 1, 4000), list[Map]()
    for channel in range(real.shape[1]):
        goal, pooled, *each = (
            np.quantile(some[:, channel], levels) for some in (real, np.concatenate(halves), *halves)
        )
        if is_agreed:
            low, high = np.sort([goal - quantiles for quantiles in each], axis=0)
            goal = np.maximum.accumulate(pooled + np.maximum(low, 0) + np.minimum(high, 0))
        maps.append((pooled, goal))
    return maps


def match_histograms(fields: Floats, maps: list[Map]) -> Floats:
    """Fields after the map of each channel."""
    matched = [np.interp(fields[:, channel], *knots) for channel, knots in enumerate(maps)]
    return np.stack(matched, axis=1).astype(np.float32)


def match_spectra(fields: Floats, given: Direction) -> Floats:
    """Fields whose frequencies are weighted so that mean power by distance and channel is that of real fields."""
    side = fields.shape[2]
    place = np.fft.fftfreq(side, 1 / side)
    distance = np.rint(np.hypot(place[:, None], place)).astype(int)

    def power(images: Floats) -> npt.NDArray[np.float64]:
        spectra = np.square(np.abs(np.fft.fft2(images - images.mean(axis=(2, 3), keepdims=True)))).mean(axis=0)
        return np.stack([np.bincount(distance.ravel(), each.ravel()) for each in spectra])

    weights = np.sqrt(power(given.real) / np.maximum(power(given.moved), 1e-9))
    weights[:, 0] = 1
    return np.fft.ifft2(np.fft.fft2(fields) * weights[:, distance]).real.astype(np.float32)
