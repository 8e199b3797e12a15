"""OME-Zarr plates: their images, from the metadata alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import parse_well, well_name
from leigh_mlops.plates.vendors.channel_matching import match_labels
from leigh_mlops.plates.vendors.elements import whole_number
from leigh_mlops.plates.vendors.indexes import Index, distinct_plates, match_channels
from leigh_mlops.plates.vendors.listed import FILE_COLUMNS, distinct_names, is_subpath
from leigh_mlops.plates.vendors.zarr_metadata import group_attributes, read_image_group

__all__ = ["read_zarr_plates"]

_CHANNEL = FILE_COLUMNS.index("channel")


def read_zarr_plates(root: Path) -> Index | None:
    """Read the metadata of OME-Zarr plates, versions 0.4 (zarr 2) and 0.5 (zarr 3).

    Wells are known by their indices into the plate's rows and columns, since ``B/3`` and
    ``B/03`` both occur. Channels, planes and time points are numbered from 1, frames from 0 over
    all axes before y and x in C order. Fields are numbered as their paths are, or from 1 where
    these are no numbers.

    Args:
        root: A plate, or a folder with plates (``*.zarr``) in it.

    Returns:
        The planes of all plates; ``folder`` is the field's group, ``name`` its finest array.
        ``None`` where there is no plate.

    Raises:
        LeighError: A plate's own metadata is broken, no image is left of all plates, or the
            channels of two plates have no label in common.
    """
    plates, broken = _plates(root.absolute())
    if not plates:
        return None
    listed = [_read(plate) for plate in plates]
    names, notes = distinct_plates([plate.name for plate in plates], [plate.folder.stem for plate in plates])
    numbers = [{str(row[_CHANNEL]) for row in one.rows} for one in listed]
    matched = match_channels(
        [(one.channel_names, plate.folder) for one, plate in zip(listed, plates, strict=True)], numbers
    )
    rows = [
        (name, *row[1:_CHANNEL], channels[str(row[_CHANNEL])], *row[_CHANNEL + 1 :])
        for one, name, channels in zip(listed, names, matched, strict=True)
        for row in one.rows
    ]
    reasons = broken | {path: reason for plate in listed for path, reason in plate.reasons.items()}
    if not rows:
        first = next((f" ({path}: {reason})" for path, reason in reasons.items()), "")
        raise LeighError(f"the OME-Zarr plate {plates[0].folder} has no readable image{first}; export it again.")
    files = pd.DataFrame(rows, columns=list(FILE_COLUMNS))
    fields, many = len(files[[*FILE_COLUMNS[:3]]].drop_duplicates()), len(plates) > 1
    return Index(
        files=files,
        preset="ome-zarr",
        channel_names={
            channels[number]: label
            for one, channels in zip(listed, matched, strict=True)
            for number, label in one.channel_names.items()
            if number in channels
        },
        why=f"{len(plates)} OME-Zarr plates hold {fields} fields"
        if many
        else f"the OME-Zarr plate holds {fields} fields",
        source=plates[0].folder,
        absent=[path for plate in listed for path in plate.absent],
        reasons=reasons,
        notes=notes,
    )


class _Plate(NamedTuple):
    """A plate's own metadata."""

    folder: Path
    name: str
    rows: list[object]
    columns: list[object]
    wells: list[object]


@dataclass(frozen=True)
class _PlateContents:
    """Contents of a plate, collected while its wells are read."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    reasons: dict[Path, str] = field(default_factory=dict)
    absent: list[Path] = field(default_factory=list)

    @property
    def channel_names(self) -> dict[str, str]:
        return distinct_names(self.labels)


def _plates(root: Path) -> tuple[list[_Plate], dict[Path, str]]:
    """The plates of a folder, and those that are broken as long as others are not."""
    plates, broken = [], {}
    below = sorted(path for path in root.iterdir() if path.suffix == ".zarr") if root.is_dir() else []
    for folder in (root, *below):
        try:
            plate = _open(folder)
        except (OSError, ValueError) as error:
            broken[folder] = f"its metadata cannot be read: {error}"
        else:
            plates += [plate] if plate else []
    if broken and not plates:
        folder, reason = next(iter(broken.items()))
        raise LeighError(
            f"{folder} is not a readable OME-Zarr plate, because {reason}; export it again, or move it elsewhere."
        )
    return plates, broken


def _open(folder: Path) -> _Plate | None:
    """Read a plate's own metadata; ``None`` for a folder that is no plate."""
    about = group_attributes(folder).get("plate")
    if about is None:
        return None
    if not isinstance(about, dict) or not isinstance(about.get("wells"), list):
        raise ValueError("it lists no wells")
    rows, columns = (names if isinstance(names := about.get(key), list) else [] for key in ("rows", "columns"))
    name = about.get("name")
    return _Plate(
        folder, name if isinstance(name, str) and name.strip() else folder.stem, rows, columns, about["wells"]
    )


def _read(plate: _Plate) -> _PlateContents:
    listed = _PlateContents()
    for well in plate.wells:
        with _record_failures(plate.folder / _entry_path(well), listed):
            group = _group(plate.folder, well)
            place = _place(plate, well)
            images = _list(group, "well", "images")
            acquisitions = [_acquisition(image) for image in images]
            for number, image in enumerate(images, 1):
                with _record_failures(group / _entry_path(image), listed):
                    acquisition = acquisitions[number - 1]
                    inner = _group(group, image)
                    site = whole_number(inner.name)
                    if len(set(acquisitions)) > 1:  # the fields are those of each acquisition
                        site = acquisitions[:number].count(acquisition)
                    planes = _planes(plate, place, number if site is None else site, acquisition, inner, listed)
                    listed.rows.extend(planes)
    return listed


@contextmanager
def _record_failures(path: Path, listed: _PlateContents) -> Iterator[None]:
    """Record why a well or an image is left out, and continue with the next."""
    try:
        yield
    except FileNotFoundError:
        listed.absent.append(path)
    except (OSError, ValueError) as error:
        listed.reasons[path] = str(error)


def _entry_path(entry: object) -> str:
    path = entry.get("path") if isinstance(entry, dict) else entry
    return str(path)[:200].replace("\0", "")


def _group(folder: Path, entry: object) -> Path:
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not is_subpath(path, folder):
        raise ValueError("its path in the metadata leaves the plate")
    if not (folder / path).is_dir():
        raise FileNotFoundError(path)
    return folder / path


def _list(group: Path, name: str, key: str) -> list[object]:
    about = group_attributes(group).get(name)
    entries = about.get(key) if isinstance(about, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"its metadata lists no {key}")
    return entries


def _acquisition(image: object) -> int | None:
    number = image.get("acquisition") if isinstance(image, dict) else None
    return whole_number(str(number)) if number is not None else None


def _place(plate: _Plate, well: object) -> tuple[int, int]:
    """Row and column of a well; by its path in older versions, which give no index."""
    about = well if isinstance(well, dict) else {}
    parts = str(about.get("path")).split("/")
    indexed = ((plate.rows, about.get("rowIndex"), parts[0]), (plate.columns, about.get("columnIndex"), parts[-1]))
    return parse_well("".join(path if index is None else _name(names, index) for names, index, path in indexed))


def _name(names: list[object], index: object) -> str:
    if not isinstance(index, int) or not 0 <= index < len(names):
        raise ValueError(f"the plate has no row or column of index {str(index)[:20]}")
    entry = names[index]
    return str(entry.get("name") if isinstance(entry, dict) else entry)[:40]


def _planes(
    plate: _Plate,
    place: tuple[int, int],
    site: int,
    acquisition: int | None,
    group: Path,
    listed: _PlateContents,
) -> Iterator[tuple[object, ...]]:
    image = read_image_group(group)
    labels = {str(number): label for number, label in enumerate(image.labels, 1) if label}
    channels = {str(number) for number in range(1, image.axes.get("c", 1) + 1)}
    labels = {number: label for number, label in distinct_names(labels).items() if number in channels}
    matched = match_labels(labels, listed.labels, channels)
    for frame, index in enumerate(product(*map(range, image.axes.values()))):
        at = {axis: position + 1 for axis, position in zip(image.axes, index, strict=True)}
        yield (
            *(plate.name, well_name(*place), site, at.get("z"), at.get("t"), *place, None, None),
            *(matched[str(at.get("c", 1))], str(group), image.dataset, str(frame), image.pixel_size_um),
            *(None, acquisition),
        )
