"""Sham edits by maps that are fitted as a package fits them, evaluated on held-out wells.

``python -m benchmarks.shams [DATA] [--folds 3] [--epochs 12]`` divides the wells as ``benchmarks.transport --folds``
does: all folds but one fit maps and evaluators, and the last one is evaluated. A sham edit leads from one random half
of the wells of a class to the other half, by the layers and the shrinkage that the transport between the classes has
(``study.transport_choice``). The table gives the share of fields whose predicted class it changes, by evaluator, and
the share that it turns from their own class to the other; beside them, what the evaluators say of the same fields as
mirror images and moved by one pixel, which should change nothing either. The change is the mean over all pixels, in
counts. The figures are means over the folds and over two draws of the halves. In the last line, ``ours`` is the
largest share that a sham edit changes.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import report
from benchmarks.transport import (
    Floats,
    Plate,
    apply_map,
    class_fields,
    fit_evaluators,
    fold_plates,
    open_plate,
    plate_parser,
)
from leigh_mlops.images import IntensityScale, fit_scale
from leigh_mlops.models.oracles import OraclePanel
from leigh_mlops.models.transport import ClassFields, fit_transport
from leigh_mlops.study.class_map_fitting import halve_wells
from leigh_mlops.study.transport_choice import TransportChoice, choose_transport, noisiest_choice

SHAM_SEEDS = (0, 1)
SHAM_BAR = 0.05


def sham_fields(
    plate: Plate, scale: IntensityScale, label: int, choice: TransportChoice, seed: int, raw: Floats
) -> Floats:
    """Fields of a class after the transport between random halves of its wells."""
    plates = np.array([well.split("/")[0] for well in plate.wells])
    rows = plate.rows(0, label)
    halves = halve_wells(rows, plate.wells, plates, np.random.default_rng(seed))
    every = class_fields(plate, 0, label, scale)
    ours, theirs = (every.take(np.flatnonzero(np.isin(rows, half))) for half in halves)
    fitted = fit_transport(ours, theirs, plan=choice.plan, seed=seed, shrink=choice.shrink)
    return apply_map(fitted, raw, scale)


def evaluate_class(
    plate: Plate, scale: IntensityScale, panel: OraclePanel, label: int, choice: TransportChoice
) -> list[dict[str, object]]:
    """A row for each sham edit and each way to show the same field."""
    raw = plate.cache.raw(plate.rows(2, label))
    shown = {"mirrored": raw[..., ::-1].copy(), "moved by 1 px": np.roll(raw, 1, 3)}
    shams = [("sham edit", sham_fields(plate, scale, label, choice, seed, raw)) for seed in SHAM_SEEDS]
    before = {name: each.argmax(axis=1) for name, each in panel.log_probs(raw).items()}
    found = []
    for kind, changed in (*shams, *shown.items()):
        record: dict[str, object] = {"class": plate.classes[label], "fields": kind, "layers": len(choice.plan.sides)}
        for name, each in panel.log_probs(changed).items():
            turned = each.argmax(axis=1) != before[name]
            record[f"by {name}"] = turned.mean()
            record[f"{name}, lost"] = (turned & (before[name] == label)).mean()
        found.append(record | {"change": np.abs(changed - raw).mean() if kind == "sham edit" else 0.0})
    return found


def evaluate_fold(plate: Plate, given: argparse.Namespace) -> list[dict[str, object]]:
    """Rows of both classes."""
    scale = fit_scale(plate.cache, plate.rows(0), "log")
    panel = fit_evaluators(plate, given.seed, given.epochs)
    fields: list[ClassFields] = [class_fields(plate, 0, label, scale) for label in (0, 1)]
    choice = noisiest_choice([choose_transport(*pair, scale, given.seed) for pair in (fields, fields[::-1])])
    if given.shrink is not None:
        choice = choice._replace(shrink=given.shrink)
    return [row for label in (0, 1) for row in evaluate_class(plate, scale, panel, label, choice)]


def main() -> None:
    """Evaluate both classes and print the results."""
    parser = plate_parser(__doc__)
    parser.add_argument("--folds", type=int, default=3, help="parts of the wells, each evaluated once")
    parser.add_argument("--shrink", type=float, default=None, help="shrinkage in place of the chosen one, 0 to 1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plate = open_plate(given.data, given.size, Path(folder), given.seed, given.folds)
        rows = [row for each in fold_plates(plate, given.folds) for row in evaluate_fold(each, given)]
    table = pd.DataFrame(rows).groupby(["class", "fields"], sort=False).mean()
    print(table.round(3).to_string())
    most = float(table.xs("sham edit", level="fields").filter(like="by ").to_numpy().max())
    report("sham edits", ours=most, reference=SHAM_BAR, unit="share of fields whose class changes", bar=1.0)


if __name__ == "__main__":
    main()
