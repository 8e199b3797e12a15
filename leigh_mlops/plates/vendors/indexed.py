"""Indexed images: files listed by a microscope's index or an OME-Zarr plate, compared with those on disk."""

import os
from pathlib import Path

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.folder_scan import Scan
from leigh_mlops.plates.listing import Listing, list_images
from leigh_mlops.plates.vendors.indexes import INDEXES, Index, read_index
from leigh_mlops.plates.vendors.ome_zarr import read_zarr_plates

__all__ = ["scan_index"]

_ZARR = "ome-zarr"
_JOINER = "its name holds a |, which parts names in the table; rename it"


def scan_index(root: Path, preset: str = "auto") -> Scan | None:
    """Read the index of a folder, or its OME-Zarr plates.

    Args:
        root: The data folder.
        preset: ``auto``, a preset whose microscope writes an index, or ``ome-zarr``; any
            other finds nothing.

    Returns:
        What is listed, with image files that are not listed among the unmatched; ``None`` where
        there is neither.

    Raises:
        LeighError: An index is broken, nothing in it can be taken, or ``ome-zarr`` was named and
            there is none.
    """
    index: Index | None = read_index(root, preset) if preset in ("auto", *INDEXES) else None
    if index is None and preset in ("auto", _ZARR):
        index = read_zarr_plates(root)
    if index is None and preset == _ZARR:
        raise LeighError(f"{root} holds no OME-Zarr plate; name the folder of one (plate.zarr), or another preset.")
    return None if index is None else _scan(root, index)


def _scan(root: Path, index: Index) -> Scan:
    parted = index.files["name"].str.contains("|", regex=False)
    files = index.files[~parted].reset_index(drop=True)
    if files.empty:
        raise LeighError(f"no image in the index of {root} can be used; choose a preset for the file names.")
    refused = {Path(f, n): _JOINER for f, n in zip(index.files["folder"], index.files["name"], strict=True) if "|" in n}
    listing = Listing() if root.suffix.lower() == ".zarr" else list_images(root)
    real = {folder: os.path.realpath(folder) for folder in {*files["folder"], *(f for f, _ in listing.images)}}
    listed = {os.path.join(real[folder], name) for folder, name in zip(files["folder"], files["name"], strict=True)}
    other = [Path(f, n) for f, n in listing.images if os.path.join(real[f], n) not in listed]
    other += [path for path in listing.refused if path.suffix.lower() != ".zarr" or index.preset != _ZARR]
    reason = "it is not part of an OME-Zarr plate" if index.preset == _ZARR else f"not in {index.source.name}"
    reasons = {path: listing.refused.get(path, reason) for path in other} | refused | index.reasons
    return Scan(
        files,
        index.preset,
        [*other, *refused],
        index.why.rstrip("."),
        reasons,
        absent=list(index.absent),
        channel_names=dict(index.channel_names),
        refused=[path for path in index.reasons if path not in other],
        notes=list(index.notes),
    )
