"""Normalisations of profiles on drawn screens: what each does to the mAP of replicates and the share of the plate.

Trains a compact ResNeXt on two plates, and embeds three other plates with compounds, which differ in gain, offset,
focus and density of the cells. ``python -m benchmarks.profiles`` takes a few minutes on one core.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from benchmarks.plate_shift import SETTINGS, train
from leigh_mlops.images import open_cache
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import assign_split, find_images, write_demo_plate
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profile_files import profile_paths
from leigh_mlops.study.profile_plates import ProfileRequest, profile_plates
from leigh_mlops.training import PreparedData

COMPOUNDS = ("inert", "rescuer", "toxic", "swelling")
SHOWN = ("replicate_map", "activity_map", "active", "plate_share")


def measure(seed: int, folder: Path, size: int, wells: int, shift: float, epochs: int) -> pd.DataFrame:
    """Scores of one set of plates."""
    drawn = {"classes": ("DS", "WT"), "wells_per_class": wells, "image_size_px": size, "plate_shift": shift}
    known = write_demo_plate(folder / "known", plates=2, fields_per_well=2, seed=seed, **drawn)
    screen = write_demo_plate(
        folder / "screen", plates=3, fields_per_well=2, seed=1000 + seed, compounds=COMPOUNDS, **drawn
    )
    found = find_images(known)
    table = found.table.assign(Metadata_Split=assign_split(found.table, seed=seed))
    channels = tuple(found.channels)
    data = PreparedData(table, channels, ("DS", "WT"), open_cache(table, channels, size, folder / "cache"))
    package = ModelPackage(
        train(data, "none", seed, epochs),
        channels,
        data.scale(str(SETTINGS["intensity"])).to_json(),
        arrays={"training_digests": data.cache.digests[data.rows("train")]},
    )
    out, quiet = folder / "profiles.parquet", Console(quiet=True)
    profile_plates(package, ProfileRequest("resnext", DataSource(screen)), profile_paths(out), quiet)
    scores = json.loads((folder / "profiles_scores.json").read_text())["scores"]
    return pd.DataFrame(scores).assign(seed=seed)


def main() -> None:
    """Measure and print the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="sets of plates")
    parser.add_argument("--size", type=int, default=32, help="image side in pixels")
    parser.add_argument("--wells", type=int, default=32, help="wells per class and plate")
    parser.add_argument("--shift", type=float, default=1.0, help="plate_shift of the plates")
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            rows.append(measure(seed, Path(temporary), asked.size, asked.wells, asked.shift, asked.epochs))
            print(rows[-1].to_string(), flush=True)
    means = pd.concat(rows).groupby(["features", "normalisation"], sort=False)[list(SHOWN)].agg(np.mean)
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
