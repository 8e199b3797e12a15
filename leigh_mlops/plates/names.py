"""File names: what a microscope's or an exporter's name says about a field."""

import re
from dataclasses import dataclass
from functools import lru_cache

from leigh_mlops.errors import LeighError

__all__ = ["PRESETS", "FieldName", "Preset", "parse_name", "parse_well", "well_name"]

MAX_ROWS, MAX_COLS = 32, 48  # a plate of 1536 wells ends at AF48

_COMBINED = ("DAPI", "TMRM", "DAPI+TMRM")
_SUFFIX = r"\.(?i:png|bmp|tiff?)"
_WELL = r"(?:A[A-F]|[A-Z])(?:0?[1-9]|[1-3]\d|4[0-8])"
# The first part that reads as a well is the well: a plate's name may hold no such part, or
# "B03_C1" (well B03, channel 1) would be read as well C01 of a plate "B03".
_NO_WELL = rf"(?!{_WELL}[_-])[^_-]*"


@dataclass(frozen=True)
class FieldName:
    """What one file name says; ``None`` where it says nothing.

    Attributes:
        plate: Name of the plate.
        row: Row on the plate, from 1.
        col: Column on the plate, from 1.
        site: Number of the field in its well, as written.
        z: Number of the plane.
        channel: Number without leading zeros, or name of the channel.
        condition: Class of the well.
        time: Number of the time point.
    """

    plate: str | None
    row: int
    col: int
    site: int
    z: int | None
    channel: str | None
    condition: str | None
    time: int | None = None


@dataclass(frozen=True)
class Preset:
    """How one source names its files.

    Attributes:
        pattern: Matches a whole file name. Its groups are named as the attributes of
            :class:`FieldName`; ``well`` may stand for ``row`` and ``col``.
        packed: Channels that one file holds, in the order of its planes; ``None`` where each
            channel has a file of its own or the file itself tells.
    """

    pattern: re.Pattern[str]
    packed: tuple[str, ...] | None = None


PRESETS: dict[str, Preset] = {
    "leigh_ds_tt": Preset(
        re.compile(
            r"(?P<condition>[A-Za-z]+)(?P<row>\d{3})(?P<col>\d{3})-(?P<site>\d+)"
            rf"-(?P<z>\d{{3}})(?P<time>\d{{3}})combined(?:_\d+_pixel)?{_SUFFIX}"
        ),
        _COMBINED,
    ),
    "leigh_ds_wt": Preset(
        re.compile(
            r"(?P<plate>\d+)(?P<condition>[A-Za-z]+?)r(?P<row>\d{2})c(?P<col>\d{2})f(?P<site>\d{2,4})"
            rf"p(?P<z>\d{{2,3}})-combined-sk\d+fk\d+fl\d+(?:_\d+_pixel)?{_SUFFIX}"
        ),
        _COMBINED,
    ),
    "harmony": Preset(
        re.compile(
            r"r(?P<row>\d{2})c(?P<col>\d{2})f(?P<site>\d{2,4})p(?P<z>\d{2,3})(?:rc\d)?"
            r"-ch(?P<channel>\d{1,2})(?:sk(?P<time>\d+)fk\d+fl\d+|t(?P<t>\d+))\.(?i:tiff?)"
        ),
    ),
    "generic": Preset(
        re.compile(
            rf"(?:(?P<plate>{_NO_WELL}(?:[_-]{_NO_WELL})*)[_-])?(?P<well>{_WELL})"
            r"(?:[_-](?:s|f|F|site|field)?(?P<site>\d+))?"
            rf"(?:[_-](?:w|c|ch|C)?(?P<channel>\d+|DAPI|TMRM))?(?:\.ome)?{_SUFFIX}"
        ),
    ),
}


def parse_name(name: str, preset: str = "auto") -> FieldName | None:
    """Read a file name.

    Args:
        name: File name without its folder.
        preset: A key of :data:`PRESETS`, or ``auto`` for the first one that matches.

    Returns:
        What the name says; ``None`` where it does not match, or where it names a place that no
        plate has. A name without a field number is field 1.

    Raises:
        LeighError: There is no such preset.

    Example:
        >>> parse_name("r02c03f144p01-ch10sk1fk1fl1.tiff")
        FieldName(plate=None, row=2, col=3, site=144, z=1, channel='10', condition=None, time=1)
    """
    if preset != "auto" and preset not in PRESETS:
        raise LeighError(f"{preset!r} is no preset for file names; choose auto, {', '.join(PRESETS)}.")
    for known in PRESETS if preset == "auto" else (preset,):
        if match := PRESETS[known].pattern.fullmatch(name):
            return _field(match.groupdict())
    return None


def _field(groups: dict[str, str | None]) -> FieldName | None:
    well = groups.get("well")
    row, col = parse_well(well) if well else (int(groups["row"] or 0), int(groups["col"] or 0))
    if not (1 <= row <= MAX_ROWS and 1 <= col <= MAX_COLS):
        return None
    channel = groups.get("channel")
    return FieldName(
        plate=groups.get("plate") or None,
        row=row,
        col=col,
        site=int(groups.get("site") or 1),
        z=_number(groups.get("z")),
        channel=str(int(channel)) if channel and channel.isdigit() else channel,
        condition=groups.get("condition"),
        time=_number(groups.get("time") or groups.get("t")),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


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
        raise LeighError(f"row {row}, column {col} is no well; rows go to {MAX_ROWS}, columns to {MAX_COLS}.")
    letters = chr(64 + row) if row <= 26 else "A" + chr(64 + row - 26)
    return f"{letters}{col:02d}"


def parse_well(name: str) -> tuple[int, int]:
    """Row and column of a well, both from 1; the inverse of :func:`well_name`.

    Raises:
        LeighError: This is no name of a well.

    Example:
        >>> parse_well("B3"), parse_well("AF48")
        ((2, 3), (32, 48))
    """
    text = name.strip().upper()
    if not re.fullmatch(_WELL, text):
        raise LeighError(f"{name!r} is no well; write letter and number, from A01 to AF48.")
    letters = text.rstrip("0123456789")
    row = ord(letters[-1]) - 64 + 26 * (len(letters) - 1)
    return row, int(text[len(letters) :])
