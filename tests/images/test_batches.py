from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leigh_mlops.images import Augmentation, FieldBatches, IntensityScale, open_cache
from tests.conftest import table_of

PLAIN = Augmentation(flip=0, rotation_degrees=0)


@pytest.fixture
def batches(tmp_path: Path) -> FieldBatches:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path in paths:
        Image.fromarray(rng.integers(0, 200, (32, 32, 3), np.uint8)).save(path)
    cache = open_cache(table_of(paths), ("R", "G", "B"), 32, tmp_path / "c")
    scale = IntensityScale("linear", 255, (0.0,) * 3, (1.0,) * 3)
    return FieldBatches(cache, np.arange(7), np.arange(7), scale, 3, PLAIN)


def test_an_epoch_shows_every_field_but_a_last_one_alone(batches: FieldBatches) -> None:
    rows = [row for batch in batches.epoch(0) for row in batch.rows]
    assert len(rows) == len(set(rows)) == 6
    assert [len(batch.rows) for batch in batches] == [3, 3, 1]


def test_images_labels_and_rows_belong_together(batches: FieldBatches) -> None:
    for batch in batches.epoch(3):
        np.testing.assert_array_equal(batch.labels.numpy(), batch.rows)
        np.testing.assert_allclose(batch.images.numpy() * 255, batches.cache.raw(batch.rows), atol=1e-4)


def changed(batches: FieldBatches, **augmentation: float) -> FieldBatches:
    settings = {"flip": 0.0, "rotation_degrees": 0.0} | augmentation
    return FieldBatches(batches.cache, batches.rows, batches.labels, batches.scale, 3, Augmentation(**settings), seed=1)


@pytest.mark.parametrize(
    "augmentation",
    [{"flip": 1.0}, {"rotation_degrees": 45.0}, {"quarter_turns": True}, {"shift": 0.4}, {"jitter": 0.5}],
)
def test_each_augmentation_changes_images_and_comes_again_with_its_seed(
    batches: FieldBatches, augmentation: dict[str, float]
) -> None:
    plain = changed(batches)
    for one, same in zip(plain.epoch(0), plain.epoch(0), strict=True):
        np.testing.assert_array_equal(one.images, same.images)
    augmented = changed(batches, **augmentation)
    pairs = list(zip(augmented.epoch(0), augmented.epoch(0), plain.epoch(0), strict=True))
    assert any((a.images != p.images).any() for a, _, p in pairs)
    assert all((a.images == b.images).all() for a, b, _ in pairs)
    other = list(augmented.epoch(1))
    assert any((a.rows != b.rows).any() for (a, _, _), b in zip(pairs, other, strict=True))


def test_flips_are_the_published_default() -> None:
    assert Augmentation() == Augmentation(flip=0.5, rotation_degrees=10.0)
