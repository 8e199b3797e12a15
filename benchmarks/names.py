"""Time to find 50,000 images by their names, against the least that must be done.

Ours is one call of ``find_images`` on a folder of empty files in the form of ImageXpress, the
reference a bare ``os.walk`` with one ``re.fullmatch`` per name. Both are processor time, so that
other work on the machine counts for neither, and the best of five runs that alternate.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import report
from leigh_mlops.plates import find_images, well_name

IMAGES = 50_000
RUNS = 5
SITES = range(1, 67)
PATTERN = re.compile(r"(?P<plate>.+?)_(?P<well>[A-Z]{1,2}\d{2})_s(?P<site>\d+)_w(?P<channel>\d)\.tif")


def write(folder: Path) -> None:
    """Empty files of two channels and 66 fields in the wells of a plate of 384."""
    names = (
        f"P_{well_name(row, col)}_s{site}_w{channel}.tif"
        for row in range(1, 17)
        for col in range(1, 25)
        for site in SITES
        for channel in (1, 2)
    )
    for _, name in zip(range(IMAGES), names, strict=False):
        (folder / name).touch()


def walk(folder: Path) -> int:
    """Number of names that the pattern knows."""
    return sum(PATTERN.fullmatch(name) is not None for _, _, names in os.walk(folder) for name in names)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one run."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Write the files, count them both ways, and report."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder)
        if walk(folder) != IMAGES or len(find_images(folder).table) != IMAGES // 2:
            raise SystemExit("the two ways do not find the same images")
        times = [(seconds(lambda: find_images(folder)), seconds(lambda: walk(folder))) for _ in range(RUNS)]
    ours, reference = map(min, zip(*times, strict=True))
    report("names", ours=ours, reference=reference, unit="processor seconds for 50,000 names", bar=60.0)


if __name__ == "__main__":
    main()
