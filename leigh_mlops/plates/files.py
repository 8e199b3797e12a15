"""Image files in a folder: what their names and the folders above them say."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import PRESETS, FieldName, parse_name, well_name

__all__ = ["SPLIT_PARTS", "Scan", "color_channels", "scan_folder"]

SPLIT_PARTS = ("train", "val", "test")
IMAGE_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Scan:
    """The image files of one folder.

    Attributes:
        files: One row per file that the preset knows: the key of its field, ``condition``,
            ``split``, ``channel`` (``None`` where the name has none), ``folder`` and ``name``.
        preset: The preset that knew them.
        unmatched: Image files that it did not know.
    """

    files: pd.DataFrame
    preset: str
    unmatched: list[Path]


def scan_folder(root: Path, preset: str = "auto") -> Scan:
    """Read the names of all image files below a folder.

    Folders may stand as ``[train|val|test/][class/][plate/]`` or ``[plate/]Images/`` above the
    files. A plate without a name is called as the data folder.

    Args:
        root: The data folder.
        preset: A key of ``PRESETS``, or ``auto`` for the one that knows most files.

    Raises:
        LeighError: No image file, none that a preset knows, or a file whose name and folder
            name two classes.
    """
    found = list(_image_files(root))
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES[:4])
        raise LeighError(f"{root} holds no image files ({kinds}); name the folder of the images.")
    chosen, fields = _read_names([name for _, name in found], preset)
    records = [
        _record(root, folder, name, field)
        for (folder, name), field in zip(found, fields, strict=True)
        if field is not None
    ]
    unmatched = [Path(folder, name) for (folder, name), field in zip(found, fields, strict=True) if field is None]
    if not records:
        raise LeighError(
            f"none of the {len(found)} image files in {root} matches a known name, as {unmatched[0].name!r}; "
            f"rename them, choose a preset ({', '.join(PRESETS)}), or hand in a table (.parquet, .csv)."
        )
    files = pd.DataFrame.from_records(records)
    return Scan(_with_plate(files, root), chosen, unmatched)


def _image_files(root: Path) -> Iterator[tuple[str, str]]:
    seen = set()
    for folder, folders, names in os.walk(os.path.abspath(root), followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                yield folder, name


def _read_names(names: list[str], preset: str) -> tuple[str, list[FieldName | None]]:
    candidates = PRESETS if preset == "auto" else (preset,)
    read = {known: [parse_name(name, known) for name in names] for known in candidates}
    chosen = max(read, key=lambda known: sum(field is not None for field in read[known]))
    return chosen, read[chosen]


def _record(root: Path, folder: str, name: str, field: FieldName) -> dict[str, object]:
    split, condition, plate = _place(Path(os.path.relpath(folder, os.path.abspath(root))).parts)
    if condition and field.condition and condition.casefold() != field.condition.casefold():
        raise LeighError(
            f"{os.path.join(folder, name)} says class {field.condition!r} in its name but lies in the folder "
            f"of {condition!r}; move or rename it."
        )
    return {
        "Metadata_Plate": field.plate or plate,
        "Metadata_Well": well_name(field.row, field.col),
        "Metadata_Site": field.site,
        "Metadata_Z": field.z,
        "Metadata_Time": field.time,
        "Metadata_Row": field.row,
        "Metadata_Col": field.col,
        "condition": condition or field.condition,
        "split": split,
        "channel": field.channel,
        "folder": folder,
        "name": name,
    }


def _place(folders: tuple[str, ...]) -> tuple[str | None, str | None, str | None]:
    """Split, class and plate from the folders between the data folder and a file."""
    names = list(folders)
    split = names.pop(0).casefold() if names and names[0].casefold() in SPLIT_PARTS else None
    in_images = bool(names) and names[-1].casefold() == "images"
    names = [name for name in names if name.casefold() != "images"]
    if in_images and len(names) == 1:
        return split, None, names[0]
    condition = names[0] if names else None
    return split, condition, names[-1] if len(names) > 1 else None


def _with_plate(files: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Name plates without a name by the nearest folder that is neither a class nor a part of a split."""
    taken = {*SPLIT_PARTS, "images", *files["condition"].dropna().str.casefold()}
    above = [root.absolute(), *root.absolute().parents]
    plate = next((folder.name for folder in above if folder.name.casefold() not in taken), root.name)
    return files.assign(Metadata_Plate=files["Metadata_Plate"].fillna(plate).astype("str"))


def color_channels(paths: list[Path]) -> tuple[str, ...]:
    """Names of the planes in files whose names say no channel: R, G, B, or Grey.

    Args:
        paths: Files of one kind; the first that can be read speaks for all.

    Raises:
        LeighError: None of the first files can be read as an image.
    """
    for path in paths[:10]:
        samples = _samples_per_pixel(path)
        if samples:
            return ("R", "G", "B") if samples >= 3 else ("Grey",)
    raise LeighError(f"{paths[0]} and the files next to it cannot be read as images; export them again.")


def _samples_per_pixel(path: Path) -> int:
    import tifffile
    from PIL import Image, UnidentifiedImageError

    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as tiff:
                return int(tiff.pages.first.samplesperpixel)
        with Image.open(path) as image:
            # A palette is a way to store colours, not a channel.
            return 3 if image.mode == "P" else len(image.getbands())
    except (OSError, UnidentifiedImageError, tifffile.TiffFileError):
        return 0
