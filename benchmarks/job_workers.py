"""Time of `explain` with as many workers as cores, against a single worker, on the same plate.

    python -m benchmarks.job_workers [--turns 3] [--fields 192] [--image-size 64] [--family iresnet] [--methods …]

Both are whole commands, each in a process of its own with a cluster of its own, that alternate. A network with random
weights explains as long as a trained one. Seconds per field are those from the first records to the last ones, in which
the workers do nothing else. The records of all runs must be equal. The last line is one JSON object, of the medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from benchmarks.report import report
from leigh_mlops.commands import ENVIRONMENT
from leigh_mlops.models import build_model
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import log_package, make_package
from leigh_mlops.study.prepare import DataSource, divided_table, prepare_data
from leigh_mlops.tracking import Store
from tests.conftest import write_class_folders

BAR = 1.6


class JobTimes(NamedTuple):
    """Seconds of a command, and the seconds per field between its first records and its last ones."""

    command_s: float
    field_s: float


def register_network(folder: Path, family: str, image_size: int, fields: int) -> str:
    """Draw a plate in ``folder/plate``, and register a network with random weights; return its address."""
    plate = write_class_folders(folder / "plate", size=image_size, wells=8, fields=max(1, fields // 16))
    console = Console(quiet=True)
    data = prepare_data(DataSource(plate), *divided_table(DataSource(plate), console), image_size, console)
    torch.manual_seed(0)
    parts = {"blocks": (2, 2, 2), "widths": (16, 32, 64)} if family == "iresnet" else {}
    model = build_model(family, classes=data.classes, image_size=image_size, channels=3, **parts).eval()
    package = make_package(model, data.scale("linear"), data, fit_baselines(data), {})
    store = Store.open(str(folder / "store"))
    run = store.start("bench", kind="search")
    return store.register("bench", log_package(store, run, package, data), run, {}).uri


def run_job(folder: Path, out: Path, uri: str, options: list[str]) -> JobTimes:
    """Run one command; a second worker's first record is later than the first one's, so the part begins there."""
    command = [sys.executable, "-m", "leigh_mlops.explain", uri, "--data", str(folder / "plate"), "--out", str(out)]
    begun = time.perf_counter()
    subprocess.run([*command, "--store", str(folder / "store"), *options], check=True, stdout=subprocess.DEVNULL)
    command_s = time.perf_counter() - begun
    parts = sorted((out / "parts").glob("[!.]*.json"), key=lambda path: path.stat().st_mtime)
    moments = [path.stat().st_mtime for path in parts[1:]]
    fields = sum(len(json.loads(path.read_text())) for path in parts[2:])
    return JobTimes(command_s, (moments[-1] - moments[0]) / fields)


def read_records(out: Path) -> dict[str, str]:
    """Records of a job by field."""
    found = [record for part in (out / "parts").glob("[!.]*.json") for record in json.loads(part.read_text())]
    return {record["field"]: json.dumps(record, sort_keys=True) for record in found}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--fields", type=int, default=192)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--family", default="iresnet")
    parser.add_argument("--methods", default="counterfactual,occlusion")
    given = parser.parse_args()
    os.environ |= ENVIRONMENT
    for name in ("OMP_NUM_THREADS", "RAY_TMPDIR"):  # as the tests set them
        os.environ.pop(name, None)
    ways = {"one worker": ["--workers", "1"], "one for each core": []}
    times: dict[str, list[JobTimes]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["LEIGH_CACHE"] = str(folder / "cache")
        uri = register_network(folder, given.family, given.image_size, given.fields)
        records = []
        for turn in range(given.turns):
            for name, options in ways.items():
                out = folder / f"{turn}-{len(options)}"
                times[name].append(
                    run_job(folder, out, uri, [*options, "--methods", given.methods, "--batch-size", "8"])
                )
                records.append(read_records(out))
                command_s, field_s = times[name][-1]
                print(f"{name}: {command_s:.1f} s, {field_s:.3f} s per field", flush=True)
    if any(each != records[0] for each in records):
        raise SystemExit("The records of the jobs differ.")
    alone, together = (
        JobTimes(*(statistics.median(values) for values in zip(*each, strict=True))) for each in times.values()
    )
    print(f"Explaining alone: {alone.field_s / together.field_s:.2f} times as fast.")
    report(
        "job with workers", ours=1 / together.command_s, reference=1 / alone.command_s, unit="jobs per second", bar=BAR
    )


if __name__ == "__main__":
    main()
