"""Nuclei of a field as points: their centres and number."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter, label, maximum_filter

__all__ = ["NUCLEAR_STAINS", "find_nuclear_channel", "nucleus_centres"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

NUCLEAR_STAINS = ("dapi", "hoechst", "draq5", "h2b", "nuclei", "dna")
"""Words in the names of channels that show nuclei; letters alone make a word, so that mtDNA is none of them."""

# Tables of CellProfiler name unchanged images OrigDNA.
_WORDS = re.compile(rf"(?<![^\W_\d])(?:orig)?(?:{'|'.join(NUCLEAR_STAINS)})(?![^\W_\d])")

_SMOOTHING_PX = 1.0  # noise makes holes and rims, which would count as nuclei
_REACH_PX = 5  # two maxima closer than that are one nucleus
_MIN_RADIUS_PX = 1.5  # a lone bright pixel is no nucleus


def find_nuclear_channel(channels: Sequence[str]) -> int | None:
    """Find the channel that shows nuclei, by its name; None if there is none, or if a channel combines it with others.

    Example:
        >>> find_nuclear_channel(["TMRM", "DAPI"]), find_nuclear_channel(["TMRM"])
        (1, None)
        >>> find_nuclear_channel(["mtDNA", "H2B-mCherry"]), find_nuclear_channel(["mtDNA", "TMRM"])
        (1, None)
    """
    for number, name in enumerate(channels):
        if "+" not in name and _WORDS.search(name.casefold()):
            return number
    return None


def nucleus_centres(plane: Floats, threshold: float) -> Doubles:
    """Find the centres of nuclei: maxima of the distance to the edge of the foreground, so that touching ones count.

    Args:
        plane: Intensities of the nuclear stain, shape (H, W).
        threshold: Intensity above which a pixel is foreground.

    Returns:
        Centres (y, x) in pixels, shape (N, 2).

    Example:
        >>> plane = np.zeros((32, 32), np.float32)
        >>> plane[4:11, 4:11] = plane[20:27, 18:25] = 9
        >>> nucleus_centres(plane, 3.0).round().tolist()
        [[7.0, 7.0], [23.0, 21.0]]
    """
    mask = gaussian_filter(plane.astype(np.float32), _SMOOTHING_PX) > threshold
    depth = gaussian_filter(distance_transform_edt(mask), _SMOOTHING_PX)
    # Within the smoothed distance, a disc of the least radius has about 0.6 of it at its centre.
    peaks = (depth == maximum_filter(depth, size=_REACH_PX)) & mask & (depth > 0.6 * _MIN_RADIUS_PX)
    numbered, count = label(peaks, np.ones((3, 3)))
    return np.asarray(center_of_mass(peaks, numbered, range(1, count + 1)), np.float64).reshape(count, 2)
