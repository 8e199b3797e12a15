"""Corrections of transported fields without a network."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.endpoints.directions import Direction
from benchmarks.transport import Floats

Change = Callable[[Floats], Floats]


def corrections(given: Direction) -> dict[str, Change]:
    """Changes of transported fields that need no network, by name; the mean of draws begins with the images."""
    return {
        "+ histogram": partial(match_histograms, given=given),
        "+ spectrum": partial(match_spectra, given=given),
        "mean of three draws": lambda images: np.mean([each.apply(images) for each in given.draws], axis=0),
    }


def match_histograms(fields: Floats, given: Direction) -> Floats:
    """Fields after the monotone map of each channel from transported training fields to real ones."""
    levels = np.linspace(0, 1, 4000)
    matched = [
        np.interp(fields[:, channel], *(np.quantile(each[:, channel], levels) for each in (given.moved, given.real)))
        for channel in range(fields.shape[1])
    ]
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
