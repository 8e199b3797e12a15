"""Records of the fields of a job: small JSON files, and one Parquet file for each plate where these are many."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.job_columns import ColumnFamily, JobColumn, counterfactual_family
from leigh_mlops.report.image_files import atomic_write

__all__ = [
    "FAILURE",
    "NUMBERS",
    "PATH",
    "PICTURES",
    "TEXTS",
    "pack_records",
    "read_records",
    "record_table",
    "split_failures",
]

NUMBERS, PICTURES = ColumnFamily("numbers."), ColumnFamily("pictures.")
TEXTS = ColumnFamily("json.")
"""Columns of what is no plain value, such as a map, as JSON."""

FAILURE, PATH = TEXTS("failure"), TEXTS("path")

_FOLDER = "parts"
_MOST_FILES = 1000
"""Number of small files that a finished job keeps, about two plates."""

_MOST_ROWS = 10_000
"""Number of records that are in memory at once, about 100 MB."""

_RENAMED = {
    counterfactual_family(kind)(old): counterfactual_family(kind)(new)
    for kind in COUNTERFACTUAL_KINDS
    for old, new in (
        ("light", "status"),
        ("oracle_class", "oracle_registered_class"),
        ("oracle_probability", "oracle_registered_probability"),
    )
}
"""Column of a record of version 0.1.0 to its name of today."""

Record = dict[str, Any]


def read_records(out: Path) -> Iterator[Record]:
    """Read the newest record of each field, one after another; columns of version 0.1.0 get their names of today.

    Args:
        out: The job's folder.
    """
    for table in _new_tables(out, None):
        yield from map(_nest_record, table.to_pylist())


def record_table(out: Path, families: Sequence[ColumnFamily | str]) -> pa.Table:
    """Read columns of the newest record of each field, without holding more than some records as plain values.

    Args:
        out: The job's folder.
        families: The columns beside ``field`` and ``seen``: `NUMBERS`, `PICTURES`, or the name of one.

    Returns:
        One row per field; columns have the names of their families. A column is missing if no record has it.
    """
    tables = list(_new_tables(out, families))
    if not tables:
        return pa.table({JobColumn.FIELD: pa.array([], pa.string()), JobColumn.SEEN: pa.array([], pa.bool_())})
    return pa.concat_tables(tables, promote_options="permissive")


def split_failures(records: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Divide a table of records into fields that are explained and those that failed.

    A failed field has no numbers, so in one data frame it would turn whole numbers into others.
    """
    if FAILURE not in records.column_names:
        return records, records.slice(0, 0)
    has_failed = records[FAILURE].is_valid()
    return records.filter(pc.invert(has_failed)), records.filter(has_failed)


def pack_records(out: Path, plates: Mapping[str, str]) -> None:
    """Gather the records in small files, if there are more than 1,000, into one Parquet file for each plate.

    These hold a tenth of the bytes, and tables are read from their columns.

    Args:
        out: The job's folder; nobody else writes to it.
        plates: Plate of each field; records of other fields are kept in a file of their own.
    """
    found = [part for part in _parts(out)[::-1] if part.suffix == ".json"]
    if len(found) <= _MOST_FILES:
        return
    rows: dict[str, dict[str, Record]] = {}
    for part in found:
        for record in _read_json(part):
            rows.setdefault(plates.get(record["field"], ""), {})[record["field"]] = record
        if sum(map(len, rows.values())) > _MOST_ROWS:
            _add_to_plates(out, rows)
            rows = {}
    _add_to_plates(out, rows)
    for part in found:
        part.unlink()


def _add_to_plates(out: Path, rows: Mapping[str, Mapping[str, Record]]) -> None:
    for plate, records in rows.items():
        path = out / _FOLDER / f"plate-{hashlib.sha256(plate.encode(errors='surrogatepass')).hexdigest()[:16]}.parquet"
        tables = [_flat_table(list(records.values()))]
        if path.exists():
            before = pq.read_table(path)
            tables.insert(0, _select_fields(before, [name not in records for name in before["field"].to_pylist()]))
        with atomic_write(path) as temporary:
            pq.write_table(pa.concat_tables(tables, promote_options="permissive"), temporary)


def _new_tables(out: Path, families: Sequence[ColumnFamily | str] | None) -> Iterator[pa.Table]:
    """Yield tables of records, the newest first, without the fields that were in a newer one."""
    known: set[str] = set()
    rows: list[Record] = []
    for part in _parts(out):
        if part.suffix == ".json":
            for record in _read_json(part):
                if record["field"] not in known:
                    known.add(record["field"])
                    rows.append(record)
            if len(rows) > _MOST_ROWS:
                yield _select_columns(_flat_table(rows), families)
                rows = []
            continue
        names = [name for name in pq.read_schema(part).names if _is_chosen(name, families)]
        table = pq.read_table(part, columns=names)
        fields = table["field"].to_pylist()
        yield _select_fields(table, [name not in known for name in fields])
        known.update(fields)
    if rows:
        yield _select_columns(_flat_table(rows), families)


def _parts(out: Path) -> list[Path]:
    """Files of records, the newest first."""
    folder = out / _FOLDER
    found = [*folder.glob("[!.]*.json"), *folder.glob("[!.]*.parquet")]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _read_json(part: Path) -> list[Record]:
    return [_rename_columns(record) for record in json.loads(part.read_text())]


def _rename_columns(record: Record) -> Record:
    if "numbers" not in record:
        return record
    return record | {"numbers": {_RENAMED.get(name, name): value for name, value in record["numbers"].items()}}


def _is_chosen(column: str, families: Sequence[ColumnFamily | str] | None) -> bool:
    if families is None or column in (JobColumn.FIELD, JobColumn.SEEN):
        return True
    return any(column in each if isinstance(each, ColumnFamily) else column == each for each in families)


def _select_columns(table: pa.Table, families: Sequence[ColumnFamily | str] | None) -> pa.Table:
    return table.select([name for name in table.column_names if _is_chosen(name, families)])


def _select_fields(table: pa.Table, chosen: list[bool]) -> pa.Table:
    return table.filter(pa.array(chosen, pa.bool_()))


def _flat_table(records: Sequence[Record]) -> pa.Table:
    """Table of some records; values that are not known are null."""
    rows = list(map(_flatten_record, records))
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows], from_pandas=True) for name in names})


def _flatten_record(record: Record) -> Record:
    flat: Record = {name: record.get(name) for name in (JobColumn.FIELD, JobColumn.SEEN)}
    for family, key in ((NUMBERS, "numbers"), (PICTURES, "pictures")):
        flat |= {family(name): value for name, value in record.get(key, {}).items()}
    # JSON escapes also what is no valid text, such as the name of a damaged file.
    return flat | {
        TEXTS(name): json.dumps(value) for name, value in record.items() if name not in (*flat, "numbers", "pictures")
    }


def _nest_record(flat: Record) -> Record:
    """Turn a row of a table into the record from which it was made."""
    known = {name: value for name, value in flat.items() if value is not None}
    record: Record = {name: known[name] for name in (JobColumn.FIELD, JobColumn.SEEN) if name in known}
    record |= {name: json.loads(known[column]) for name, column in TEXTS.select(known).items()}
    if JobColumn.SEEN in known:
        for family, key in ((NUMBERS, "numbers"), (PICTURES, "pictures")):
            record[key] = {name: known[column] for name, column in family.select(known).items()}
    return record
