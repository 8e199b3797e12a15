"""A job that is killed again and again leaves what an undisturbed one leaves."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from leigh_mlops.models import build_model
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import log_package, make_package
from leigh_mlops.tracking import Store
from tests.conftest import write_class_folders
from tests.training.conftest import prepared

pytestmark = pytest.mark.ray

KILLS = 4


def begun(place: Path, out: str, address: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "leigh_mlops.explain", "models:/killed/1", "--data", str(place / "plate")]
    command += ["--out", str(place / out), "--store", str(place / "store"), "--ray-address", address]
    command += ["--methods", "occlusion", "--batch-size", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (place / "log").open("ab") as log:
        return subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)


def parts(folder: Path) -> int:
    return len(list((folder / "parts").glob("[!.]*.json")))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "images").rglob("*.png")}


def test_the_union_of_records_is_that_of_an_undisturbed_job(tmp_path: Path, ray_address: str) -> None:
    data = prepared(write_class_folders(tmp_path / "plate", size=32, wells=6, fields=12))
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, blocks=(1, 1), widths=(8, 8)).eval()
    store = Store.open(str(tmp_path / "store"))
    run = store.start("killed", kind="search")
    package = make_package(model, data.scale("linear"), data, fit_baselines(data), {}, references={})
    store.register("killed", log_package(store, run, package, data), run, {})
    calm = begun(tmp_path, "calm", ray_address)
    assert calm.wait(300) == 0, (tmp_path / "log").read_text()
    moments, killed = random.Random(0), 0
    while killed < KILLS:
        job = begun(tmp_path, "stormy", ray_address)
        before = parts(tmp_path / "stormy")
        # Every other kill waits for something to lose; the rest may hit a job that is just beginning.
        goal = before + moments.randint(1, 4) * (killed % 2)
        while parts(tmp_path / "stormy") < goal and job.poll() is None:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 3.0) * (killed % 2 == 0))
        assert job.poll() is None, f"it ended after {killed} kills: {(tmp_path / 'log').read_text()}"
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        killed += 1
    assert 0 < parts(tmp_path / "stormy") < parts(tmp_path / "calm")
    last = begun(tmp_path, "stormy", ray_address)
    assert last.wait(300) == 0, (tmp_path / "log").read_text()
    tables = [
        pd.read_parquet(tmp_path / name / "fields.parquet").sort_values("field", ignore_index=True)
        for name in ("calm", "stormy")
    ]
    assert len(tables[0]) == len(data.table)
    pd.testing.assert_frame_equal(*tables)
    calm_files, stormy_files = (files(tmp_path / name) for name in ("calm", "stormy"))
    assert calm_files.keys() == stormy_files.keys()
    assert [name for name, content in calm_files.items() if stormy_files[name] != content] == []
