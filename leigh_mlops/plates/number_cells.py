"""Numbers in cells as people and spreadsheets leave them, and cells that are none any more."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from leigh_mlops.plates.dose_units import DoseUnit, dose_with_unit

__all__ = ["CellProblem", "Doses", "error_value", "is_error_value", "parse_doses", "parse_number"]

_ERROR_VALUES = re.compile(
    r"#(?:N/?A|NV|NULL!?|DIV/0!?|VALUE!?|WERT!?|VALEUR!?|REF!?|BEZUG!?|NAME\??|NOM\??|NUM!?|ZAHL!?|NOMBRE!?|SPILL!?)"
    r"|#+",
    re.IGNORECASE,
)
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar jän janv ene gen",
            "feb february februar févr fév feb",
            "mar march mrz mär märz mars",
            "apr april avr abr",
            "may mai mayo mag",
            "jun june juni juin giu",
            "jul july juli juil lug",
            "aug august août ago",
            "sep sept september set",
            "oct okt october oktober ott",
            "nov november",
            "dec dez december dezember déc dic",
        ),
        1,
    )
    for name in names.split()
}
_DATE = re.compile(r"(?:(?P<day>\d{1,2})[.\s-]*)?(?P<month>[^\W\d_]{3,9})\.?[\s-]*(?P<year>\d{1,4})?")
_DIGITS_DATE = re.compile(r"\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{4}-\d{2}-\d{2}(?:[ T].*)?")
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPS = re.compile(r"[+-]?\d{1,3}(?P<mark>[.,' \u00a0\u202f])\d{3}(?:(?P=mark)\d{3})*(?P<rest>[.,]\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_UNGROUPED = "a number without groups of thousands"
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


class CellProblem(NamedTuple):
    """A cell of a plate map that is not what its column expects.

    Attributes:
        well: Well of the row, with its plate where the map names one.
        column: Header of the column, as the file has it.
        value: The cell, as the file has it.
        expected: What was expected, and, where it can be told, what the cell once was.
        reading: The number as which it was read; ``None`` where the cell is lost.
    """

    well: str
    column: str
    value: str
    expected: str
    reading: float | None = None


class Doses(NamedTuple):
    """Doses of one column.

    Attributes:
        numbers: The doses, missing where a cell is empty or lost.
        unit: Unit that the cells name; ``None`` where none does.
        problems: Index of the row, what was expected, and the number as which the cell was read.
    """

    numbers: "pd.Series[float]"
    unit: DoseUnit | None
    problems: list[tuple[int, str, float | None]]


def is_error_value(text: object) -> bool:
    """Return whether a cell holds a spreadsheet's error instead of a value.

    Example:
        >>> is_error_value("#NV"), is_error_value("#1")
        (True, False)
    """
    return isinstance(text, str) and _ERROR_VALUES.fullmatch(text) is not None


def error_value(expected: str) -> str:
    """Expectation of a cell that holds a spreadsheet's error."""
    return f"{expected}, not the error value of a formula"


def parse_number(text: str, *, decimal_comma: bool | None = None) -> float | None:
    """Number of a cell, with a decimal point or comma and groups of thousands; ``None`` where it is none.

    Args:
        text: The cell.
        decimal_comma: Whether a lone comma is decimal, and a lone point groups thousands; ``None`` where the
            column does not tell, and ``1,234`` is no number.

    Example:
        >>> parse_number("1.234,5"), parse_number("1,234.5"), parse_number("0,28"), parse_number("1,234")
        (1234.5, 1234.5, 0.28, None)
    """
    text = text.strip()
    if _AMBIGUOUS.fullmatch(text):
        mark = "," if "," in text else "."
        if decimal_comma is None and mark == ",":
            return None
        decimal = decimal_comma is (mark == ",") or (decimal_comma is None and mark == ".")
        return float(text.replace(mark, "." if decimal else ""))
    if _PLAIN.fullmatch(text):
        return float(text)
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if (match := _GROUPS.fullmatch(text)) and (match["rest"] or "x")[0] != match["mark"]:
        return float(text.replace(match["mark"], "").replace(",", "."))
    return None


def parse_doses(cells: "pd.Series[str]", unit: DoseUnit | None) -> Doses:
    """Read a column of doses cell by cell; a cell that is no dose is lost alone, and named.

    Args:
        cells: The cells, missing where empty.
        unit: Unit of the column, where its header names one. Otherwise the unit of most cells counts, and
            where most have none, none may.
    """
    given = {int(str(row)): str(text) for row, text in cells.dropna().items()}
    split = {row: dose_with_unit(text) for row, text in given.items()}
    common = unit or _common_unit([found[1] for found in split.values() if found], len(split))
    texts = [found[0] if found else given[row] for row, found in split.items()]
    comma = _decimal_comma(texts)
    numbers = pd.Series(float("nan"), cells.index)
    problems: list[tuple[int, str, float | None]] = []
    for (row, found), text in zip(split.items(), texts, strict=True):
        number, expected = _dose(text, found and found[1], common, unit, comma)
        if number is not None:
            numbers[row] = number
        if expected:
            problems.append((row, expected, number))
    return Doses(numbers, None if unit else common, problems)


def _common_unit(units: Sequence[DoseUnit], cells: int) -> DoseUnit | None:
    """Unit of most cells that have one; None where most have none."""
    if 2 * len(units) <= cells:
        return None
    return Counter(units).most_common(1)[0][0]


def _decimal_comma(texts: Sequence[str]) -> bool | None:
    """Return whether commas are decimal in a column, by the numbers in it that can be read in one way."""
    commas = any(_DECIMAL_COMMA.fullmatch(text) and not _AMBIGUOUS.fullmatch(text) for text in texts)
    points = any("." in text and _PLAIN.fullmatch(text) and not _AMBIGUOUS.fullmatch(text) for text in texts)
    return None if commas == points else commas


def _dose(
    text: str, given: DoseUnit | None, common: DoseUnit | None, of_header: DoseUnit | None, comma: bool | None
) -> tuple[float | None, str]:
    """Dose of a cell in the common unit, and what was expected where the cell is not just that."""
    number = parse_number(text, decimal_comma=comma)
    if number is None:
        return None, _expected_number(text)
    if given is None:
        if common is not None and of_header is None and number:
            return None, f"a dose with its unit, as most cells of this column have ({common.symbol.replace('_', '/')})"
        plain = _PLAIN.fullmatch(text.strip()) or _DECIMAL_COMMA.fullmatch(text.strip())
        return number, "" if plain else _UNGROUPED
    if common is None:
        return None, "a number alone, as the column names no unit"
    if given.family != common.family:
        return None, f"a dose in {common.symbol.replace('_', '/')}"
    return float(f"{number * given.size / common.size:.12g}"), ""


def _expected_number(text: str) -> str:
    if is_error_value(text):
        return error_value("a number")
    if _AMBIGUOUS.fullmatch(text.strip()):
        return f"{_UNGROUPED}, as this one can be read in two ways"
    if _DIGITS_DATE.fullmatch(text.strip()):
        return "a number, which a spreadsheet has turned into a date"
    if (match := _DATE.fullmatch(text.strip())) and (month := _MONTHS.get(match["month"].casefold())):
        was = f", perhaps {int(match['day'])}.{month}" if match["day"] else f", perhaps {month}.{match['year']}"
        told = was if bool(match["day"]) != bool(match["year"]) else ""
        return f"a number{told}, which a spreadsheet has turned into a date"
    return "a number"
