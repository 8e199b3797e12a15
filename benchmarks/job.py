"""The batch job's speed, against a bare loop over the same model in one process.

    python -m benchmarks.job [--fields 96] [--workers 1] [--image-size 64] [--methods occlusion]

Both read the same images and explain them with the published ResNeXt50, in batches of eight, a thread for each worker.
The loop does nothing else: it saves no picture and no record. The start of Ray, the load of the model and the report
are not counted, as they do not grow with the plate: time runs from the first batch to the last one. The last line is
one JSON object.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.report import report
from leigh_mlops.commands import ENVIRONMENT
from leigh_mlops.explanations import explain_fields
from leigh_mlops.jobs.explain_job import ExplainJob
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import log_package, make_package
from leigh_mlops.study.prepare import DataSource, divided_table, prepare_data
from leigh_mlops.tracking import Store
from leigh_mlops.training import PreparedData
from tests.conftest import write_class_folders

BATCH = 8


def job_speed(
    folder: Path, package: ModelPackage, data: PreparedData, source: DataSource, methods: list[str], workers: int
) -> float:
    """Fields per second of the job from its first batch to its last."""
    store = Store.open(str(folder / "store"))
    run = store.start("bench", kind="search")
    version = store.register("bench", log_package(store, run, package, data), run, {})
    out = folder / "out"
    ExplainJob(
        store, version.uri, source, out, Console(quiet=True), methods=methods, batch_size=BATCH, workers=workers
    ).run()
    parts = sorted((out / "parts").glob("[!.]*.json"), key=lambda path: path.stat().st_mtime)
    # The first batch of each worker loads what the others find.
    moments = [path.stat().st_mtime for path in parts[workers - 1 :]]
    fields = sum(len(json.loads(path.read_text())) for path in parts[workers:])
    return fields / (moments[-1] - moments[0])


def loop_speed(package: ModelPackage, data: PreparedData, methods: list[str]) -> float:
    """Fields per second of a loop that reads, explains, and forgets."""
    reader = FieldReader(package, data.table, None, None)
    rows = np.arange(len(data.table))
    begun, done = 0.0, 0
    for batch in np.split(rows, range(BATCH, len(rows), BATCH)):
        explain_fields(package, np.stack([reader.read(int(row)).raw for row in batch]), methods)
        if begun:
            done += len(batch)
        else:
            begun = time.perf_counter()
    return done / (time.perf_counter() - begun)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--fields", type=int, default=96)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--methods", default="occlusion")
    given = parser.parse_args()
    os.environ |= ENVIRONMENT
    os.environ.pop("RAY_TMPDIR", None)  # the tests let Ray start nowhere
    methods = given.methods.split(",")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["LEIGH_CACHE"] = str(folder / "cache")
        plate = write_class_folders(folder / "plate", size=given.image_size, wells=6, fields=max(1, given.fields // 12))
        source, console = DataSource(plate), Console(quiet=True)
        data = prepare_data(source, *divided_table(source, console), given.image_size, console)
        torch.manual_seed(0)
        model = build_model("resnext", classes=data.classes, image_size=given.image_size, channels=3).eval()
        package = make_package(model, data.scale("linear"), data, fit_baselines(data), {})
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        loop = loop_speed(package, data, methods)
        torch.set_num_threads(threads)
        job = job_speed(folder, package, data, source, methods, given.workers) / given.workers
    print(
        f"{job:.3f} fields/s of the job per worker, {loop:.3f} of the loop ({given.workers} workers, one thread each)"
    )
    report("job", ours=job, reference=loop, unit="fields per second and worker", bar=1 / 1.1)


if __name__ == "__main__":
    main()
