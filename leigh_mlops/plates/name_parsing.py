"""Parsing of all file names of a folder, which together settle what no single name does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.layout import PLATE_SHAPES
from leigh_mlops.plates.names import FieldName, build_field_name, match_name
from leigh_mlops.plates.presets import LOOSE_GENERIC, PRESETS

__all__ = ["ParsedNames", "read_names", "read_with_pattern"]

_FIELD_LETTERS = "cfpstwz"  # channel, field, plane, site, time, wavelength
_DEFAULT_SIZES = (96, 384, 1536)
_Groups = Mapping[str, str | None]


@dataclass(frozen=True)
class ParsedNames:
    """Parsed file names of one folder.

    Attributes:
        fields: One per name, in order; ``None`` where the pattern does not know it.
        preset: The preset, or ``pattern``.
        why: Why this preset, in one sentence without its end.
        reasons: Number of a name to the reason why it was not read, where more is known.
        in_folder: Numbers of the names of which the folder tells a part.
    """

    fields: list[FieldName | None]
    preset: str
    why: str
    reasons: dict[int, str] = field(default_factory=dict)
    in_folder: frozenset[int] = frozenset()


def read_names(
    names: Sequence[str],
    preset: str = "auto",
    plate_size: int | None = None,
    *,
    folders: Sequence[str] | None = None,
) -> ParsedNames:
    """Read all names of a folder with one preset.

    Some things are settled by all names together: a plate that is called like a well (``P2_C01``
    is well C01 of plate P2 where ``P1_B03`` shows that there are such plates), the size of a
    plate whose wells are only numbered, channels of one name that a number tells apart, and
    whether ``f1`` is a well or a field.

    Args:
        names: File names.
        preset: A key of ``PRESETS``, or ``auto`` for the one that knows most names.
        plate_size: Wells of the plate, for numbered wells; by default the smallest of 96, 384 and
            1536 that has the largest number.
        folders: Name of the folder of each file, which some presets read, too.

    Raises:
        LeighError: There is no such preset, or no plate of that size.
    """
    if preset not in ("auto", *PRESETS):
        raise LeighError(
            f"{preset!r} is not a preset for file names; choose auto, {', '.join(PRESETS)}, pictures or ome-zarr."
        )
    above = [""] * len(names) if folders is None else folders
    matches = {known: _matches(names, known, above) for known in (PRESETS if preset == "auto" else (preset,))}
    counts = {known: sum(groups is not None for groups in found) for known, found in matches.items()}
    ranked = sorted(counts, key=lambda known: -counts[known])
    chosen = ranked[0]
    why = f"{chosen} reads {counts[chosen]} of {len(names)} names"
    if preset != "auto":
        why = f"the preset {chosen} was named and reads {counts[chosen]} of {len(names)} names"
    elif counts[ranked[1]]:
        why += f", {ranked[1]} {counts[ranked[1]]}"
    sizes, note = _sizes(matches[chosen], plate_size)
    told = _number_wavelengths(matches[chosen])
    fields = [None if groups is None else build_field_name(groups, sizes) for groups in told]
    off = {
        number: f"its well is on no plate of {max(sizes)} wells"
        for number, groups in enumerate(matches[chosen])
        if sizes and groups is not None and fields[number] is None
    }
    in_folder = frozenset(number for number, groups in enumerate(told) if groups and groups.get("folder"))
    return ParsedNames(fields, chosen, why + note, off, in_folder)


def _number_wavelengths(matches: Sequence[_Groups | None]) -> list[_Groups | None]:
    """Add the number of the wavelength to the names of channels that have several."""
    numbers: dict[str | None, set[str]] = {}
    for groups in matches:
        if groups and (number := groups.get("wavelength")):
            numbers.setdefault(groups.get("channel"), set()).add(number)
    several = {channel for channel, known in numbers.items() if channel and len(known) > 1}
    return [
        {**groups, "channel": f"{groups['channel']} wix {groups['wavelength']}"}
        if groups and groups.get("wavelength") and groups.get("channel") in several
        else groups
        for groups in matches
    ]


def _matches(names: Sequence[str], preset: str, folders: Sequence[str]) -> list[_Groups | None]:
    pairs = zip(names, folders, strict=True)
    found: list[_Groups | None] = [match_name(name, preset, folder) for name, folder in pairs]
    if _are_fields(found):
        return [None] * len(names)
    like_wells = {groups["plate_letters"] for groups in found if groups and "plate_letters" in groups}
    if like_wells:
        for number, name in enumerate(names):
            match = LOOSE_GENERIC.fullmatch(name)
            if match and match["plate_letters"] in like_wells:
                found[number] = match.groupdict()
    return found


def _are_fields(found: Sequence[_Groups | None]) -> bool:
    """Return whether all wells are written as fields and channels are (``f1``, ``c2``), and none as a well alone is."""
    wells = [well for groups in found if groups and (well := groups.get("well"))]
    return bool(wells) and all(well[:1] in _FIELD_LETTERS and well[1:].isdecimal() for well in wells)


def _sizes(matches: Sequence[_Groups | None], plate_size: int | None) -> tuple[dict[int, int], str]:
    """Wells and columns of the plate of numbered wells, and a note on the choice."""
    if plate_size is not None and plate_size not in PLATE_SHAPES:
        raise LeighError(f"plates of {plate_size} wells are not supported; choose {', '.join(map(str, PLATE_SHAPES))}.")
    indexes = [int(groups["well_index"] or 0) for groups in matches if groups and _is_numbered(groups)]
    if not indexes:
        return {}, ""
    largest = max(indexes)
    size = plate_size or next((size for size in _DEFAULT_SIZES if largest <= size), _DEFAULT_SIZES[-1])
    how = "as requested" if plate_size else f"the smallest that has the largest number, {largest}"
    note = f"; wells are numbered row by row on a plate of {size} wells ({how})"
    return {size: PLATE_SHAPES[size][1]}, note


def _is_numbered(groups: _Groups) -> bool:
    return not groups.get("well") and "well_index" in groups


def read_with_pattern(names: Sequence[str], pattern: re.Pattern[str]) -> ParsedNames:
    """Read all names of a folder with a user's own pattern.

    Args:
        names: File names, or paths below the data folder where the pattern holds a ``/``.
        pattern: As :func:`~leigh_mlops.plates.names.compile_pattern` gives it.
    """
    fields: list[FieldName | None] = []
    reasons = {}
    for number, name in enumerate(names):
        match = pattern.fullmatch(name)
        try:
            fields.append(build_field_name(match.groupdict()) if match else None)
        except ValueError as error:
            fields.append(None)
            reasons[number] = f"the pattern takes for a number what is none ({error})"
            continue
        if match and fields[-1] is None:
            reasons[number] = "the pattern finds no well of a plate in it"
    known = sum(field is not None for field in fields)
    return ParsedNames(fields, "pattern", f"the pattern that was given reads {known} of {len(names)} names", reasons)
