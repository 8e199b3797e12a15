"""Illumination images, by which the pixels of a field are divided."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images.source import check_pixels, open_source, translate_read_errors

__all__ = ["illumination_digest", "read_illumination"]

Floats = npt.NDArray[np.float32]


def read_illumination(path: Path) -> Floats:
    """An illumination image as it is; read once per process while the file stays the same.

    Returns:
        Shape (H, W), float32, finite and above 0.

    Raises:
        LeighError: The file can't be read or holds anything else.
    """
    with translate_read_errors(path):
        state = path.stat()
        return _read(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def illumination_digest(path: Path) -> int:
    """64 bits that identify an illumination image by its values."""
    return xxhash.xxh3_64_intdigest(read_illumination(path).data)


@lru_cache(maxsize=16)
def _read(path: Path, *_: int) -> Floats:
    with open_source(path):
        mapped = np.lib.format.open_memmap(path, mode="r")  # no objects; its size is checked against the file's
    if mapped.ndim != 2 or mapped.dtype.kind not in "fui":
        raise LeighError(
            f"{escape_unprintable(path)} holds {mapped.dtype} of shape {mapped.shape}; "
            "an illumination image is one (H, W) array of numbers."
        )
    check_pixels(*mapped.shape)
    image = np.ascontiguousarray(mapped, dtype=np.float32)
    if not np.isfinite(image).all() or image.min() <= 0:
        raise LeighError(
            f"{escape_unprintable(path)} has values down to {image.min():g}; "
            "an illumination image is finite and above 0."
        )
    image.flags.writeable = False
    return image
