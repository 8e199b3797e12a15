"""Suggestion of a pattern for a file name that no preset knows."""

import re

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import build_field_name, compile_pattern
from leigh_mlops.plates.presets import DYES

__all__ = ["suggest_pattern"]

_WELL = re.compile(r"(?<![A-Za-z0-9])(?:[Ww]ell[ _-]?)?(?P<well>[A-Pa-p](?:0?[1-9]|1\d|2[0-4]))(?![A-Za-z0-9])")
_ROW_COLUMN = re.compile(r"(?<![A-Za-z])[Rr](?:ow)?[ _-]?(?P<row>\d{1,2})[ _-]?[Cc](?:ol)?[ _-]?(?P<col>\d{1,2})(?!\d)")
_NUMBER = r"(?<![A-Za-z])(?:{words})[ _-]?(?P<number>\d{{1,6}})(?!\d)"
_DYE = rf"(?<![A-Za-z0-9])(?P<name>{DYES})(?![A-Za-z])"
_PARTS = {
    "site": re.compile(_NUMBER.format(words="s|f|fld|field|site|pos|xy|tile"), re.IGNORECASE),
    "channel": re.compile(f"{_NUMBER.format(words='w|c|ch|channel')}|{_DYE}", re.IGNORECASE),
    "z": re.compile(_NUMBER.format(words="z"), re.IGNORECASE),
    "time": re.compile(_NUMBER.format(words="t|time"), re.IGNORECASE),
}


def suggest_pattern(name: str) -> str:
    r"""Suggest a pattern that reads a file name; empty where no part of it reads as a well.

    Wells, rows and columns, fields, channels, planes and time points become groups, any other
    digits may vary.

    Example:
        >>> print(suggest_pattern("scan7[B03]f2.tif"))
        scan\d+\[(?P<well>[A-Pa-p]\d{1,2})\]f(?P<site>\d+)\.tif
    """
    spans = _spans(name)
    if not {"well", "row"} & {group for _, _, group, _ in spans}:
        return ""
    pattern, place = "", 0
    for start, end, group, inner in spans:
        pattern += _vary(name[place:start]) + f"(?P<{group}>{inner})"
        place = end
    pattern += _vary(name[place:])
    return pattern if _reads(pattern, name) else ""


def _spans(name: str) -> list[tuple[int, int, str, str]]:
    """Start, end, group and inner pattern of each part that is understood, in order."""
    stem = name.rpartition(".")[0] or name
    spans: list[tuple[int, int, str, str]] = []
    if match := _WELL.search(stem):
        spans.append((*match.span("well"), "well", r"[A-Pa-p]\d{1,2}"))
    elif match := _ROW_COLUMN.search(stem):
        spans += [(*match.span("row"), "row", r"\d{1,2}"), (*match.span("col"), "col", r"\d{1,2}")]
    for group, pattern in _PARTS.items():
        for match in pattern.finditer(stem):
            kind = "name" if match.groupdict().get("name") else "number"
            start, end = match.span(kind)
            if all(end <= other[0] or start >= other[1] for other in spans):
                spans.append((start, end, group, "[A-Za-z0-9]+" if kind == "name" else r"\d+"))
                break
    return sorted(spans)


def _vary(text: str) -> str:
    """Pattern of a text in which the digits may vary."""
    return "".join(r"\d+" if part.isdecimal() else re.escape(part) for part in re.split(r"(\d+)", text) if part)


def _reads(pattern: str, name: str) -> bool:
    try:
        match = compile_pattern(pattern).fullmatch(name)
        return match is not None and build_field_name(match.groupdict()) is not None
    except (LeighError, ValueError):
        return False
