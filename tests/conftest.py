"""Plates that tests make in a moment, and the real ones where they are."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


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
