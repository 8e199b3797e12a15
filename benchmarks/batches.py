"""Training batches per second, from the cache and by torchvision from the same files.

Both give shuffled float32 batches at 224 px, flipped, rotated by up to 10 degrees and scaled, with
the same number of workers, of which each has one core: torchvision decodes the files in every
epoch, ours were decoded once. Runs take turns, and the best of each counts, since other processes
only ever slow one down. Before the rates stand the peaks of memory (Linux, /proc): anonymous and
shared pages of the process and its workers; mapped pages of the cache belong to the system and are
not counted. The last line is the lowest ratio. Files are drawn; with $LEIGH_DATA the real plates
are measured too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.report import report
from leigh_mlops.images import Augmentation, FieldBatches, fit_scale, open_cache
from leigh_mlops.plates import find_images, write_demo_plate
from leigh_mlops.settings import TrainingSettings

SIZE_PX, REPEATS = 224, 7
BATCH = TrainingSettings().batch_size
BAR = 5.0


def draw(folder: Path) -> None:
    """Write files like the published ones: nuclei in red, mitochondria in green, both in blue, 8 bits."""
    plate = write_demo_plate(folder / "plate", wells_per_class=20, fields_per_well=3, image_size_px=SIZE_PX)
    found = find_images(plate)
    images = open_cache(found.table, found.channels, SIZE_PX).pixels
    for image, (_, field) in zip(images, found.table.iterrows(), strict=True):
        dapi, tmrm = np.minimum(image >> 4, 255).astype(np.uint8)  # 12 bits to 8
        name, row, col = (field[f"Metadata_{column}"] for column in ("Condition", "Row", "Col"))
        (folder / "classes" / name).mkdir(parents=True, exist_ok=True)
        file = f"{name}{row:03d}{col:03d}-{field['Metadata_Site']}-001001combined_224_pixel.png"
        both = np.stack([dapi, tmrm, np.maximum(dapi, tmrm)], axis=-1)
        Image.fromarray(both).save(folder / "classes" / name / file)


def project_epochs(folder: Path, workers: int) -> Iterator[Iterable[torch.Tensor]]:
    """Epochs of the project's batches; the first step decodes the files into the cache."""
    found = find_images(folder)
    cache = open_cache(found.table, found.channels, SIZE_PX)
    rows = repeat_indices(np.arange(len(found.table)))
    scale = fit_scale(cache, rows, "log")
    batches = FieldBatches(cache, rows, rows, scale, BATCH, Augmentation(), workers=workers)
    for number in range(sys.maxsize):
        yield (batch.images for batch in batches.epoch(number))


def torchvision_epochs(folder: Path, workers: int) -> Iterator[Iterable[torch.Tensor]]:
    """Epochs of torchvision's batches; the workers live on from epoch to epoch."""
    from torchvision import datasets, transforms

    steps = [transforms.RandomRotation(10), transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip()]
    scaled = [transforms.ToTensor(), transforms.Normalize([0.1] * 3, [0.1] * 3)]
    files = datasets.ImageFolder(str(folder), transforms.Compose([*steps, *scaled]))
    files.samples = [files.samples[index] for index in repeat_indices(np.arange(len(files.samples)))]
    loader = torch.utils.data.DataLoader(
        files, BATCH, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True
    )
    while True:
        yield (images for images, _ in loader)


SIDES = {"ours": project_epochs, "torchvision": torchvision_epochs}


def repeat_indices(indices: np.ndarray, least: int = 1200) -> np.ndarray:
    """Repeat the indices of few files, so that an epoch lasts long enough to be timed."""
    return np.tile(indices, -(-least // len(indices)))


def images_per_second(epochs: Iterator[Iterable[torch.Tensor]]) -> float:
    """Rate of one epoch."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in next(epochs))
    return images / (time.perf_counter() - start)


def measure(name: str, folder: Path, workers: int) -> tuple[float, float]:
    """The best rates of ours and the reference, after one epoch each that is not counted."""
    epochs = {side: make(folder, workers) for side, make in SIDES.items()}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for repeat in range(REPEATS + 1):
        for side in SIDES:
            rate = images_per_second(epochs[side])
            if repeat:
                rates[side].append(rate)
    best = {side: max(rates[side]) for side in SIDES}
    values = {f"{side} MiB": peak_mib(side, folder, workers) for side in SIDES}
    print(json.dumps({"name": f"memory of batches, {name}, {workers} workers"} | values))
    return best["ours"], best["torchvision"]


def peak_mib(side: str, folder: Path, workers: int) -> float:
    """Peak memory of an epoch in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.batches", side, str(folder), str(workers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return round(float(done.stdout.split()[-1]), 1)


def watch(side: str, folder: Path, workers: int) -> None:
    """Print the peak of anonymous and shared memory of this process and its workers, over two epochs."""
    epochs, peak = SIDES[side](folder, workers), 0
    for _ in range(2):
        for number, _ in enumerate(next(epochs)):
            if number % 5 == 0:
                peak = max(peak, resident_kib())
    print(peak / 1024)


def resident_kib() -> int:
    """Proportional share of anonymous and shared pages, this process and its children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    total = 0
    for process in ("self", *children):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon", "Pss_Shmem")):
                total += int(line.split()[1])
    return total


def main() -> None:
    """Measure drawn and, where they are, real files with one worker and with two."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LEIGH_CACHE"] = f"{temporary}/cache"
        draw(Path(temporary))
        folders = {"drawn": Path(temporary) / "classes"}
        if os.environ.get("LEIGH_DATA"):
            folders["real"] = Path(os.environ["LEIGH_DATA"]) / "leigh_ds_tt"
        rates = {}
        for name, folder in folders.items():
            for workers in (1, 2):
                rates[name, workers] = measure(name, folder, workers)
        for (name, workers), (fast, reference) in sorted(rates.items(), key=lambda item: -item[1][0] / item[1][1]):
            what = f"batches, {name} files, {workers} workers"
            report(what, ours=fast, reference=reference, unit="images/s", bar=BAR)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    watch(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 1 else main()
