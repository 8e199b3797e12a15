"""Listing of the image files below a folder, and of entries that could not be listed."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from leigh_mlops.errors import LeighError, escape_unprintable

__all__ = ["IMAGE_SUFFIXES", "Listing", "list_images"]

IMAGE_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".c01", ".dib")
_CONTAINERS = (".nd2", ".czi", ".lif", ".flex", ".vsi", ".oib", ".oif", ".zvi", ".dv", ".ims", ".lsm", ".stk")
_PICTURES = (".layout.png", ".classes.png", ".wells.png", ".platemap.png")
_SHADING = re.compile(r"(?:DC|SC)_.*(?:CAM\d+|CH\d+)\.tiff?", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """The image files below one folder.

    Attributes:
        images: Folder (absolute) and name of each image file, in the order of their paths.
        refused: Image files and folders that are not to be opened, each with the reason.
        folders: Folders below the data folder, absolute.
    """

    images: list[tuple[str, str]] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


def list_images(root: Path) -> Listing:
    """List all image files below a folder in one pass.

    Links are followed, each folder is read once, names that begin with a dot are left out, and
    nothing is opened.

    Raises:
        LeighError: The folder itself cannot be read.
    """
    listing = Listing()
    seen: set[tuple[int, int]] = set()
    start = os.path.abspath(root)
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in seen:  # a link back to a folder above would never end
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted((entry for entry in scan if not _is_ignored(entry.name)), key=_entry_name)
        except OSError as error:
            if folder == start:
                raise LeighError(
                    f"{escape_unprintable(root)} cannot be read ({error.strerror}); change its permissions."
                ) from error
            listing.refused[Path(folder)] = f"this folder cannot be read ({error.strerror})"
            continue
        below = [entry.path for entry in entries if _sort_entry(listing, folder, entry)]
        listing.folders.extend(below)
        waiting.extend(reversed(below))
    return listing


def _is_ignored(name: str) -> bool:
    """Return whether an entry is hidden, or a picture that `ingest` or `platemap` draws beside a table."""
    return name.startswith(".") or name.endswith(_PICTURES)


def _entry_name(entry: "os.DirEntry[str]") -> str:
    return entry.name


def _sort_entry(listing: Listing, folder: str, entry: "os.DirEntry[str]") -> bool:
    """Add one entry to the listing; true for a folder that is to be read."""
    suffix = os.path.splitext(entry.name)[1].lower()
    try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
    except OSError as error:  # a link to itself
        listing.refused[Path(entry.path)] = f"it cannot be read ({error.strerror})"
        return False
    if is_folder:
        if reason := _folder_refusal(entry.name, suffix):
            listing.refused[Path(entry.path)] = reason
        return not reason
    if suffix in IMAGE_SUFFIXES or suffix in _CONTAINERS:
        if reason := _refusal(entry.path, suffix, is_file):
            listing.refused[Path(entry.path)] = reason
        else:
            listing.images.append((folder, entry.name))
    return False


def _folder_refusal(name: str, suffix: str) -> str | None:
    if suffix == ".zarr":
        return "it is an OME-Zarr plate, which the preset ome-zarr reads"
    return "its name contains |, which separates names in the table; rename it" if "|" in name else None


def _refusal(path: str, suffix: str, is_file: bool) -> str | None:
    name = os.path.basename(path)
    if not is_file:
        return "it is a link to nothing" if not os.path.exists(path) else "it is not a regular file"
    if suffix in _CONTAINERS:
        return f"{suffix} files cannot be read; export them as TIFF"
    if "|" in name:
        return "its name contains |, which separates names in the table; rename it"
    if not path.isascii() and not _is_text(path):
        return "its path is not valid UTF-8; rename it"
    if _SHADING.fullmatch(name):
        return "it is a shading image of the microscope, not a field"
    return None


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
