"""Transport between the classes of a plate and the reference maps, evaluated on held-out wells.

``python -m benchmarks.transport [DATA] [--size 64] [--sheet PICTURE]`` splits the wells into three parts: one to fit
the maps, one to train the evaluators, one to evaluate. The evaluators are two small networks and a random forest on
intensity features; the table gives the share of mapped fields that each predicts as the target class. The AUC is that
of another forest, on intensity, texture and correlation, trained to distinguish mapped from real fields of the target
class (0.5: indistinguishable); for comparison, real fields are compared with real fields. Mapped fields are rounded to
16 bits. ``--cost`` measures only time and memory, as processor time, which other load does not lengthen. In the last
line, ``ours`` is the smallest share of the transport over evaluators and directions, and ``reference`` that of the
histogram.
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
import torch
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from torch import Tensor, nn

from benchmarks.report import report
from leigh_mlops.images import IntensityScale, PixelCache, fit_scale, intensity_features, open_cache
from leigh_mlops.models import fit_baseline
from leigh_mlops.models.transport import (
    REFERENCES,
    ClassFields,
    ClassMap,
    drop_small_changes,
    fit_transport,
)
from leigh_mlops.plates import find_images
from leigh_mlops.report.style import save_figure

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
FIELD_BAR_MS = {64: 20.0, 224: 200.0}
STEPS_16_BIT = 257
SHOWN, COLUMNS = ("histogram", "transport"), 6
Evaluators = dict[str, Callable[[Floats], npt.NDArray[np.int64]]]


class Plate(NamedTuple):
    """Fields with class index, well and part: 0 fits the maps, 1 trains the evaluators, 2 evaluates."""

    cache: PixelCache
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    wells: npt.NDArray[np.str_]
    parts: npt.NDArray[np.int64]

    def rows(self, part: int, label: int | None = None) -> Rows:
        """Rows of a part, of one class or of all classes."""
        return np.flatnonzero((self.parts == part) & ((self.labels == label) | (label is None)))


def open_plate(data: Path, size: int, folder: Path, seed: int) -> Plate:
    """Read a folder of two classes and split the wells of each class into three parts."""
    found = find_images(data)
    table = found.table
    classes = tuple(sorted(set(table["Metadata_Condition"])))
    labels = table["Metadata_Condition"].map(classes.index).to_numpy(np.int64)
    wells = (table["Metadata_Plate"].astype(str) + "/" + table["Metadata_Well"].astype(str)).to_numpy(str)
    part, rng = {}, np.random.default_rng(seed)
    for label in range(len(classes)):
        names = rng.permutation(np.unique(wells[labels == label]))
        part |= {name: number % 3 for number, name in enumerate(names)}
    cache = open_cache(table, found.channels, size, folder)
    return Plate(cache, classes, labels, wells, np.array([part[well] for well in wells]))


def class_fields(plate: Plate, scale: IntensityScale, part: int, label: int) -> ClassFields:
    """Fields of one class in one part, read in network units."""
    rows = plate.rows(part, label)
    return ClassFields(plate.classes[label], lambda some: scale.apply(plate.cache.raw(rows[some])), plate.wells[rows])


def apply_map(fitted: ClassMap, raw: Floats, scale: IntensityScale) -> Floats:
    """Mapped raw intensities without small changes, clipped and rounded to 16 bits."""
    changed = scale.invert(fitted.apply(scale.apply(raw)))
    changed = drop_small_changes(raw, changed, scale.full_scale)
    step = np.float32(1 if scale.full_scale > 255 else 1 / STEPS_16_BIT)
    return np.rint(np.clip(changed, 0, scale.full_scale) / step) * step


class SmallNetwork(nn.Sequential):
    """Four strided convolutions, then a linear layer on the mean and maximum of each channel."""

    def __init__(self, channels: int, width: int) -> None:
        parts: list[nn.Module] = []
        for number in range(4):
            out = width * 2 ** min(number, 2)
            parts += [nn.Conv2d(channels, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        super().__init__(*parts)
        self.head = nn.Linear(2 * channels, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 2) of images (N, C, H, W)."""
        for part in list(self)[:-1]:
            images = part(images)
        return self.head(torch.cat([images.mean((2, 3)), images.amax((2, 3))], dim=1))


def train_network(
    images: Floats, labels: npt.NDArray[np.int64], seed: int, jitter: float, epochs: int
) -> Callable[[Floats], npt.NDArray[np.int64]]:
    """Train an evaluator with flips, quarter turns, random gains and offsets, and return its predictor."""
    torch.manual_seed(seed)
    network = SmallNetwork(images.shape[1], 16)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-3)
    given, truth = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(epochs):
        for some in torch.randperm(len(given)).split(32):
            batch = torch.rot90(given[some], int(torch.randint(4, ())), (2, 3))
            batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
            noise = jitter * torch.randn(2, len(some), images.shape[1], 1, 1)
            loss = nn.functional.cross_entropy(network(batch * (1 + noise[0]) + noise[1]), truth[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()

    def predict(raw: Floats) -> npt.NDArray[np.int64]:
        with torch.no_grad():
            return np.concatenate([network(some).argmax(1).numpy() for some in torch.from_numpy(raw).split(64)])

    return predict


def train_evaluators(plate: Plate, seed: int, epochs: int) -> Evaluators:
    """Evaluators of raw intensities by name, trained with an intensity scale of their own wells."""
    rows = plate.rows(1)
    raw, labels = plate.cache.raw(rows), plate.labels[rows]
    scale = fit_scale(plate.cache, rows, "log")
    forest = fit_baseline(intensity_features(raw).astype(np.float64), labels, 2, kind="forest", seed=seed)
    plain = train_network(scale.apply(raw), labels, seed + 1, 0.0, epochs)
    robust = train_network(scale.apply(raw), labels, seed + 2, 0.2, epochs)
    return {
        "network": lambda raw: plain(scale.apply(raw)),
        "network, jittered": lambda raw: robust(scale.apply(raw)),
        "forest": lambda raw: forest.probabilities(intensity_features(raw).astype(np.float64)).argmax(1),
    }


def realism_features(raw: Floats) -> npt.NDArray[np.float64]:
    """Intensities, differences at five distances, and correlations of the channels; shape (N, F)."""
    logs = np.log1p(raw)
    parts = [intensity_features(raw)]
    for distance in (1, 2, 4, 8, 16):
        steps = [logs[..., distance:, :] - logs[..., :-distance, :], logs[..., distance:] - logs[..., :-distance]]
        parts += [np.abs(step).mean(axis=(2, 3)) for step in steps] + [step.std(axis=(2, 3)) for step in steps]
    flat = logs.reshape(*logs.shape[:2], -1) - logs.mean(axis=(2, 3))[..., None]
    flat /= np.maximum(np.linalg.norm(flat, axis=2, keepdims=True), 1e-6)
    both = np.triu_indices(raw.shape[1], 1)
    parts.append((flat @ flat.transpose(0, 2, 1))[:, both[0], both[1]])
    return np.concatenate(parts, axis=1).astype(np.float64)


def realism_auc(real: Floats, other: Floats, real_wells: Rows, other_wells: Rows, seed: int) -> float:
    """Cross-validated AUC of a forest that distinguishes two sets of fields, grouped by well."""
    features = np.concatenate([realism_features(real), realism_features(other)])
    truth = np.repeat([0, 1], [len(real), len(other)])
    forest = RandomForestClassifier(300, min_samples_leaf=2, random_state=seed)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    wells = np.concatenate([real_wells, other_wells])
    scores = cross_val_predict(forest, features, truth, groups=wells, cv=folds, method="predict_proba")
    return float(roc_auc_score(truth, scores[:, 1]))


def real_auc(plate: Plate, label: int, seed: int) -> float:
    """AUC of the same forest between random halves of the evaluation wells of one class."""
    rows = plate.rows(2, label)
    names = np.random.default_rng(seed).permutation(np.unique(plate.wells[rows]))
    first = np.isin(plate.wells[rows], names[::2])
    ours, theirs = rows[first], rows[~first]
    return realism_auc(plate.cache.raw(ours), plate.cache.raw(theirs), plate.wells[ours], plate.wells[theirs], seed)


def fit_all(
    plate: Plate, scale: IntensityScale, source: int, seed: int, shrink: float
) -> tuple[dict[str, ClassMap], dict[str, float]]:
    """The references and the transport from one class to the other, with the processor seconds of each fit."""
    ours, theirs = (class_fields(plate, scale, 0, label) for label in (source, 1 - source))
    fits = {name: lambda each=each: each.fit(ours, theirs, seed) for name, each in REFERENCES.items()}
    fits["transport"] = lambda: fit_transport(ours, theirs, seed=seed, shrink=shrink)
    maps, seconds = {}, {}
    for name, fit in fits.items():
        begin = time.process_time()
        maps[name] = fit()
        seconds[name] = time.process_time() - begin
    return maps, seconds


def milliseconds_per_field(fitted: ClassMap, images: Floats) -> float:
    """Median processor milliseconds of ten fields, mapped one by one."""
    fitted.apply(images[:1])
    times = []
    for number in range(10):
        begin = time.process_time()
        fitted.apply(images[number % len(images)][None])
        times.append(1000 * (time.process_time() - begin))
    return float(np.median(times))


def evaluate_direction(
    plate: Plate, scale: IntensityScale, source: int, given: argparse.Namespace, evaluators: Evaluators
) -> tuple[list[dict[str, object]], dict[str, Floats]]:
    """A row for each map from one class and one for real fields of the other; also the mapped fields by title."""
    target = 1 - source
    rows, real_rows = plate.rows(2, source), plate.rows(2, target)
    raw, real = plate.cache.raw(rows), plate.cache.raw(real_rows)
    maps, seconds = fit_all(plate, scale, source, given.seed, given.shrink)
    direction = f"{plate.classes[source]} to {plate.classes[target]}"
    found, shown = [], {f"{direction}: image": raw}
    for name, fitted in maps.items():
        record = {
            "direction": direction,
            "map": name,
            "fit s": seconds[name],
            "ms": milliseconds_per_field(fitted, scale.apply(raw[:10])),
        }
        if evaluators:
            changed = apply_map(fitted, raw, scale)
            record |= target_shares(evaluators, changed, target)
            record["AUC"] = realism_auc(real, changed, plate.wells[real_rows], plate.wells[rows], given.seed)
            shown |= {f"{direction}: {name}": changed} if name in SHOWN else {}
        found.append(record)
    if evaluators:
        real_record = {"direction": direction, "map": "real fields", "AUC": real_auc(plate, target, given.seed)}
        found.append(real_record | target_shares(evaluators, real, target))
    return found, shown


def target_shares(evaluators: Evaluators, raw: Floats, target: int) -> dict[str, float]:
    """Share of the fields that each evaluator predicts as the target class."""
    return {f"by {name}": float((predict(raw) == target).mean()) for name, predict in evaluators.items()}


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


def main() -> None:
    """Evaluate both directions and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("LEIGH_DATA", ".")) / "leigh_ds_tt")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shrink", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=15, help="epochs of the evaluator networks")
    parser.add_argument("--cost", action="store_true", help="measure only time and memory")
    parser.add_argument("--sheet", type=Path, help="PNG of six fields of each class, before and after the maps")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plate = open_plate(given.data, given.size, Path(folder), given.seed)
        scale = fit_scale(plate.cache, plate.rows(0), "log")
        evaluators = {} if given.cost else train_evaluators(plate, given.seed, given.epochs)
        directions = [evaluate_direction(plate, scale, source, given, evaluators) for source in (0, 1)]
    table = pd.DataFrame([record for found, _ in directions for record in found])
    print(table.round(3).to_string(index=False))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ours = table[table["map"] == "transport"]
    print(f"both fits {ours['fit s'].sum():.1f} s of processor time; peak memory of the process {peak:.0f} MiB")
    if given.sheet and not given.cost:
        save_figure(draw_sheet({title: each for _, shown in directions for title, each in shown.items()}), given.sheet)
    if given.cost:
        bar = FIELD_BAR_MS.get(given.size, np.nan)
        report("transport of one field", ours=ours["ms"].max(), reference=bar, unit="processor ms per field", bar=1.0)
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
