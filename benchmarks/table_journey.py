"""Files and returns that a job's table passes on its way to ``hits.csv`` and the report.

    python -m benchmarks.table_journey JOB PACKAGE [--list]

JOB is the folder of a finished job and PACKAGE the folder of its model. The tables and the report are made again from a
copy of the records. A file counts if one of its functions receives or returns a DataFrame, alone or within a tuple,
list, mapping or dataclass; a return statement counts if it returns one. The reference is version 0.1.0 by the same
count: 31 files, 37 return statements.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd

import leigh_mlops
from benchmarks.report import report
from leigh_mlops.jobs.reporting.outputs import build_tables, write_outputs
from leigh_mlops.models import load_package
from leigh_mlops.plates.columns import Metadata, is_metadata

ROOT = str(Path(leigh_mlops.__file__).parent)
REFERENCE_FILES = 31
BAR = 0.5
PICTURES = ("*.gif", "*.webp", "*.mp4", "*.tif")


def holds_table(value: Any, depth: int = 2) -> bool:
    """Return whether a value is or contains a DataFrame."""
    if isinstance(value, pd.DataFrame) or depth == 0:
        return isinstance(value, pd.DataFrame)
    if isinstance(value, tuple | list):
        return any(holds_table(each, depth - 1) for each in value[:20])
    if isinstance(value, dict):
        return any(holds_table(each, depth - 1) for each in list(value.values())[:20])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(holds_table(getattr(value, field.name, None), depth - 1) for field in dataclasses.fields(value))
    return False


class Tracer:
    """Profile function that collects the files and the return statements that tables pass."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.returns: set[tuple[str, int]] = set()

    def __call__(self, frame: FrameType, event: str, value: Any) -> None:
        """Count one call or return of a function of the package."""
        code = frame.f_code
        if not code.co_filename.startswith(ROOT):
            return
        name = code.co_filename[len(ROOT) + 1 :]
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if event == "call" and any(holds_table(frame.f_locals.get(each)) for each in parameters):
            self.files.add(name)
        elif event == "return" and code.co_name != "<genexpr>" and holds_table(value):
            self.files.add(name)
            self.returns.add((name, frame.f_lineno))


def add_compounds(table: pd.DataFrame) -> pd.DataFrame:
    """Give some wells two compounds in two doses, so that a plate of controls alone takes the whole way."""
    treated = (table[Metadata.ROW] >= 4) & (table[Metadata.COLUMN] > 5)
    number = table[Metadata.ROW] + table[Metadata.COLUMN]
    return table.assign(
        Metadata_Compound=(number // 2 % 2).map({0: "a", 1: "b"}).where(treated, None),
        Metadata_Dose_uM=(number // 4 % 2 + 1.0).where(treated),
        Metadata_Control=table[Metadata.CONTROL].where(~treated, None),
    )


def main() -> None:
    """Rebuild the outputs of a job under the tracer, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("--list", action="store_true", help="Print the files and the lines of the returns.")
    given = parser.parse_args()
    tracer, package = Tracer(), load_package(given.package)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "job"
        shutil.copytree(given.job, folder, ignore=shutil.ignore_patterns(*PICTURES))
        fields = pd.read_parquet(folder / "fields.parquet")
        table = add_compounds(fields[[name for name in fields if is_metadata(name)]])
        sys.setprofile(tracer)
        tables = build_tables(folder, table)
        write_outputs(folder, *tables, package, json.loads((folder / "job.json").read_text()))
        sys.setprofile(None)
    if given.list:
        print(*sorted(tracer.files), *(f"{name}:{line}" for name, line in sorted(tracer.returns)), sep="\n")
    print(f"{len(tracer.files)} files, {len(tracer.returns)} return statements")
    report("table_journey", ours=len(tracer.files), reference=REFERENCE_FILES, unit="files", bar=BAR)


if __name__ == "__main__":
    main()
