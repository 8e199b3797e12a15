"""How reliably planted shortcuts are found and named, and how often clean plates raise an alarm.

Draws plates on which one thing beside the phenotype differs between the classes, and clean ones, and runs the
probes of `ingest` and `tune` on them::

    python -m benchmarks.shortcuts --plates 10 --clean 20

A shortcut counts as found if the view made for it has an AUC of 0.95 or more, and as named if its
sentence is said. An alarm is any such sentence about a clean plate.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from leigh_mlops.images import open_cache
from leigh_mlops.images.shortcut_views import measure_views, view_fields
from leigh_mlops.plates import find_images, probe_confounds, write_demo_plate
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import confound_sentences

SHORTCUTS = ("position", "background", "density", "focus", "stamp", "plate")
FOUND_AUC = 0.95


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


def measure(kinds: list[str], plates: int, clean: int, size: int) -> None:
    """Print one line for each kind of plate."""
    begun = time.monotonic()
    for kind in kinds:
        runs = []
        for seed in range(clean if kind == "none" else plates):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(probe_drawn_plate(Path(folder), confounder=kind, seed=1000 + seed, size=size))
        named = [named_views(run) for run in runs]
        if kind == "none":
            alarms = [views for views in named if views]
            print(f"clean: {len(alarms)} of {len(runs)} plates with an alarm {alarms}", flush=True)
        else:
            aucs = np.array([run[kind]["auc"] for run in runs])
            found = int(np.sum(aucs >= FOUND_AUC))
            others = sorted({view for views in named for view in views} - {kind})
            print(
                f"{kind}: AUC {aucs.min():.3f} to {aucs.max():.3f}, found on {found} of {len(runs)}, named on "
                f"{sum(kind in views for views in named)}; also named: {', '.join(others) or 'nothing'}",
                flush=True,
            )
    print(f"{time.monotonic() - begun:.0f} s")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=[*SHORTCUTS, "none"], choices=[*SHORTCUTS, "none"])
    parser.add_argument("--plates", type=int, default=10, help="Plates of each shortcut.")
    parser.add_argument("--clean", type=int, default=20, help="Plates without one.")
    parser.add_argument("--size", type=int, default=96, help="Side of the images in pixels.")
    options = parser.parse_args()
    measure(options.kinds, options.plates, options.clean, options.size)


if __name__ == "__main__":
    main()
