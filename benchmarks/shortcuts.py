"""How reliably planted shortcuts are found and named, and how often clean plates raise an alarm.

Draws plates on which one thing beside the phenotype differs between the classes, and clean ones, and runs the
probes of `ingest` and `tune` on them::

    python -m benchmarks.shortcuts --plates 10 --clean 20

A shortcut counts as found if the view made for it has an AUC of 0.95 or more, and as named if its
sentence is said. An alarm is any such sentence about a clean plate. The exit code is 1 if a shortcut is not found
and named on each of its plates, or if more than one of twenty clean plates raises an alarm.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from leigh_mlops.images import open_cache
from leigh_mlops.images.shortcut_views import measure_views, view_fields
from leigh_mlops.plates import find_images, probe_confounds, write_demo_plate
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import confound_sentences

SHORTCUTS = ("position", "background", "density", "focus", "stamp", "plate")
CLEAN = "none"
FOUND_AUC = 0.95
ALARM_SHARE = 0.05  # of clean plates may raise an alarm


def probe_drawn_plate(folder: Path, *, confounder: str, seed: int, size: int) -> dict[str, dict[str, float]]:
    """Draw one plate, or two where the plate is the shortcut, and probe it."""
    plates = 2 if confounder == "plate" else 1
    wells = 18 if plates == 1 else 36
    path = write_demo_plate(
        folder / "plate", classes=("DS", "WT"), wells_per_class=wells // plates, fields_per_well=3, image_size_px=size,
        seed=seed, plates=plates, confounder=confounder,
    )  # fmt: skip
    found = find_images(path)
    cache = open_cache(found.table, found.channels, size, folder / "cache")
    rows = view_fields(found.table, (Metadata.PLATE, Metadata.WELL), Metadata.CONDITION)
    views = measure_views(cache.raw, rows, found.channels, cache.quality, found.table.index)
    return probe_confounds(found.table, views)


def named_views(confounds: dict[str, dict[str, float]]) -> list[str]:
    """Views about which a sentence is said."""
    return [name for name, scores in confounds.items() if confound_sentences({name: scores})]


def probe_plates(kind: str, seeds: range, size: int) -> Iterator[dict[str, dict[str, float]]]:
    """Probe plates of one kind, and print each one's AUCs and named views."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            run = probe_drawn_plate(Path(folder), confounder=kind, seed=seed, size=size)
        aucs = ", ".join(f"{name} {scores['auc']:.3f}" for name, scores in run.items() if scores)
        print(f"  {kind} {seed}: {aucs}; named: {', '.join(named_views(run)) or 'nothing'}", flush=True)
        yield run


def measure_shortcut(kind: str, seeds: range, size: int) -> bool:
    """Print how often a shortcut is found and named; whether it always is."""
    runs = list(probe_plates(kind, seeds, size))
    named = [named_views(run) for run in runs]
    aucs = np.array([run[kind]["auc"] for run in runs])
    found, said = int(np.sum(aucs >= FOUND_AUC)), sum(kind in views for views in named)
    others = sorted({view for views in named for view in views} - {kind})
    print(
        f"{kind}: AUC {aucs.min():.3f} to {aucs.max():.3f}, found on {found} of {len(runs)}, named on {said}; also "
        f"named: {', '.join(others) or 'nothing'}",
        flush=True,
    )
    return found == said == len(runs)


def measure_clean(seeds: range, size: int) -> bool:
    """Print how many clean plates raise an alarm; whether at most one of twenty does."""
    alarms = [views for views in map(named_views, probe_plates(CLEAN, seeds, size)) if views]
    print(f"clean: {len(alarms)} of {len(seeds)} plates with an alarm {alarms}", flush=True)
    return len(alarms) <= len(seeds) * ALARM_SHARE


def main() -> int:
    """Parse the command line and measure; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=[*SHORTCUTS, CLEAN], choices=[*SHORTCUTS, CLEAN])
    parser.add_argument("--plates", type=int, default=10, help="Plates of each shortcut.")
    parser.add_argument("--clean", type=int, default=20, help="Plates without one.")
    parser.add_argument("--first", type=int, default=1000, help="Seed of the first plate of each kind.")
    parser.add_argument("--size", type=int, default=96, help="Side of the images in pixels.")
    options = parser.parse_args()
    begun = time.monotonic()
    met = {
        kind: measure_clean(range(options.first, options.first + options.clean), options.size)
        if kind == CLEAN
        else measure_shortcut(kind, range(options.first, options.first + options.plates), options.size)
        for kind in options.kinds
    }
    missed = [kind for kind, each in met.items() if not each]
    print(f"{time.monotonic() - begun:.0f} s; bars missed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
