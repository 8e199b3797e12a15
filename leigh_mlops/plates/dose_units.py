"""Units of doses, in headers and in cells."""

import re
from typing import NamedTuple

from leigh_mlops.plates.columns import strip_metadata_prefix

__all__ = ["DoseUnit", "dose_with_unit", "header_unit", "is_dose_name"]

# The unit is part of the name, as in plate maps of Cell Painting (mmoles_per_liter, mg_per_ml).
_DOSE_WORDS = re.compile(r"dose|concentration|moles_per_lit|g_per_ml", re.IGNORECASE)
_DOSE_UNITS = re.compile(r"_(?:[pnumµμ]?M|[nuµμm]?g_m[lL])$")

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}
_MOLAR = re.compile(r"(?P<prefix>[munp]?)(?:M|mol/l)")
_MASS = re.compile(r"(?P<prefix>[mun]?)g/(?P<volume>m?)l")
_SPELLED = re.compile(
    r"(?P<rest>.*?)_?(?:(?P<molar>[munp]?)moles?_per_lit(?:er|re)|(?P<mass>[mun]?)g_per_(?P<volume>m?)l)", re.IGNORECASE
)
_BRACKETS = re.compile(r"(?P<rest>.*?)[(\[{](?:in )?(?P<unit>[^)\]}]*)[)\]}]\s*")
_SUFFIX = re.compile(r"(?P<rest>.*?)(?:_| |^)(?:in )?(?P<unit>[munpµμ]?M|[munpµμ]m|[munµμ]?g[/_]m?[lL])", re.IGNORECASE)
_CELL = re.compile(r"(?P<number>[<>~]?[\d.,eE+-]*\d)\s*(?P<unit>[a-zA-Zµμ]+(?:/[a-zA-Z]+)?)")


class DoseUnit(NamedTuple):
    """Unit of a dose.

    Attributes:
        symbol: As a part of a column's name: ``uM``, ``ug_ml``.
        family: ``molar`` (mol/l) or ``mass`` (g/l): units of one family can be converted.
        size: The unit in mol/l or g/l.
        rest: The header without the unit.
    """

    symbol: str
    family: str
    size: float
    rest: str = ""


def is_dose_name(name: str) -> bool:
    """Return whether the name of a column is that of a dose, by its words or its unit."""
    return bool(_DOSE_WORDS.search(name) or _DOSE_UNITS.search(name))


def parse_unit(text: str) -> DoseUnit | None:
    """Unit of a text such as ``µM`` or ``mg/ml``; ``None`` where it is none.

    Upper and lower case make no difference but for ``mM`` against ``M``: nobody doses by the metre.
    """
    plain = text.strip().replace("µ", "u").replace("μ", "u").replace("_", "/")
    lower = plain.casefold().replace("liter", "l").replace("litre", "l")
    molar = lower[:-1] + "M" if len(lower) <= 2 and lower.endswith("m") else lower
    if plain == "m":  # metres, or minutes
        return None
    if match := _MOLAR.fullmatch(molar):
        return DoseUnit(f"{match['prefix']}M", "molar", _PREFIXES[match["prefix"]])
    if match := _MASS.fullmatch(lower):
        size = _PREFIXES[match["prefix"]] / (1e-3 if match["volume"] else 1.0)
        return DoseUnit(f"{match['prefix']}g_{match['volume']}l", "mass", size)
    return None


def header_unit(header: str) -> DoseUnit | None:
    """Unit that a header names in brackets, at its end, or in words; ``None`` where it names none.

    Example:
        >>> header_unit("Konzentration (µM)").symbol, header_unit("mmoles_per_liter").symbol, header_unit("dose")
        ('uM', 'mM', None)
    """
    bare = strip_metadata_prefix(header)
    if match := _SPELLED.fullmatch(bare):
        if match["molar"] is not None:
            prefix = match["molar"].casefold()
            return DoseUnit(f"{prefix}M", "molar", _PREFIXES[prefix], match["rest"])
        prefix, volume = match["mass"].casefold(), match["volume"].casefold()
        size = _PREFIXES[prefix] / (1e-3 if volume else 1.0)
        return DoseUnit(f"{prefix}g_{volume}l", "mass", size, match["rest"])
    for pattern in (_BRACKETS, _SUFFIX):
        if (match := pattern.fullmatch(bare)) and (unit := parse_unit(match["unit"])):
            return unit._replace(rest=match["rest"])
    return None


def dose_with_unit(text: str) -> tuple[str, DoseUnit] | None:
    """Number and unit of a cell such as ``10 nM``; ``None`` where it has no unit.

    Example:
        >>> dose_with_unit("10 nM")[1].symbol, dose_with_unit("10")
        ('nM', None)
    """
    match = _CELL.fullmatch(text.strip())
    unit = parse_unit(match["unit"]) if match else None
    return (match["number"], unit) if match and unit else None
