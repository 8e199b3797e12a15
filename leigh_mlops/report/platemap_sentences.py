"""Sentences on a plate map: the reading of its columns, and the cells that were not read."""

from collections.abc import Iterator, Sequence
from typing import Any

from leigh_mlops.errors import escape_unprintable
from leigh_mlops.plates import CellProblem, HeaderReading, PlatemapReading, is_treated, standard_controls
from leigh_mlops.plates.columns import Metadata, strip_metadata_prefix

__all__ = ["cell_sentence", "count_lines", "header_phrase", "header_record", "platemap_lines", "summarize_platemap"]

_MAX_CELLS = 50


def header_record(header: HeaderReading) -> dict[str, Any]:
    """Reading of a header, as plain values; the unit is a text or nothing."""
    return header._asdict() | {"unit": header.unit.symbol if header.unit else None}


def header_phrase(header: HeaderReading) -> str:
    """Describe one header and what it was taken for.

    Example:
        >>> header_phrase(HeaderReading("Platte", "Metadata_Plate", "plate"))
        'Platte: plate'
        >>> header_phrase(HeaderReading("Klase", "Metadata_Klase", "", "klasse"))
        'Klase: not understood, the nearest known name is klasse'
    """
    if header.meaning.startswith("second "):
        return f"{header.header}: {header.meaning}, kept as {strip_metadata_prefix(header.column)}"
    if header.meaning:
        unit = f" in {header.unit.symbol.replace('_', '/')}" if header.unit else ""
        return f"{header.header}: {header.meaning}{unit}"
    near = f", the nearest known name is {header.nearest}" if header.nearest else ", and no known name is near"
    return f"{header.header}: not understood{near}"


def cell_sentence(problem: CellProblem) -> str:
    """Describe one cell that is not what its column expects.

    Example:
        >>> cell_sentence(CellProblem("B05", "dose", "high", "a number"))
        "B05, column dose: 'high' is lost; expected a number."
        >>> cell_sentence(CellProblem("B05", "dose", "1.234,5", "a number", 1234.5))
        "B05, column dose: '1.234,5' is read as 1234.5; expected a number."
    """
    fate = "is lost" if problem.reading is None else f"is read as {problem.reading:g}"
    return f"{problem.well}, column {problem.column}: {problem.value!r} {fate}; expected {problem.expected}."


def platemap_lines(headers: Sequence[HeaderReading], problems: Sequence[CellProblem]) -> Iterator[str]:
    """List the columns of a plate map with what they were taken for, and then each cell that was not read."""
    if headers:
        yield escape_unprintable(f"Columns of the plate map: {'; '.join(map(header_phrase, headers))}.")
    if problems:
        yield f"Cells of the plate map that are not what was expected: {len(problems)}"
    for problem in problems[:_MAX_CELLS]:
        yield escape_unprintable(f"  {cell_sentence(problem)}")
    if len(problems) > _MAX_CELLS:
        yield f"  … and {len(problems) - _MAX_CELLS} more; --json lists all"


def summarize_platemap(reading: PlatemapReading) -> dict[str, Any]:
    """Summarize a plate map in plain values: columns, cells that were not read, and numbers of wells."""
    table = reading.table
    controls, unknown = standard_controls(table)
    counted = table if controls is None else table.assign(Metadata_Control=controls)
    treated = is_treated(counted)
    classes = counted.loc[~treated, Metadata.CONDITION] if Metadata.CONDITION in counted else None
    return {
        "columns": [header_record(header) for header in reading.headers],
        "cells": [problem._asdict() for problem in reading.problems],
        "wells": len(table),
        "plates": int(table[Metadata.PLATE].nunique()) if Metadata.PLATE in table else 1,
        "treated": int(treated.sum()),
        "classes": {} if classes is None else {str(k): int(n) for k, n in classes.value_counts().sort_index().items()},
        "controls": {} if controls is None else {str(k): int(n) for k, n in controls.value_counts().items()},
        "unknown_controls": unknown,
        "nameless_rows": reading.nameless_rows,
    }


def count_lines(reading: PlatemapReading) -> Iterator[str]:
    """Count the wells of a plate map by what a search would take them for."""
    summary = summarize_platemap(reading)
    plates = "" if summary["plates"] == 1 else f" on {summary['plates']} plates"
    parts = [f"{number} of class {name}" for name, number in summary["classes"].items()]
    parts += [f"{summary['treated']} with a compound, in no class"] if summary["treated"] else []
    yield escape_unprintable(f"{summary['wells']} wells{plates}: {', '.join(parts) or 'none has a class'}.")
    if not summary["classes"]:
        yield "No well without a compound has a class: add a column condition."
    if summary["controls"]:
        yield f"Controls: {', '.join(f'{number} {name}' for name, number in summary['controls'].items())}."
    if summary["unknown_controls"]:
        words = ", ".join(summary["unknown_controls"])
        yield escape_unprintable(f"Control types that are not known, taken for no control: {words}.")
    if summary["nameless_rows"]:
        yield f"Rows without a well, left out: {summary['nameless_rows']}."
