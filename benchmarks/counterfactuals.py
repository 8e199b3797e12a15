"""Counterfactuals of a trained i-ResNet on wells that it has never seen, beside references and real fields.

``python -m benchmarks.counterfactuals PACKAGE DATA [--oracle PACKAGE …] [--out FOLDER]`` does what a batch job does:
every counterfactual is saved as a 16-bit TIFF, read again, and evaluated as read, by its own network, by the
independent classifiers of the package and by further ones. It prints the table of counterfactuals, the share of the
real difference of the classes that they make, the processor time of each field, and the round trip and certified
bounds of the network. ``--relative`` compares shares with those of real fields, for classes that no classifier tells
apart surely. With ``--out``, the folder of the job stays, with pictures and report.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rich.console import Console
from rich.progress import track

from benchmarks.report import report
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.job_columns import ORACLE
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.reporting.change_report import change_directions
from leigh_mlops.jobs.reporting.outputs import build_tables, collect_textures, write_outputs
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.models.invertible import ResidualBlock
from leigh_mlops.models.iresnet import InvertibleResNet
from leigh_mlops.screening.counterfactual_table import REAL_FIELDS, counterfactual_table
from leigh_mlops.screening.well_table import counterfactual_kinds
from leigh_mlops.study.evaluate_version import matching_data
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.training import PreparedData

BATCH = 8
MEASURES = ("intensity_", "_area", "area_")


def explain(
    package: Path, table: pd.DataFrame, out: Path, kinds: Sequence[str], oracles: Sequence[Path]
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Explain the fields of a table as a worker of a job does.

    Returns:
        Table of fields, table of failures, and processor seconds of each field.
    """
    table.to_parquet(out / "table.parquet")
    order = WorkOrder(
        str(package),
        str(out / "table.parquet"),
        str(out),
        ("counterfactual",),
        ExplainOptions(counterfactual=tuple(kinds)),
        oracles={f"{number}-{path.name}": str(path) for number, path in enumerate(oracles)},
    )
    (out / "parts").mkdir(exist_ok=True)
    worker, begin = FieldWorker(order), time.process_time()
    for start in track(range(0, len(table), BATCH), "explaining"):
        worker({"row": np.arange(start, min(start + BATCH, len(table)))})
    return *build_tables(out, table), (time.process_time() - begin) / len(table)


def round_trip(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Largest abs(f^-1(f(x)) - x) in network units, and the share of pixels that are the same in 8 bits."""
    scale, largest, same = IntensityScale.from_json(package.scale), 0.0, []
    for batch in data.batches_from_rows(rows, scale, BATCH):
        with evaluating(package.model):
            images = batch.images.to(next(package.model.parameters()).device)
            again = package.model.decode(package.model.encode(images))
        largest = max(largest, float((again - images).abs().max()))
        bits = [np.rint(scale.invert(x.cpu().numpy()) * (255 / scale.full_scale)) for x in (images, again)]
        same.append((bits[0] == bits[1]).mean(axis=(1, 2, 3)))
    return largest, float(np.concatenate(same).mean())


def report_network(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> None:
    """Report round trip and certified bounds."""
    largest, same = round_trip(package, data, rows)
    report("round trip", ours=largest, reference=1e-4, unit="largest error, network units", bar=1.0)
    report("round trip in 8 bits", ours=same, reference=1.0, unit="share of identical pixels", bar=0.999)
    blocks = [part for part in package.model.modules() if isinstance(part, ResidualBlock)]
    for block in blocks:
        print(f"  {block.name}: certified Lipschitz bound {block.lipschitz():.4f}")
    allowed = float(package.model.spec.architecture["lipschitz"]) ** 3
    worst = max(block.lipschitz() for block in blocks)
    report("certified Lipschitz bound", ours=worst, reference=allowed, unit="largest of all branches", bar=1.0)


def report_shares(table: pd.DataFrame, *, relative: bool) -> None:
    """Report the smallest share of the endpoint by each classifier, and its realism, with the histogram beside it."""
    print(table.round(3).to_string(index=False))
    real = table[table["images"] == REAL_FIELDS].set_index("target")
    ends = table[table["images"] == table["images"].iloc[-1]].set_index("target")
    simple = table[table["images"] == "histogram"].set_index("target")
    unit = f"smallest share of the directions, {int(ends['fields'].sum())} fields"
    report("own network", ours=ends["network"].min(), reference=1.0, unit=unit, bar=0.99)
    for name in (column for column in table if column in ORACLE):
        reference = real[name].fillna(1.0) if relative else pd.Series(1.0, ends.index)
        ratio, bar = ends[name] / reference, 0.85 if relative else 0.97
        worst = ratio.idxmin()
        report(f"{name} (towards {worst})", ours=ends[name][worst], reference=reference[worst], unit=unit, bar=bar)
        if len(simple):
            print(f"  by matching the histogram: {simple[name].min():.3f}")
    worst = ends["realism_auc"].idxmax()
    unit = f"AUC towards {worst}, real against real {real['realism_auc'][worst]:.2f}"
    report("realism", ours=ends["realism_auc"][worst], reference=0.75, unit=unit, bar=1.0)


def report_changes(fields: pd.DataFrame, classes: Sequence[str]) -> None:
    """Report which share of the real difference of intensities and areas the counterfactuals make."""
    columns = {str(name): fields[name].tolist() for name in fields}
    rows = [
        {"from": each.source, "to": each.target, "measure": measure, "real": row.real, "share": row.ratio}
        for each in change_directions(columns, counterfactual_kinds(columns)[0], classes)
        for measure, row in each.changes.items()
        if row.has_class_difference and any(part in measure for part in MEASURES)
    ]
    if not rows:
        print("No measure differs between the real classes; nothing can be said of changes.")
        return
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    for name, worst in (("smallest", table["share"].min()), ("largest", table["share"].max())):
        report(f"share of the real difference, {name}", ours=worst, reference=1.0, unit="bar 0.8 to 1.2", bar=0.8)


def unseen_rows(package: ModelPackage, data: PreparedData, most: int | None) -> npt.NDArray[np.int64]:
    """Rows of wells on which the model was neither trained nor chosen, evenly thinned to at most ``most``."""
    rows = data.rows_of_unseen_wells(package.seen_digests, part=None)
    if not len(rows):
        raise SystemExit("The model was trained or chosen on every well of the folder; give another one.")
    chosen = np.linspace(0, len(rows) - 1, min(most or len(rows), len(rows)))
    return rows[chosen.round().astype(int)]


def main() -> None:
    """Explain the unseen wells and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--oracle", type=Path, action="append", default=[])
    parser.add_argument("--fields", type=int, help="at most so many")
    parser.add_argument("--kinds", default="", help="comma-separated; by default those of the package")
    parser.add_argument("--relative", action="store_true", help="compare with the shares of real fields")
    parser.add_argument("--out", type=Path, help="folder in which the job stays")
    given = parser.parse_args()
    package = load_package(given.package)
    if not isinstance(package.model, InvertibleResNet):
        raise SystemExit(f"{given.package} holds a {package.model.spec.family}; give the package of an iresnet.")
    if torch.cuda.is_available():
        package.model.to("cuda")
    data = matching_data(package, DataSource(given.data), Console())
    rows = unseen_rows(package, data, given.fields)
    print(f"{len(rows)} fields of {len(np.unique(data.wells[rows]))} wells that the model has not seen")
    report_network(package, data, rows)
    table, kinds = data.table.iloc[rows].reset_index(drop=True), [name for name in given.kinds.split(",") if name]
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        fields, failures, seconds = explain(given.package, table, out, kinds, given.oracle)
        report_shares(counterfactual_table(fields, collect_textures(out), package), relative=given.relative)
        report_changes(fields, package.model.spec.classes)
        print(f"{1000 * seconds:.0f} ms of processor time for each field, with files and pictures")
        if given.out:
            job = {"model": str(given.package), "data": str(given.data), "methods": ["counterfactual"]}
            write_outputs(out, fields, failures, package, job)


if __name__ == "__main__":
    main()
