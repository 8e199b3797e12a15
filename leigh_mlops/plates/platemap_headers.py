"""Headers of plate maps: columns by any of their usual spellings, in several languages."""

import difflib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from leigh_mlops.plates.columns import Metadata, add_metadata_prefix, is_metadata, strip_metadata_prefix
from leigh_mlops.plates.dose_units import DoseUnit, header_unit, is_dose_name

__all__ = ["HeaderReading", "read_headers"]

_COMPOUND = add_metadata_prefix("Compound")
_SPELLINGS: dict[str, tuple[str, str]] = {
    Metadata.WELL: (
        "well",
        "well_position well wellid wellname wellpos wellnumber wellnr wellno welllabel destinationwell destwell "
        "position kavitaet kavitat vertiefung napf puits pocillo pozzetto poco",
    ),
    Metadata.PLATE: (
        "plate",
        "plate assay_plate_barcode platebarcode plateid platename platenumber plateno platenr assayplate "
        "destinationplate barcode platte plattenid plattenname plattennummer plattenbarcode plaque placa piastra",
    ),
    Metadata.PLATE_MAP_NAME: ("plate map", "plate_map_name platemap platelayout layoutname"),
    Metadata.ROW: ("row", "row wellrow rowname zeile reihe ligne rangee fila riga"),
    Metadata.COLUMN: ("column", "column col wellcolumn wellcol spalte colonne columna colonna"),
    Metadata.CONDITION: (
        "class",
        "condition class classname genotype genotyp genotipo klasse zustand bedingung phenotype phaenotyp phanotyp "
        "fenotipo classe clase condizione condicion diagnosis diagnose diagnostic label celltype zelltyp group gruppe "
        "groupe grupo gruppo",
    ),
    _COMPOUND: (
        "compound",
        "compound compoundname compoundid cmpd cpd substance substancename substanz wirkstoff verbindung drug drugname "
        "treatment behandlung medikament chemical molecule compose compuesto composto farmaco traitement tratamiento",
    ),
    Metadata.DONOR: (
        "donor",
        "donor donorid spender spenderid patient patientid patientin cellline zelllinie zellinie line linie lignee "
        "donneur donante donatore subject proband",
    ),
    Metadata.BATCH: ("batch", "batch batchid charge ansatz lot lote lotto"),
    Metadata.CONTROL: ("control", "control controls kontrolle kontrollen controle controllo welltype welltyp"),
    Metadata.PERT_TYPE: ("control", "pert_type"),
    Metadata.CONTROL_TYPE: ("control", "control_type"),
    Metadata.SPLIT: ("part of the split", "split"),
}
_DOSES = {
    "Dose": "dose dosis dosage dosierung dosi",
    "Concentration": "concentration conc finalconcentration finalconc konzentration konz concentracion concentrazione "
    "endkonzentration",
}
_DOSE = "dose"
_COMPOUND_NAMES = ("pert_iname", "broad_sample", "JCP2022")


class HeaderReading(NamedTuple):
    """Reading of one header.

    Attributes:
        header: The header as the file has it.
        column: The column of the table that it becomes.
        meaning: Meaning in one or two words; empty where it was not understood, and the column is kept under
            its own name.
        nearest: Nearest known name of a header that was not understood; may be empty.
        unit: Unit of a dose, where the header names one.
    """

    header: str
    column: str
    meaning: str
    nearest: str = ""
    unit: DoseUnit | None = None


def read_headers(headers: Sequence[str]) -> list[HeaderReading]:
    """Read the headers of a plate map.

    Where several are spellings of one column, the most usual spelling counts, and the others keep
    their own names. A header with the prefix ``Metadata_`` keeps its name, as do the names of Cell
    Painting (``mmoles_per_liter``).

    Returns:
        One reading per header, in order. Two of them have one column only where the file
        names it twice in equal ways.
    """
    readings = [_read(header) for header in headers]
    best: dict[str, int] = {}
    for reading in readings:
        best[reading.column] = min(best.get(reading.column, _place(reading)), _place(reading))
    return [reading if _place(reading) == best[reading.column] else _second_reading(reading) for reading in readings]


def _second_reading(reading: HeaderReading) -> HeaderReading:
    return HeaderReading(reading.header, _name_as_given(reading.header), f"second {reading.meaning}")


def _place(reading: HeaderReading) -> int:
    """Place of a spelling among those of its column, the most usual ones 0; a name of the image table is before all."""
    if is_metadata(reading.header):
        return -1
    word = _known_words().get(_plain_letters(_strip_brackets(reading.header)))
    return max(word[2] - 1, 0) if word else 0


@lru_cache
def _known_words() -> dict[str, tuple[str, str, int]]:
    """Plain spelling to column, meaning and place among the spellings of the column."""
    words: dict[str, tuple[str, str, int]] = {}
    for column, (meaning, spellings) in _SPELLINGS.items():
        words |= {_plain_letters(word): (column, meaning, place) for place, word in enumerate(spellings.split())}
    for name, spellings in _DOSES.items():
        words |= {
            _plain_letters(word): (add_metadata_prefix(name), _DOSE, place)
            for place, word in enumerate(spellings.split())
        }
    return words


def _dose_word(text: str) -> tuple[str, str, int] | None:
    """Find a word for doses in a header of several words."""
    words = [_known_words().get(_plain_letters(word)) for word in re.split(r"[\s_.-]+", text)]
    return next((word for word in words if word and word[1] == _DOSE), None)


def _plain_letters(text: str) -> str:
    """Lower-case letters and digits of a text, without accents; umlauts count as the letter alone."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in bare if sign.isalnum())


def _strip_brackets(header: str) -> str:
    """Header without what stands in brackets."""
    return re.sub(r"[(\[{].*?[)\]}]", "", header).strip()


def _read(header: str) -> HeaderReading:
    if is_metadata(header):
        return _read_metadata(header)
    unit = header_unit(header)
    word = _known_words().get(_plain_letters(_strip_brackets(header))) or _dose_word(unit.rest if unit else header)
    if (unit and not _plain_letters(unit.rest)) or (word is not None and word[1] == _DOSE):
        return HeaderReading(header, _dose_column(header, word, unit), _DOSE, unit=unit)
    if word is not None:
        return HeaderReading(header, word[0], word[1])
    if header in _COMPOUND_NAMES:
        return HeaderReading(header, _name_as_given(header), "compound")
    return _keep_name(header)


def _dose_column(header: str, word: tuple[str, str, int] | None, unit: DoseUnit | None) -> str:
    """Name the column of a dose so that its unit is a part of it; usual names (``dose_uM``) stay."""
    if word is None or (unit and "(" not in header and is_dose_name(header)):
        return _name_as_given(header)
    return f"{word[0]}_{unit.symbol}" if unit else word[0]


def _read_metadata(header: str) -> HeaderReading:
    """Read a header that has the prefix of the image table, whose name stays."""
    bare = strip_metadata_prefix(header)
    if bare == "well_position":
        return HeaderReading(header, Metadata.WELL, "well")
    exact = _SPELLINGS.get(header)
    inner = _read(bare) if bare and not is_metadata(bare) else None
    meaning = exact[0] if exact else inner.meaning if inner is not None and inner.column == header else ""
    if inner is not None and inner.meaning in (_DOSE, "compound"):
        meaning = inner.meaning
    return HeaderReading(header, header, meaning, "" if meaning else _nearest_name(bare), inner.unit if inner else None)


def _keep_name(header: str) -> HeaderReading:
    return HeaderReading(header, _name_as_given(header), "", _nearest_name(header))


def _name_as_given(header: str) -> str:
    return add_metadata_prefix(header.capitalize() if header.isalpha() and header.islower() else header)


def _nearest_name(header: str) -> str:
    """Find the nearest known spelling of a header; among those of one column that are near, the most usual one."""
    words = {_plain_letters(word): word for word in _spellings()}
    near = difflib.get_close_matches(_plain_letters(_strip_brackets(header)), list(words), n=4, cutoff=0.7)
    known = _known_words()
    alike = [word for word in near if known[word][0] == known[near[0]][0]]
    return words[min(alike, key=lambda word: known[word][2])] if near else ""


@lru_cache
def _spellings() -> tuple[str, ...]:
    return tuple(word for text in [*(one for _, one in _SPELLINGS.values()), *_DOSES.values()] for word in text.split())
