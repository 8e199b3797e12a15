"""Transport between the classes of a plate and the reference maps, evaluated on held-out wells.

``python -m benchmarks.transport [DATA] [--size 64] [--sheet PICTURE]`` splits the wells into three parts: one to fit
the maps, one to train the evaluators, one to evaluate. The evaluators are the independent classifiers of a model
package; the table gives the share of mapped fields that each predicts as the target class. The AUC is that of another
forest, on intensity, texture and correlation, trained to distinguish mapped from real fields of the target class (0.5:
indistinguishable); for comparison, real fields are compared with real fields. A field is typical if these features are
as near to the class's median as those of 99 % of the real fields that fit the maps. Mapped fields lie in the steps of
their originals. ``--folds N`` is for few wells: maps and evaluators are fitted on the same wells, as in a package, and
evaluate the wells of one fold after the other; the figures are means over the folds, and the last lines compare with
the share of real fields, with intervals of 95 % over resampled wells, and give the share in each well. ``--cost``
measures only time and memory, as processor time, which other load does not lengthen. In the last line, ``ours`` is the
smallest share of the transport over evaluators and directions, and ``reference`` that of the histogram. The second
table has the difference of the classes in the mean intensity of each channel, over the wells that fit the maps and over
those that are evaluated, with standard errors, and what is made.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.report import report
from leigh_mlops.images import IntensityScale, PixelCache, fit_scale, open_cache, texture_features
from leigh_mlops.models.oracles import OraclePanel, fit_panel
from leigh_mlops.models.transport import (
    REFERENCES,
    ClassFields,
    ClassMap,
    SlicedTransport,
    TransportPlan,
    drop_small_changes,
    fit_transport,
    round_to_steps,
)
from leigh_mlops.plates import find_images
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores import fit_typicality, real_against_real_auc, realism_auc, typicality
from leigh_mlops.study.transport_choice import LONG_PLAN, choose_transport

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
FIELD_BAR_MS = {64: 20.0, 224: 200.0}
RESAMPLES = 2000
SHOWN, COLUMNS = ("histogram", "transport"), 6


def plate_parser(description: str | None) -> argparse.ArgumentParser:
    """Command line of a benchmark on a plate of two classes and evaluators."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("LEIGH_DATA", ".")) / "leigh_ds_tt")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12, help="epochs of the evaluator networks")
    return parser


class Plate(NamedTuple):
    """Fields with class index, well and part: 0 fits the maps, 1 trains the evaluators, 2 evaluates.

    Where no field is of part 1, part 0 trains the evaluators, too.
    """

    cache: PixelCache
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    wells: npt.NDArray[np.str_]
    parts: npt.NDArray[np.int64]

    def rows(self, part: int, label: int | None = None) -> Rows:
        """Rows of a part, of one class or of all classes."""
        return np.flatnonzero((self.parts == part) & ((self.labels == label) | (label is None)))


def open_plate(data: Path, size: int, folder: Path, seed: int, parts: int = 3) -> Plate:
    """Read a folder of two classes and split the wells of each class into parts."""
    found = find_images(data)
    table = found.table
    classes = tuple(sorted(set(table["Metadata_Condition"])))
    labels = table["Metadata_Condition"].map(classes.index).to_numpy(np.int64)
    wells = (table["Metadata_Plate"].astype(str) + "/" + table["Metadata_Well"].astype(str)).to_numpy(str)
    part, rng = {}, np.random.default_rng(seed)
    for label in range(len(classes)):
        names = rng.permutation(np.unique(wells[labels == label]))
        part |= {name: number % parts for number, name in enumerate(names)}
    cache = open_cache(table, found.channels, size, folder)
    return Plate(cache, classes, labels, wells, np.array([part[well] for well in wells]))


def fold_plates(plate: Plate, count: int) -> list[Plate]:
    """The plate once for each part, which is evaluated while all others fit."""
    return [plate._replace(parts=np.where(plate.parts == fold, 2, 0)) for fold in range(count)]


def class_fields(plate: Plate, part: int, label: int, scale: IntensityScale | None = None) -> ClassFields:
    """Fields of one class in one part, read in network units, or raw without a scale."""
    rows = plate.rows(part, label)

    def read(some: Rows) -> Floats:
        raw = plate.cache.raw(rows[some])
        return raw if scale is None else scale.apply(raw)

    return ClassFields(plate.classes[label], read, plate.wells[rows])


def apply_map(fitted: ClassMap, raw: Floats, scale: IntensityScale) -> Floats:
    """Mapped raw intensities as they are saved."""
    return saved_intensities(raw, fitted.apply(scale.apply(raw)), scale)


def saved_intensities(raw: Floats, made: Floats, scale: IntensityScale) -> Floats:
    """Raw intensities of images in network units: clipped, in the steps of the original, without small changes."""
    changed = np.clip(scale.invert(made), 0, scale.full_scale)
    return drop_small_changes(raw, round_to_steps(raw, changed), scale.full_scale)


def fit_evaluators(plate: Plate, seed: int, epochs: int) -> OraclePanel:
    """Fit independent classifiers on their part of the wells; fields that fit the maps are only scored."""
    parts = (1, 0) if len(plate.rows(1)) else (0, 2)
    train, val = ([class_fields(plate, part, label) for label in (0, 1)] for part in parts)
    return fit_panel(train, val, plate.cache.full_scale, seed, epochs)


def fit_all(
    plate: Plate, scale: IntensityScale, source: int, given: argparse.Namespace
) -> tuple[dict[str, ClassMap], dict[str, float]]:
    """The references and the transport from one class to the other, with the processor seconds of each fit."""
    ours, theirs = (class_fields(plate, 0, label, scale) for label in (source, 1 - source))
    fits = {name: lambda each=each: each.fit(ours, theirs, given.seed) for name, each in REFERENCES.items()}
    fits["transport"] = lambda: fit_chosen_transport(ours, theirs, scale, given)
    maps, seconds = {}, {}
    for name, fit in fits.items():
        begin = time.process_time()
        maps[name] = fit()
        seconds[name] = time.process_time() - begin
    return maps, seconds


def fit_chosen_transport(
    ours: ClassFields, theirs: ClassFields, scale: IntensityScale, given: argparse.Namespace
) -> ClassMap:
    """Choose and fit the transport as a package does, or fit the one that is asked for."""
    if given.long or given.shrink is not None:
        plan = LONG_PLAN if given.long else TransportPlan()
        return fit_transport(ours, theirs, plan=plan, seed=given.seed, shrink=given.shrink or 0.0)
    plan, shrink, chosen = choose_transport(ours, theirs, scale, given.seed)
    return fit_transport(ours, theirs, plan=plan, seed=chosen, shrink=shrink)


def milliseconds_per_field(change: Callable[[Floats], Floats], images: Floats) -> float:
    """Median processor milliseconds of ten fields, changed one by one."""
    change(images[:1])
    times = []
    for number in range(10):
        begin = time.process_time()
        change(images[number % len(images)][None])
        times.append(1000 * (time.process_time() - begin))
    return float(np.median(times))


def evaluate_direction(
    plate: Plate, scale: IntensityScale, source: int, given: argparse.Namespace, panel: OraclePanel | None
) -> tuple[list[dict[str, object]], dict[str, Floats]]:
    """A row for each map from one class and one for real fields of the other; also the mapped fields by title."""
    target = 1 - source
    rows, real_rows = plate.rows(2, source), plate.rows(2, target)
    raw = plate.cache.raw(rows)
    maps, seconds = fit_all(plate, scale, source, given)
    direction = f"{plate.classes[source]} to {plate.classes[target]}"
    found, shown = [], {f"{direction}: image": raw}
    real = None if panel is None else RealFields(plate, target, panel, given.seed)
    for name, fitted in maps.items():
        record = {
            "direction": direction,
            "map": name,
            "fit s": seconds[name],
            "ms": milliseconds_per_field(fitted.apply, scale.apply(raw[:10])),
            "layers": len(fitted.sides) if isinstance(fitted, SlicedTransport) else 0,
        }
        if real is not None:
            changed = apply_map(fitted, raw, scale)
            record |= real.compare(changed, plate.wells[rows])
            shown |= {f"{direction}: {name}": changed} if name in SHOWN else {}
        found.append(record)
    if real is not None:
        found.append({"direction": direction, "map": "real fields"} | real.compare(plate.cache.raw(real_rows), None))
    return found, shown


class RealFields:
    """Real fields of one class, with which mapped fields are compared."""

    def __init__(self, plate: Plate, target: int, panel: OraclePanel, seed: int) -> None:
        rows = plate.rows(2, target)
        self.full_scale, self.target, self.panel, self.seed = plate.cache.full_scale, target, panel, seed
        self.features, self.wells = texture_features(plate.cache.raw(rows), self.full_scale), plate.wells[rows]
        self.reference = fit_typicality(texture_features(plate.cache.raw(plate.rows(0, target)), self.full_scale))

    def compare(self, raw: Floats, wells: npt.NDArray[np.str_] | None) -> dict[str, float]:
        """Shares that each evaluator predicts as the target, AUC, and share of typical fields.

        Without wells, the fields are the real ones, and the AUC is that between halves of their wells.
        """
        features = texture_features(raw, self.full_scale)
        if wells is None:
            auc = real_against_real_auc(self.features, self.wells, self.seed)
        else:
            auc = realism_auc(self.features, features, self.wells, wells, self.seed)
        by = {f"by {name}": each.argmax(axis=1) for name, each in self.panel.log_probs(raw).items()}
        shares = {name: float((each == self.target).mean()) for name, each in by.items()}
        return shares | {"AUC": auc, "typical": float((typicality(features, self.reference) <= 1).mean())}


def well_differences(plate: Plate, source: int, part: int) -> tuple[Doubles, Doubles]:
    """Mean intensity of each channel, target less source class, over the wells of a part; with its standard error."""
    means, variances = [], []
    for label in (1 - source, source):
        rows = plate.rows(part, label)
        of_fields = pd.DataFrame(plate.cache.raw(rows).mean(axis=(2, 3), dtype=np.float64))
        of_wells = of_fields.groupby(plate.wells[rows]).mean()
        means.append(of_wells.mean().to_numpy())
        variances.append(of_wells.var().to_numpy() / len(of_wells))
    return means[0] - means[1], np.sqrt(variances[0] + variances[1])


def difference_rows(plate: Plate, source: int, raw: Floats, made: Floats) -> list[dict[str, object]]:
    """A row for each channel: difference of the classes on both parts of the wells, and the one that is made."""
    (fitted, fitted_error), (real, error) = (well_differences(plate, source, part) for part in (0, 2))
    change = (made - raw).mean(axis=(0, 2, 3), dtype=np.float64)
    return [
        {
            "direction": f"{plate.classes[source]} to {plate.classes[1 - source]}",
            "channel": channel,
            "fitted": fitted[channel],
            "its error": fitted_error[channel],
            "evaluated": real[channel],
            "error": error[channel],
            "made": change[channel],
        }
        for channel in range(len(change))
    ]


def shares_by_well(plate: Plate, panel: OraclePanel, source: int, made: Floats) -> list[dict[str, object]]:
    """Share that each evaluator predicts as the target, of the mapped and of the real fields in each well."""
    target, found = 1 - source, list[dict[str, object]]()
    direction = f"{plate.classes[source]} to {plate.classes[target]}"
    for kind, raw, label in (("made", made, source), ("real", plate.cache.raw(plate.rows(2, target)), target)):
        wells = plate.wells[plate.rows(2, label)]
        for name, each in panel.log_probs(raw).items():
            shares = pd.Series(each.argmax(axis=1) == target).groupby(wells).mean()
            row = {"direction": direction, "evaluator": name, "kind": kind}
            found += [row | {"well": well, "share": share} for well, share in shares.items()]
    return found


def draw_sheet(fields: dict[str, Floats]) -> Figure:
    """Six fields of each set in a row, the first two channels in red and green, on one intensity scale."""
    rows = [(title, images[:: max(len(images) // COLUMNS, 1)][:COLUMNS]) for title, images in fields.items()]
    figure = Figure(figsize=(13, 2.3 * len(rows)))
    limits = np.percentile(np.concatenate([images for _, images in rows]), 99.7, axis=(0, 2, 3))
    axes = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for line, (title, images) in zip(axes, rows, strict=True):
        for place, axis in enumerate(line):
            axis.set_axis_off()
            colours = np.sqrt(np.clip(images[place] / limits[:, None, None], 0, 1))[:2]
            axis.imshow(np.concatenate([colours, np.zeros_like(colours[:1])]).transpose(1, 2, 0))
        line[0].set_title(title, loc="left")
    figure.tight_layout()
    return figure


class Evaluation(NamedTuple):
    """Both directions: maps, differences of the channels, shares by well, and fields by title."""

    maps: pd.DataFrame
    differences: pd.DataFrame
    by_well: pd.DataFrame
    shown: dict[str, Floats]


def evaluate_plate(plate: Plate, given: argparse.Namespace) -> Evaluation:
    """Evaluate both directions."""
    scale = fit_scale(plate.cache, plate.rows(0), "log")
    panel = None if given.cost else fit_evaluators(plate, given.seed, given.epochs)
    maps, differences, by_well = (list[dict[str, object]]() for _ in range(3))
    shown = dict[str, Floats]()
    for source in (0, 1):
        found, fields = evaluate_direction(plate, scale, source, given, panel)
        maps, shown = maps + found, shown | fields
        if panel is not None:
            direction = f"{plate.classes[source]} to {plate.classes[1 - source]}"
            raw, made = (fields[f"{direction}: {name}"] for name in ("image", "transport"))
            differences += difference_rows(plate, source, raw, made)
            by_well += shares_by_well(plate, panel, source, made)
    return Evaluation(*(pd.DataFrame(rows) for rows in (maps, differences, by_well)), shown)


def report_ratios(by_well: pd.DataFrame) -> None:
    """Report the smallest share that an evaluator predicts as the target, relative to that of real fields."""
    rng, ratios = np.random.default_rng(0), {}
    for (direction, evaluator), some in by_well.groupby(["direction", "evaluator"], sort=False):
        ours, real = (some.loc[some["kind"] == kind, "share"].to_numpy() for kind in ("made", "real"))
        low, high = ratio_interval(ours, real, rng)
        ratio = ours.mean() / real.mean()
        ratios[f"{direction}, by {evaluator}"] = ratio, float(ours.mean()), float(real.mean())
        print(f"{direction}, by {evaluator}: {ratio:.3f} of real fields ({low:.2f} to {high:.2f} over wells)")
        for kind, shares in (("made", ours), ("real", real)):
            print(f"  {kind}, wells: {' '.join(f'{share:.2f}' for share in sorted(shares))}")
    worst = min(ratios, key=lambda name: ratios[name][0])
    _, lowest, reference = ratios[worst]
    report("transport", ours=lowest, reference=reference, unit=f"share predicted as target, {worst}", bar=0.85)


def ratio_interval(ours: Doubles, real: Doubles, rng: np.random.Generator) -> tuple[float, float]:
    """Interval of 95 % of the ratio of two means over wells, by bootstrap."""
    means = [rng.choice(each, (RESAMPLES, len(each))).mean(axis=1) for each in (ours, real)]
    low, high = np.percentile(means[0] / np.maximum(means[1], 1e-9), (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    """Evaluate both directions and print the results."""
    parser = plate_parser(__doc__)
    parser.add_argument("--folds", type=int, default=0, help="parts of the wells, each evaluated once")
    parser.add_argument("--shrink", type=float, help="shrinkage of the transport, in place of the choice")
    parser.add_argument("--long", action="store_true", help="the long plan, in place of the choice")
    parser.add_argument("--cost", action="store_true", help="measure only time and memory")
    parser.add_argument("--sheet", type=Path, help="PNG of six fields of each class, before and after the maps")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plate = open_plate(given.data, given.size, Path(folder), given.seed, given.folds or 3)
        plates = fold_plates(plate, given.folds) if given.folds else [plate]
        results = [evaluate_plate(each, given) for each in plates]
    table = pd.concat([each.maps for each in results])
    table = table.groupby(["direction", "map"], sort=False).mean().reset_index()
    print(table.round(3).to_string(index=False))
    if not given.cost:
        made = pd.concat([each.differences for each in results]).groupby(["direction", "channel"], sort=False).mean()
        print(made.reset_index().round(3).to_string(index=False))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ours = table[table["map"] == "transport"]
    print(f"both fits {ours['fit s'].sum():.1f} s of processor time; peak memory of the process {peak:.0f} MiB")
    if given.sheet and not given.cost:
        save_figure(draw_sheet(results[0].shown), given.sheet)
    if given.cost:
        bar = FIELD_BAR_MS.get(given.size, np.nan)
        report("transport of one field", ours=ours["ms"].max(), reference=bar, unit="processor ms per field", bar=1.0)
        return
    if given.folds:
        report_ratios(pd.concat([each.by_well for each in results]))
        return
    shares = [name for name in table if name.startswith("by ")]
    least = {name: float(table[table["map"] == name][shares].min().min()) for name in ("transport", "histogram")}
    report(
        "transport",
        ours=least["transport"],
        reference=least["histogram"],
        unit="smallest share predicted as target",
        bar=1.0,
    )


if __name__ == "__main__":
    main()
