"""Caches and paths, which differ between the machines that work on the same data."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.images import PixelCache, cache_root, open_cache
from leigh_mlops.plates.columns import Metadata

__all__ = ["open_local_cache", "relative_path", "make_paths_absolute"]


def open_local_cache(
    folder: Path, table: pd.DataFrame, channels: Sequence[str], image_size: int, digests: npt.NDArray[np.uint64]
) -> PixelCache:
    """Open the pixel cache of some data on this machine, or build it where there is none, once for all processes.

    Args:
        folder: Its folder on the machine that prepared the data; the folder's name is a key of the content.
        table: Image table.
        channels: Channel names in the order of the axis C.
        image_size: Side S in pixels.
        digests: Digests of the fields as they were prepared, shape (N,).

    Raises:
        LeighError: The fields differ on this machine, or the cache can't be written.
    """
    known = [place for place in (folder, cache_root() / folder.name) if (place / "cache.json").exists()]
    cache = PixelCache.load(known[0]) if known else open_cache(table, channels, image_size)
    if len(cache.digests) != len(digests) or not np.array_equal(cache.digests, digests):
        raise LeighError(
            f"{_describe_mismatch(cache, table, digests)} on {socket.gethostname()} than where the data was prepared; "
            "give every machine the same image files under the same paths."
        )
    return cache


def _describe_mismatch(cache: PixelCache, table: pd.DataFrame, digests: npt.NDArray[np.uint64]) -> str:
    if len(cache.digests) != len(digests):
        return f"The pixel cache holds {len(cache.digests)} fields and not {len(digests)}"
    row = int(np.flatnonzero(cache.digests != digests)[0])
    place = table.iloc[row]
    reasons = [failure.reason.rstrip(".") for failure in cache.failures if failure.row == row]
    reason = f" ({reasons[0]})" if reasons else ""
    where = f"{place[Metadata.PLATE]}/{place[Metadata.WELL]}, site {place[Metadata.SITE]}"
    return f"The field {where} reads differently{reason}"


def relative_path(folder: Path, path: Path) -> str:
    """Path relative to a folder if it lies in the same parent folder, such as ``../start-0``; else absolute."""
    folder, path = folder.absolute(), path.absolute()
    return os.path.relpath(path, folder) if path.is_relative_to(folder.parent) else str(path)


def make_paths_absolute(table: pd.DataFrame) -> pd.DataFrame:
    """Return an image table whose paths are absolute, so that files are found from any working folder."""
    columns = [str(name) for name in table if str(name).startswith(("PathName_", "Illumination_"))]
    return table.assign(**{name: table[name].map(os.path.abspath, na_action="ignore") for name in columns})
