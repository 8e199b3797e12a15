"""How often conformal prediction sets contain the true class of wells that a classifier has not seen.

Draws sets of plates, fits a classifier of intensities on wells of all plates but one, and builds sets for the other
wells as a job does: calibrated by validation wells, or by controls of the plate itself::

    python -m benchmarks.coverage

Prints the coverage with its standard error over the sets of plates, and how many sets name one class, both or none.
The exit code is 1 if a coverage is more than 0.02 from that of theory where this should hold: on wells of the plates
of the training, and on a new plate whose own controls calibrate.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.images import intensity_features, open_cache
from leigh_mlops.models import fit_baseline
from leigh_mlops.plates import DemoDesign, find_images, write_demo_plate
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import aggregate_wells
from leigh_mlops.scores.conformal import CalibrationWells, class_limits, fewest_wells, prediction_sets

Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

CLASSES = ("DS", "WT")
TOLERANCE = 0.02
KNOWN_BY_VALIDATION = "plates of the training, by validation wells"
NEW_BY_VALIDATION = "a new plate, by validation wells"
NEW_BY_CONTROLS = "a new plate, by its own controls"
HELD = (KNOWN_BY_VALIDATION, NEW_BY_CONTROLS)
"""Ways whose calibration wells are exchangeable with those that are scored."""


class Fields(NamedTuple):
    """Fields of a set of plates.

    Attributes:
        features: Intensity features, shape (N, F).
        labels: Class of each, shape (N,).
        wells: Number of its well from 0, shape (N,).
        new: Whether it lies on the last plate, shape (N,).
    """

    features: Doubles
    labels: Numbers
    wells: Numbers
    new: npt.NDArray[np.bool_]

    def draw_parts(self, draw: np.random.Generator, counts: tuple[int, ...], new: bool) -> list[Numbers]:
        """Rows of parts of the wells: so many wells of each class, and one part with the rest."""
        parts: list[list[Numbers]] = [[] for _ in range(len(counts) + 1)]
        for label in range(len(CLASSES)):
            wells = draw.permutation(np.unique(self.wells[(self.labels == label) & (self.new == new)]))
            for part, chosen in zip(parts, np.split(wells, np.cumsum(counts)), strict=True):
                part.append(chosen)
        return [np.flatnonzero(np.isin(self.wells, np.concatenate(part))) for part in parts]


def draw_fields(folder: Path, seed: int, options: argparse.Namespace) -> Fields:
    """Draw plates and measure the intensities of their fields."""
    design = DemoDesign(
        classes=CLASSES, wells_per_class=options.wells, fields_per_well=2, image_size_px=32, seed=seed, plates=3,
        effect=options.effect, plate_shift=options.shift,
    )  # fmt: skip
    table = find_images(write_demo_plate(folder / "plates", design)).table
    cache = open_cache(table, ("DAPI", "TMRM"), 32, folder / "cache")
    plates = table[Metadata.PLATE].astype(str)
    wells = np.unique((plates + "/" + table[Metadata.WELL]).to_numpy(str), return_inverse=True)[1]
    labels = table[Metadata.CONDITION].map({name: label for label, name in enumerate(CLASSES)})
    features = intensity_features(cache.raw(np.arange(len(table))))
    newest = (plates == plates.max()).to_numpy(bool)
    return Fields(features, np.asarray(labels, np.int64), wells.astype(np.int64), newest)


def score_repetition(
    fields: Fields, draw: np.random.Generator, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Fit a classifier on some wells, and score the sets of others by each way."""
    train, val, test = fields.draw_parts(draw, (options.training, options.calibration), new=False)
    controls, others = fields.draw_parts(draw, (options.calibration,), new=True)
    fitted = fit_baseline(fields.features[train], fields.labels[train], len(CLASSES), kind=options.kind, seed=0)

    def predict(rows: Numbers) -> tuple[Numbers, Doubles]:
        log_probs = fitted.log_probs(fields.features[rows])
        wells = aggregate_wells([str(well) for well in fields.wells[rows]], fields.labels[rows], log_probs)
        return wells.labels, wells.log_probs

    ways = {KNOWN_BY_VALIDATION: (val, test), NEW_BY_VALIDATION: (val, others), NEW_BY_CONTROLS: (controls, others)}
    for way, (calibrating, scored) in ways.items():
        limits = class_limits(CalibrationWells.from_log_probs(*predict(calibrating)), len(CLASSES), options.coverage)
        labels, log_probs = predict(scored)
        sets = prediction_sets(log_probs, limits)
        sizes = sets.sum(axis=1)
        covered = sets[np.arange(len(labels)), labels]
        yield {
            "way": way,
            "coverage": covered.mean(),
            **{f"coverage of {name}": covered[labels == label].mean() for label, name in enumerate(CLASSES)},
            "one class": (sizes == 1).mean(),
            "both": (sizes == 2).mean(),
            "none": (sizes == 0).mean(),
            "accuracy": (log_probs.argmax(axis=1) == labels).mean(),
        }


def measure(options: argparse.Namespace) -> pd.DataFrame:
    """Means of each way over the repetitions, by set of plates."""
    rows = []
    for seed in range(options.first, options.first + options.sets):
        with tempfile.TemporaryDirectory() as folder:
            fields = draw_fields(Path(folder), seed, options)
        draw = np.random.default_rng(seed)
        found = pd.DataFrame([row for _ in range(options.splits) for row in score_repetition(fields, draw, options)])
        rows.append(found.groupby("way", sort=False).mean().assign(seed=seed))
        if sys.stderr.isatty() or not (seed + 1) % 10:
            print(f"{len(rows)} of {options.sets} sets of plates", file=sys.stderr, flush=True)
    return pd.concat(rows)


def main() -> int:
    """Parse the command line, measure and print; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=60, help="sets of three plates")
    parser.add_argument("--splits", type=int, default=10, help="divisions of the wells of each set")
    parser.add_argument("--first", type=int, default=0, help="seed of the first set")
    parser.add_argument("--wells", type=int, default=48, help="wells of each class and plate")
    parser.add_argument("--training", type=int, default=48, help="training wells of each class")
    parser.add_argument("--calibration", type=int, default=19, help="calibration wells of each class")
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--effect", default="both", help="effect of the classes, as of synthesize")
    parser.add_argument("--shift", type=float, default=0.0, help="plate_shift of the plates")
    parser.add_argument("--kind", default="linear", choices=("linear", "forest"))
    options = parser.parse_args()
    if options.calibration < fewest_wells(options.coverage):
        parser.error(f"--calibration must be at least {fewest_wells(options.coverage)}")
    begun = time.monotonic()
    found = measure(options).groupby("way", sort=False)
    means, errors = found.mean().drop(columns="seed"), found["coverage"].sem()
    print(means.assign(**{"standard error": errors}).round(3).T.to_string())
    # The guarantee of a finite sample, which the mean over wells and calibrations meets exactly without ties.
    rank = np.ceil(round((options.calibration + 1) * options.coverage, 9))
    theory = rank / (options.calibration + 1)
    print(f"by theory for {options.calibration} wells of each class: {theory:.3f}")
    missed = [way for way in HELD if abs(means["coverage"][way] - theory) > TOLERANCE]
    print(f"{time.monotonic() - begun:.0f} s; bars missed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
