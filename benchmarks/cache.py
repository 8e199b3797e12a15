"""Fields a second into a new pixel cache, against a bare loop that only decodes and averages.

Both read the same generated 16-bit files of 2160 x 2160 pixels, two channels to a field, from a warm page
cache, in turns. Ours also checks headers, measures quality, digests, writes and renames. The bare loop is
``tifffile.imread`` and an area-averaging ``cv2.resize`` on as many processes as there are processors, each
of them with one thread. The turn with the middle ratio counts, as whatever else runs slows both sides of a turn.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

from benchmarks.report import report

SIDE_PX, IMAGE_SIZE = 2160, 224
CHANNELS = ("DAPI", "TMRM")
MEMORY_BAR_MIB = 1.5 * 1024
KINDS = {"uncompressed": (36, 9, {}), "LZW": (8, 3, {"compression": "lzw", "predictor": True})}
KINDS["JPEG 2000"] = (4, 3, {"compression": "jpeg2000"})
"""Fields, repeats and how they are written; the first kind is the one with a bar."""


def write(folder: Path, fields: int, options: dict[str, object]) -> pd.DataFrame:
    """Cells on an uneven background with photon noise, 12 bits deep; an image table."""
    rng = np.random.default_rng(0)
    cells = cv2.GaussianBlur((rng.random((SIDE_PX, SIDE_PX)) > 0.9995).astype(np.float32), (0, 0), 8)
    scene = rng.poisson(200 + 1500 * cells / cells.max()).astype(np.uint16)
    folder.mkdir()
    for number in range(fields):
        for channel in CHANNELS:
            pixels = np.roll(scene, tuple(rng.integers(0, SIDE_PX, 2)), (0, 1))
            tifffile.imwrite(folder / f"{number}-{channel}.tif", pixels, **options)
    names = {f"FileName_{channel}": [f"{number}-{channel}.tif" for number in range(fields)] for channel in CHANNELS}
    return pd.DataFrame(names).assign(**{f"PathName_{channel}": str(folder) for channel in CHANNELS})


def decode_file(path: Path) -> int:
    """Decode and average one file."""
    return cv2.resize(tifffile.imread(path), (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA).nbytes


def decode_rate(pool: "multiprocessing.pool.Pool", folder: Path, fields: int) -> float:
    """Measure fields per second of the bare loop."""
    paths = sorted(folder.iterdir())
    begin = time.perf_counter()
    pool.map(decode_file, paths, chunksize=2)
    return fields / (time.perf_counter() - begin)


def cache_rate(table: pd.DataFrame, root: Path) -> float:
    """Measure fields per second into a new cache."""
    from leigh_mlops.images import open_cache

    with tempfile.TemporaryDirectory(dir=root) as caches:
        begin = time.perf_counter()
        cache = open_cache(table, CHANNELS, IMAGE_SIZE, Path(caches))
        rate = len(table) / (time.perf_counter() - begin)
    if cache.failures:
        raise RuntimeError(cache.failures[0].reason)
    return rate


def rates(pool: "multiprocessing.pool.Pool", root: Path, kind: str) -> tuple[float, float]:
    """Rates of ours and of the bare loop in the turn with the middle ratio."""
    fields, repeats, options = KINDS[kind]
    folder = root / kind
    table = write(folder, fields, options)
    decode_rate(pool, folder, fields)
    pairs = [(cache_rate(table, root), decode_rate(pool, folder, fields)) for _ in range(repeats)]
    ours, reference = sorted(pairs, key=lambda pair: pair[0] / pair[1])[repeats // 2]
    ratios = ", ".join(f"{mine / theirs:.2f}" for mine, theirs in pairs)
    print(f"{kind}: {ours:.1f} fields/s, bare loop {reference:.1f}, ratio {ours / reference:.2f} (in turns {ratios})")
    return ours, reference


def peak_mib() -> float:
    """Largest resident memory of this process so far, mapped files included (Linux, /proc)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """All kinds; the last line is that of uncompressed files."""
    with tempfile.TemporaryDirectory() as temporary:
        context = multiprocessing.get_context("spawn")
        with context.Pool(os.cpu_count(), cv2.setNumThreads, (1,)) as pool:
            found = {kind: rates(pool, Path(temporary), kind) for kind in reversed(KINDS)}
    peak = peak_mib()
    print(f"peak memory {peak:.0f} MiB, bar {MEMORY_BAR_MIB:.0f} MiB")
    ours, reference = found["uncompressed"]
    report("cache", ours=ours, reference=reference, unit="fields/s", bar=0.9)
    if peak > MEMORY_BAR_MIB:
        sys.exit("The memory is above its bar.")


if __name__ == "__main__":
    main()
