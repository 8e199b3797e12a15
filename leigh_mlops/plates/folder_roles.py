"""Roles of the folders above image files: parts of a split, classes, plates, time points and planes."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.presets import DYES, WELL

__all__ = ["SPLIT_PARTS", "FolderPlace", "FolderRoles", "find_roles", "is_step", "split_part"]

SPLIT_PARTS = ("train", "val", "test")
_PART_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_STEP = re.compile(r"(?P<kind>TimePoint|ZStep)_(?P<number>\d{1,9})", re.IGNORECASE | re.ASCII)
_NO_CLASS = re.compile(r"[\d\s._-]+")
"""Folders that only number or date what lies in them."""
_CONTAINER = re.compile(
    r"images?|img|imgs|tiffs?|pngs?|raw|data|export(?:ed)?|files|pictures|bilder|bild|(?:slide|chamber|field)--.*",
    re.IGNORECASE,
)
_PLATE_NAME = re.compile(
    r".*(?:plate|platte|plaque|barcode|measurement|messung).*|.*(?<!\d)(?:19|20)\d{2}[-_.]?\d{2}[-_.]?\d{2}(?!\d).*"
    r"|[A-Za-z]{0,4}[-_]?\d{4,}.*",
    re.IGNORECASE,
)
_NO_PLATE = re.compile(
    rf"(?:{DYES})|(?:w|c|ch|channel|f|s|site|field|pos|xy|well)[ _-]?\d+|well[ _-]?{WELL}|[A-O](?:0[1-9]|[12]\d)",
    re.IGNORECASE,
)
"""Folders of a channel, a field or a well."""


@dataclass(frozen=True)
class FolderPlace:
    """Content of the folder names between the data folder and a file.

    Attributes:
        split: Part of a split.
        condition: Class.
        plate: Plate.
        z: Number of the plane.
        time: Number of the time point.
    """

    split: str | None = None
    condition: str | None = None
    plate: str | None = None
    z: int | None = None
    time: int | None = None


@dataclass(frozen=True)
class FolderRoles:
    """Roles of all folders of one scan.

    Attributes:
        places: Folder to its content.
        notes: Decisions, each a sentence without its end.
    """

    places: Mapping[str, FolderPlace]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Parts:
    """Folder names of one file that may be classes or plates, and the numbers in the others."""

    names: tuple[str, ...]
    place: FolderPlace
    of_a_microscope: bool


def split_part(folder: str) -> str | None:
    """Part of a split that a folder's name stands for.

    Example:
        >>> split_part("Validation"), split_part("DS")
        ('val', None)
    """
    part = _PART_NAMES.get(folder.casefold(), folder.casefold())
    return part if part in SPLIT_PARTS else None


def is_step(name: str) -> bool:
    """Return whether a folder is one of a time point or a plane, as MetaXpress calls them."""
    return _STEP.fullmatch(name) is not None


def find_roles(start: str, folders: Iterable[str], *, classes: bool, map_classes: Collection[str] = ()) -> FolderRoles:
    """Find the roles of folders, all together.

    Folders may stand as ``[train|val|test/][class/][plate/]``, ``[plate/][class/]``, ``[plate/]Images/``
    or ``[plate/]TimePoint_1/ZStep_1/``. A folder is a class only where its name cannot be that of a plate.

    Args:
        start: The data folder.
        folders: Folders of image files, absolute.
        classes: Whether folders may be classes; where a plate map names these, folders are plates.
        map_classes: Classes of the plate map: folders called so are no plates.

    Raises:
        LeighError: Two levels of folders may both be the classes.
    """
    parts = {folder: _parts(start, folder) for folder in folders}
    levels = {folder: one.names for folder, one in parts.items() if one.names}
    outer = _plate_names({names[0] for names in levels.values()})
    inner = _plate_names({names[1] for names in levels.values() if len(names) > 1})
    known = {name.casefold() for name in map_classes}
    if classes:
        _check_levels(levels, outer, inner, start)
    conditions = {
        folder: _class_level(one, outer, inner) if classes else _known_level(one.names, known)
        for folder, one in parts.items()
    }
    paths = {folder: _plate_path(parts[folder], level) for folder, level in conditions.items()}
    names = _distinct_names(set(paths.values()))
    places = {
        folder: replace(
            one.place,
            condition=one.names[level] if classes and (level := conditions[folder]) is not None else None,
            plate=names.get(paths[folder]),
        )
        for folder, one in parts.items()
    }
    return FolderRoles(places, _notes(places, levels, outer | inner) if classes else [])


def _parts(start: str, folder: str) -> _Parts:
    names = list(Path(os.path.relpath(folder, start)).parts)
    split = split_part(names[0]) if names else None
    names = names[1:] if split else names
    steps = {match["kind"].casefold(): int(match["number"]) for name in names if (match := _STEP.fullmatch(name))}
    of_a_microscope = bool(steps) or (bool(names) and names[-1].casefold() == "images")
    names = [name for name in names if not _CONTAINER.fullmatch(name) and not _STEP.fullmatch(name)]
    place = FolderPlace(split, z=steps.get("zstep"), time=steps.get("timepoint"))
    return _Parts(tuple(names), place, of_a_microscope)


def _plate_names(siblings: set[str]) -> set[str]:
    """Select the names of folders that may be plates: dates, barcodes, names that only a number parts."""
    stems: dict[str, int] = defaultdict(int)
    for name in siblings:
        stems[re.sub(r"\d+", "", name).casefold()] += 1
    numbered = {name for name in siblings if re.search(r"\d", name)}
    return {
        name
        for name in siblings
        if _PLATE_NAME.fullmatch(name)
        or _NO_CLASS.fullmatch(name)
        or (name in numbered and (len(siblings) == 1 or stems[re.sub(r"\d+", "", name).casefold()] > 1))
    }


def _check_levels(levels: Mapping[str, tuple[str, ...]], outer: set[str], inner: set[str], start: str) -> None:
    """Raise an error where outer and inner folders may both be the classes."""
    below: dict[str, set[str]] = defaultdict(set)
    for names in levels.values():
        if len(names) > 1 and names[0] not in outer and names[1] not in inner and not _NO_PLATE.fullmatch(names[1]):
            below[names[1]].add(names[0])
    repeated = sorted(name for name, tops in below.items() if len(tops) > 1)
    if len(repeated) > 1:
        tops = sorted(set.union(*(below[name] for name in repeated)))
        raise LeighError(
            f"in {escape_unprintable(start)} the folders {' and '.join(repeated[:3])} repeat below "
            f"{' and '.join(tops[:3])}, so that either may be the classes; name the class of each well in a "
            "platemap.csv (well_position,plate,condition), or say which they are with --pattern, as in "
            r"(?P<plate>[^/]+)/(?P<condition>[^/]+)/.*(?P<well>[A-P]\d+).*"
        )


def _class_level(one: _Parts, outer: set[str], inner: set[str]) -> int | None:
    """Place of the class among the names of a folder; ``None`` where it has none."""
    if not one.names or (one.of_a_microscope and len(one.names) == 1):
        return None
    if one.names[0] not in outer:
        return 0
    return 1 if len(one.names) > 1 and one.names[1] not in inner else None


def _known_level(names: tuple[str, ...], known: set[str]) -> int | None:
    return next((level for level, name in enumerate(names) if name.casefold() in known), None)


def _plate_path(one: _Parts, level: int | None) -> tuple[str, ...]:
    names = [name for number, name in enumerate(one.names) if number != level]
    return tuple(name for name in names if not _NO_PLATE.fullmatch(name))


def _distinct_names(paths: set[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Name of each plate by its folders: the innermost, or all where the innermost is that of another plate, too."""
    last: dict[str, int] = defaultdict(int)
    for path in paths:
        if path:
            last[path[-1]] += 1
    return {path: path[-1] if last[path[-1]] == 1 else "_".join(path) for path in paths if path}


def _notes(places: Mapping[str, FolderPlace], levels: Mapping[str, tuple[str, ...]], plates: set[str]) -> list[str]:
    found = sorted({place.condition for place in places.values() if place.condition})
    notes = [f"the folders {_list(found)} are taken for classes"] if found else []
    tops = sorted({names[0] for names in levels.values()} & plates)
    if tops:
        word = "folders" if len(tops) > 1 else "folder"
        notes.append(f"the {word} {_list(tops)} may be {word.replace('folder', 'plate')}, and {_be(tops)} no class")
    return notes


def _be(names: Collection[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _list(names: list[str]) -> str:
    shown = ", ".join(map(escape_unprintable, names[:4]))
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
