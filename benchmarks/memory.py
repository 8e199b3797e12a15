"""Memory of one training process with four times the images: pixels stay in the memory-mapped cache.

Ours is the peak of the anonymous memory (Linux, /proc) with 2,000 fields, the reference
that with 500; mapped pages of the cache belong to the system and are not counted.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from benchmarks.report import report

FIELDS = (500, 2000)
SIZE_PX = 128


def write(folder: Path, fields: int) -> None:
    """A table of two classes with 16-bit files of noise, ten fields to a well."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for number in range(fields):
        well, site = divmod(number, 10)
        name = f"{number}.tif"
        tifffile.imwrite(folder / name, rng.integers(0, 4096, (SIZE_PX, SIZE_PX), np.uint16))
        row, col = well // 24 + 1, well % 24 + 1
        place = {"Metadata_Well": f"{chr(64 + row)}{col:02d}", "Metadata_Row": row, "Metadata_Col": col}
        what = {"Metadata_Plate": "P", "Metadata_Site": site + 1, "Metadata_Condition": ("DS", "TT")[well % 2]}
        rows.append(place | what | {"FileName_DAPI": name, "PathName_DAPI": str(folder)})
    pd.DataFrame(rows).to_parquet(folder / "table.parquet")


def train(folder: Path) -> None:
    """Two epochs in this process; prints the peak of its anonymous memory in MiB."""
    from leigh_mlops.images import open_cache
    from leigh_mlops.plates import assign_split, find_images
    from leigh_mlops.settings import TrainingSettings
    from leigh_mlops.training import PreparedData, run_trial

    found = find_images(folder / "table.parquet")
    table = found.table.assign(Metadata_Split=assign_split(found.table))
    cache = open_cache(table, found.channels, SIZE_PX, folder / "cache")
    data = PreparedData(table, found.channels, ("DS", "TT"), cache)
    settings = TrainingSettings(epochs=2, architecture={"layers": [1, 1, 1, 1], "groups": 1, "width_per_group": 8})
    peak = 0
    for _ in run_trial("resnext", settings, data, metric="val/log_loss"):
        status = Path("/proc/self/status").read_text()
        peak = max(peak, int(status.split("RssAnon:")[1].split()[0]))
    print(peak / 1024)


def main() -> None:
    """Train on both numbers of fields, each in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        peaks = []
        for fields in FIELDS:
            folder = Path(temporary) / str(fields)
            write(folder, fields)
            command = [sys.executable, "-m", "benchmarks.memory", str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks.append(float(done.stdout.split()[-1]))
    report("memory", ours=peaks[1], reference=peaks[0], unit="MiB anonymous", bar=1.1)


if __name__ == "__main__":
    train(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
