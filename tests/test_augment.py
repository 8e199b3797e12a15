from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from leigh_mlops.augment import augment
from leigh_mlops.errors import LeighError
from leigh_mlops.study.augmentation_preview import preview_augmentation

QUIET = Console(quiet=True)


def test_sixteen_versions_are_drawn_beside_the_field(class_folders: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(augment)
    sizes = {}
    for name in ("published", "microscope"):
        arguments = ["--data", class_folders, "--augment", name, "--out", tmp_path / f"{name}.png", "--image-size", 32]
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        assert "TMRM: mean" in result.output
        sizes[name] = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert sizes["published"].shape == sizes["microscope"].shape
    assert (sizes["published"] != sizes["microscope"]).any()


def test_the_preview_measures_what_the_augmentation_does(class_folders: Path) -> None:
    plain = preview_augmentation(class_folders, None, QUIET, image_size=32, flip=0, rotation_degrees=0)
    assert plain.versions.shape == (16, *plain.field_raw.shape) == (16, 3, 32, 32)
    np.testing.assert_allclose(plain.versions, np.stack([plain.field_raw] * 16), atol=1e-3)
    half = '[{"__class_fullname__": "MultiplicativeNoise", "multiplier": [0.5, 0.5], "p": 1}]'
    dim = preview_augmentation(class_folders, half, QUIET, image_size=32)
    for row in dim.changes:
        assert row["versions_mean"] == pytest.approx(row["field_mean"] / 2, rel=0.05)
    assert all(row["clipped"] == 0 for row in plain.changes)


def test_a_field_that_does_not_exist_and_a_bad_transform_are_refused(class_folders: Path) -> None:
    named = preview_augmentation(class_folders, None, QUIET, field="plate/B03/1", image_size=32)
    assert named.field == "plate/B03/1"
    with pytest.raises(LeighError, match="write it as plate/B03/1"):
        preview_augmentation(class_folders, None, QUIET, field="plate/P24/1", image_size=32)
    with pytest.raises(LeighError, match="works on 8 bits"):
        preview_augmentation(class_folders, '[{"__class_fullname__": "Posterize"}]', QUIET, image_size=32)
