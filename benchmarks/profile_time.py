"""Seconds and memory of the profiles of a screen: ``python -m benchmarks.profile_time``, 3,456 fields of 384 wells.

Draws the plate, embeds it by an untrained ResNeXt (weights take no part in the time), once from the files and once from
the pixel cache, and scores all normalisations. Drawing is not counted.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.plates import write_demo_plate
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profile_files import profile_paths
from leigh_mlops.study.profile_plates import ProfileRequest, profile_plates

COMPACT = {"layers": [1, 1, 1, 1], "groups": 8, "width_per_group": 4}


def untrained_package(image_size: int, architecture: dict[str, object]) -> ModelPackage:
    """A classifier of drawn plates with random weights."""
    model = build_model("resnext", classes=("DS", "TT"), image_size=image_size, channels=2, **architecture).eval()
    scale = IntensityScale("log", 65535, (0.1, 0.1), (0.1, 0.1)).to_json()
    return ModelPackage(model, ("DAPI", "TMRM"), scale, arrays={"training_digests": np.zeros(0, np.uint64)})


def main() -> None:
    """Print a line of JSON for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wells", type=int, default=192, help="wells of each of two classes")
    parser.add_argument("--fields", type=int, default=9, help="fields of each well")
    parser.add_argument("--size", type=int, default=128, help="side of the drawn images in pixels")
    parser.add_argument("--image-size", type=int, default=64, help="side of the network's images in pixels")
    parser.add_argument("--published", action="store_true", help="ResNeXt50 instead of a compact one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LEIGH_CACHE"] = str(Path(folder) / "cache")
        plate = Path(folder) / "plate"
        write_demo_plate(plate, wells_per_class=args.wells, fields_per_well=args.fields, image_size_px=args.size)
        package = untrained_package(args.image_size, {} if args.published else COMPACT)
        request, paths = ProfileRequest("resnext", DataSource(plate)), profile_paths(Path(folder) / "profiles.parquet")
        for pixels in ("files", "cache"):
            started = time.perf_counter()
            done = profile_plates(package, request, paths, Console(quiet=True))
            seconds = round(time.perf_counter() - started)
            memory_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            line = {"pixels": pixels, "fields": done.fields, "seconds": seconds, "peak_gib": round(memory_gib, 2)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
