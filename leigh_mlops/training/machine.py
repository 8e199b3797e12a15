"""What differs between the machines that work on the same data: where caches and folders lie."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.images import PixelCache, cache_root, open_cache

__all__ = ["cache_here", "path_from", "with_absolute_paths"]


def cache_here(
    folder: Path, table: pd.DataFrame, channels: Sequence[str], image_size: int, digests: npt.NDArray[np.uint64]
) -> PixelCache:
    """The pixel cache of some data on this machine, mapped where it stands and else built, once for all processes.

    Args:
        folder: Where it lies on the machine that prepared the data; its name is a key of the content.
        table: Image table.
        channels: Channel names in the order of the axis C.
        image_size: Side S in pixels.
        digests: Of the fields as they were prepared, shape (N,).

    Raises:
        LeighError: The fields are others here, or the cache can't be written.
    """
    known = [place for place in (folder, cache_root() / folder.name) if (place / "cache.json").exists()]
    cache = PixelCache.load(known[0]) if known else open_cache(table, channels, image_size)
    if len(cache.digests) != len(digests) or not np.array_equal(cache.digests, digests):
        raise LeighError(
            f"{_first_other(cache, table, digests)} on {socket.gethostname()} than where the data was prepared; give "
            "every machine the same image files under the same paths."
        )
    return cache


def _first_other(cache: PixelCache, table: pd.DataFrame, digests: npt.NDArray[np.uint64]) -> str:
    if len(cache.digests) != len(digests):
        return f"The pixel cache holds {len(cache.digests)} fields and not {len(digests)}"
    row = int(np.flatnonzero(cache.digests != digests)[0])
    place = table.iloc[row]
    reasons = [failure.reason.rstrip(".") for failure in cache.failures if failure.row == row]
    said = f" ({reasons[0]})" if reasons else ""
    where = f"{place['Metadata_Plate']}/{place['Metadata_Well']}, site {place['Metadata_Site']}"
    return f"The field {where} reads differently{said}"


def path_from(folder: Path, path: Path) -> str:
    """A path from a folder where it lies in the same parent folder, such as ``../start-0``; else absolute."""
    folder, path = folder.absolute(), path.absolute()
    return os.path.relpath(path, folder) if path.is_relative_to(folder.parent) else str(path)


def with_absolute_paths(table: pd.DataFrame) -> pd.DataFrame:
    """An image table whose files are found from any working folder."""
    columns = [str(name) for name in table if str(name).startswith(("PathName_", "Illumination_"))]
    return table.assign(**{name: table[name].map(os.path.abspath, na_action="ignore") for name in columns})
