"""Plates that tests make in a moment, and the real ones where they are."""

import gc
import os
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sqlalchemy import Engine, create_engine

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Networks this small are slower on several threads, most of all beside other processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

NO_RAY = "/dev/null/no-cluster-because-the-test-has-no-marker-ray"
"""Folder in which Ray can't start, in this process and in those that a test starts."""

os.environ["RAY_TMPDIR"] = NO_RAY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and begin with what needs Ray, which takes longest and waits most."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what all the imports make, which stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let libraries that count their objects at the end of the process find none."""
    gc.unfreeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let Ray start in tests that have its marker, before any fixture begins."""
    if item.get_closest_marker("ray"):
        os.environ.pop("RAY_TMPDIR", None)
    else:
        os.environ["RAY_TMPDIR"] = NO_RAY


@pytest.fixture(scope="session", autouse=True)
def copied_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each new SQLite store of this process is a copy of the first: MLflow makes its tables by a hundred migrations."""
    if "mlflow" not in sys.modules:
        yield
        return
    from mlflow.store.db import utils as database

    create, first = database._initialize_tables, tmp_path_factory.mktemp("store") / "mlflow.db"

    def copy(engine: Engine) -> None:
        if engine.dialect.name != "sqlite":
            create(engine)
            return
        if not first.exists():
            create(create_engine(f"sqlite:///{first}"))
        with closing(sqlite3.connect(first)) as made, closing(sqlite3.connect(engine.url.database)) as new:
            made.backup(new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_initialize_tables", copy)
        yield


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster for all tests that leave it alive; this process is connected to it."""
    import ray

    from leigh_mlops.commands import ENVIRONMENT
    from leigh_mlops.search.cluster import ray_cluster

    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            patch.setenv("LEIGH_CACHE", str(tmp_path_factory.mktemp("ray") / "cache"))
            stack.enter_context(ray_cluster(workers=2))
        yield ray.get_runtime_context().gcs_address


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the user's own cache or state."""
    monkeypatch.setenv("LEIGH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LEIGH_STATE", str(tmp_path / "state"))


@pytest.fixture
def real_plates() -> Path:
    """Folder of the real plates."""
    folder = os.environ.get("LEIGH_DATA")
    if not folder:
        pytest.skip("LEIGH_DATA names no folder with the real plates")
    return Path(folder)


def write_class_folders(
    root: Path,
    *,
    wells: int = 6,
    fields: int = 2,
    size: int = 64,
    dark: tuple[str, ...] = ("TT",),
    classes: tuple[str, ...] = ("DS", "TT"),
    seed: int = 0,
) -> Path:
    """RGB images under the published names; the second channel of ``dark`` classes is dimmer."""
    rng = np.random.default_rng(seed)
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for well in range(wells):
            row, col = 2 + well // 4, 3 + 2 * (well % 4) + place
            for field in range(1, fields + 1):
                image = rng.poisson(6, (size, size, 3)).astype(np.float64)
                image[..., 1] += 0 if name in dark else rng.poisson(20, (size, size))
                image[..., 2] = image[..., 0] + image[..., 1]
                file = root / name / f"{name}{row:03d}{col:03d}-{field}-001001combined_224_pixel.png"
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(file)
    return root


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Two classes of six wells with two fields each, 64 px; TMRM tells them apart."""
    return write_class_folders(tmp_path / "plate")


def table_of(paths: list[Path], channels: tuple[str, ...] = ("R", "G", "B")) -> pd.DataFrame:
    """The columns of an image table that reading needs, all channels in one file."""
    columns = {}
    for channel in channels:
        columns[f"FileName_{channel}"] = [path.name for path in paths]
        columns[f"PathName_{channel}"] = [str(path.parent) for path in paths]
    return pd.DataFrame(columns)
