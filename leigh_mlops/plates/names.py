"""File names of microscopes and exporters, parsed into plate, well, field and channel."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.presets import LOOSE_GENERIC, PRESETS, WELL, Preset

__all__ = [
    "PRESETS",
    "MAX_COLS",
    "MAX_ROWS",
    "FieldName",
    "Preset",
    "compile_pattern",
    "build_field_name",
    "match_name",
    "parse_name",
    "parse_well",
    "well_name",
]

MAX_ROWS, MAX_COLS = 32, 48  # a plate of 1536 wells ends at AF48
MAX_DIGITS = 9  # of a user's pattern; more fit into no column of whole numbers
_GROUPS = ("plate", "well", "row", "col", "site", "channel", "z", "time", "condition")
_WELL = re.compile(WELL, re.ASCII)
_COLUMNS_OF_SMALLEST = {96: 12, 384: 24, 1536: 48}
_FIELD_TERMS = ("S", "T", "W", "Z")  # site, time, wavelength, plane: rows that only 1536 wells have


@dataclass(frozen=True)
class FieldName:
    """Content of one file name; ``None`` where the name has no such part.

    Attributes:
        plate: Name of the plate.
        row: Row on the plate, from 1.
        col: Column on the plate, from 1.
        site: Number of the field in its well, as written.
        z: Number of the plane.
        channel: Number without leading zeros, or name of the channel.
        condition: Class of the well.
        time: Number of the time point; minutes since the start under the preset ``incucyte``.
    """

    plate: str | None
    row: int
    col: int
    site: int
    z: int | None
    channel: str | None
    condition: str | None
    time: int | None = None


def parse_name(name: str, preset: str = "auto") -> FieldName | None:
    """Read a file name.

    Args:
        name: File name, after the name of its folder and a ``/`` for presets that read it, too.
        preset: A key of :data:`PRESETS`, or ``auto`` for the first one that matches.

    Returns:
        The parsed name; ``None`` where it does not match, or where it names a place that no
        plate has. A name without a field number is field 1. A well that is only numbered (scanr)
        stands on the smallest plate of 96, 384 or 1536 wells that has that number.

    Raises:
        LeighError: There is no such preset.

    Example:
        >>> parse_name("r02c03f144p01-ch10sk1fk1fl1.tiff")
        FieldName(plate=None, row=2, col=3, site=144, z=1, channel='10', condition=None, time=1)
    """
    if preset != "auto" and preset not in PRESETS:
        raise LeighError(f"{preset!r} is not a preset for file names; choose auto, {', '.join(PRESETS)}.")
    folder, _, base = name.rpartition("/")
    for known in PRESETS if preset == "auto" else (preset,):
        if groups := match_name(base, known, folder):
            return build_field_name(groups)
    return None


def match_name(name: str, preset: str, folder: str = "") -> dict[str, str | None] | None:
    """Groups of a preset's pattern in a file name; ``None`` where it does not match.

    Where the folder tells a part, it is the group ``folder``.
    """
    pattern = PRESETS[preset].pattern
    if "/" in pattern.pattern:
        match = pattern.fullmatch(f"{folder}/{name}")
        used = match and any(0 <= match.end(group) <= len(folder) for group in pattern.groupindex)
        return match and match.groupdict() | {"folder": folder if used else None}
    if match := pattern.fullmatch(name):
        return match.groupdict()
    if preset == "generic" and (match := LOOSE_GENERIC.fullmatch(name)) and _is_unambiguous(match.groupdict()):
        return match.groupdict()
    return None


def _is_unambiguous(groups: dict[str, str | None]) -> bool:
    """Return whether ``P1_B03`` can only be well B03 of a plate P1: the two numbers are written differently."""
    well = groups["well"] or ""
    return (
        len(groups["plate_number"] or "") == 1
        and len(well.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) == 2
        and not well.startswith(_FIELD_TERMS)
    )


def build_field_name(groups: Mapping[str, str | None], sizes: Mapping[int, int] | None = None) -> FieldName | None:
    """Build a field name from the groups of a match; ``None`` where they name a place that no plate has.

    Args:
        groups: Group name to text, as :class:`Preset` describes them; a row may be a letter.
        sizes: Wells to columns of the plates on which a ``well_index`` may stand, smallest first.

    Raises:
        ValueError: A group of a user's pattern that must be a number is none.
    """
    place = _place(groups, sizes)
    if place is None or not (1 <= place[0] <= MAX_ROWS and 1 <= place[1] <= MAX_COLS):
        return None
    channel = groups.get("channel") or groups.get("late_channel")
    return FieldName(
        plate=groups.get("plate") or None,
        row=place[0],
        col=place[1],
        site=_site(groups),
        z=_number(groups.get("z") or groups.get("late_z")),
        channel=str(int(channel)) if channel and channel.isdecimal() else channel or None,
        condition=groups.get("condition") or None,
        time=_time(groups),
    )


def _place(groups: Mapping[str, str | None], sizes: Mapping[int, int] | None) -> tuple[int, int] | None:
    if from_0 := groups.get("row_from_0"):
        return int(from_0) + 1, int(groups["col_from_0"] or 0) + 1
    if well := groups.get("well") or groups.get("late_well"):
        return parse_well(well) if _WELL.fullmatch(well.upper()) else None
    if index := groups.get("well_index"):
        number = int(index) - 1
        known = sizes or _COLUMNS_OF_SMALLEST
        cols = next((cols for wells, cols in known.items() if 0 <= number < wells), 0)
        return (number // cols + 1, number % cols + 1) if cols else None
    row, col = groups.get("row") or "", int(groups.get("col") or 0)
    if row.isdecimal():
        return int(row), col
    return (parse_well(f"{row}1")[0], col) if _WELL.fullmatch(f"{row}1".upper()) else None


def _site(groups: Mapping[str, str | None]) -> int:
    """Number of the field; where it has two, in rows and columns, their digits one after the other."""
    across, down = groups.get("late_site") or groups.get("site"), groups.get("site_y")
    return (_number(f"{down or ''}{across or ''}") or 0) if across or down else 1


def _time(groups: Mapping[str, str | None]) -> int | None:
    if days := groups.get("days"):
        return 1440 * int(days) + 60 * int(groups["hours"] or 0) + int(groups["minutes"] or 0)
    return _number(groups.get("time") or groups.get("late_time"))


def _number(text: str | None) -> int | None:
    if text and len(text) > MAX_DIGITS:
        raise ValueError(f"{text} is too large a number")
    return int(text) if text else None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compile a user's own pattern for file names.

    Args:
        pattern: Regular expression that matches a whole file name, or, where it holds a ``/``, the
            path below the data folder. Its groups are ``well`` or ``row`` and ``col``, and as
            needed ``plate site channel z time condition``.

    Raises:
        LeighError: This is no regular expression, or its groups name no well or something else.

    Example:
        >>> sorted(compile_pattern(r"(?P<well>[A-P][0-9]+)\.tif").groupindex)
        ['well']
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise LeighError(f"the pattern {pattern!r} is not a regular expression ({error}); correct it.") from error
    if unknown := [name for name in compiled.groupindex if name not in _GROUPS]:
        raise LeighError(f"the pattern {pattern!r} has a group {unknown[0]!r}; the groups are {', '.join(_GROUPS)}.")
    if "well" not in compiled.groupindex and not {"row", "col"} <= set(compiled.groupindex):
        raise LeighError(f"the pattern {pattern!r} has no group for the well; add (?P<well>...), or row and col.")
    return compiled


@lru_cache(maxsize=MAX_ROWS * MAX_COLS)
def well_name(row: int, col: int) -> str:
    """Name of a well from its place, both numbers from 1.

    Raises:
        LeighError: No plate has such a place.

    Example:
        >>> well_name(2, 3), well_name(32, 48)
        ('B03', 'AF48')
    """
    if not (1 <= row <= MAX_ROWS and 1 <= col <= MAX_COLS):
        raise LeighError(f"row {row}, column {col} is not a well; rows end at {MAX_ROWS}, columns at {MAX_COLS}.")
    letters = chr(64 + row) if row <= 26 else "A" + chr(64 + row - 26)
    return f"{letters}{col:02d}"


@lru_cache(maxsize=4 * MAX_ROWS * MAX_COLS)
def parse_well(name: str) -> tuple[int, int]:
    """Row and column of a well, both from 1; the inverse of :func:`well_name`.

    Raises:
        LeighError: This is no name of a well.

    Example:
        >>> parse_well("B3"), parse_well("AF48")
        ((2, 3), (32, 48))
    """
    text = name.strip().upper()
    if not _WELL.fullmatch(text):
        raise LeighError(f"{name!r} is not a well; write a letter and a number, from A01 to AF48.")
    letters = text.rstrip("0123456789")
    row = ord(letters[-1]) - 64 + 26 * (len(letters) - 1)
    return row, int(text[len(letters) :])
