import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from leigh_mlops.images import (
    Augmentation,
    ControlFields,
    Division,
    FieldBatches,
    IntensityScale,
    PixelTransforms,
    open_cache,
    white_levels,
)
from leigh_mlops.images.batches import Batch, run_in_order
from tests.conftest import table_of

PLAIN = Augmentation(flip=0, rotation_degrees=0)
EVERYTHING = Augmentation(flip=0.5, rotation_degrees=10, quarter_turns=True, shift=0.1, jitter=0.2)


@pytest.fixture
def batches(tmp_path: Path) -> FieldBatches:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path in paths:
        Image.fromarray(rng.integers(0, 200, (32, 32, 3), np.uint8)).save(path)
    cache = open_cache(table_of(paths), ("R", "G", "B"), 32, tmp_path / "c")
    scale = IntensityScale("linear", 255, (0.0,) * 3, (1.0,) * 3)
    return FieldBatches(cache, np.arange(7), np.arange(7), scale, 3, PLAIN)


@pytest.fixture
def deep(tmp_path: Path) -> FieldBatches:
    """16-bit files of two channels that fill the whole range, resized."""
    rng = np.random.default_rng(0)
    paths = {channel: [tmp_path / f"{channel}{number}.tif" for number in range(4)] for channel in "RG"}
    for path in [*paths["R"], *paths["G"]]:
        tifffile.imwrite(path, rng.integers(0, 65536, (40, 40), np.uint16))
    table = table_of(paths["R"], ("R",)).join(table_of(paths["G"], ("G",)))
    cache = open_cache(table, ("R", "G"), 32, tmp_path / "c")
    scale = IntensityScale("log", 65535, (3.0, 2.0), (0.5, 0.7))
    return FieldBatches(cache, np.arange(4), np.arange(4), scale, 3, PLAIN)


def adjusted(batches: FieldBatches) -> FieldBatches:
    """Every row with an offset and a gain of its own."""
    count, channels = batches.cache.pixels.shape[:2]
    adjust = np.random.default_rng(1).uniform(0.5, 2, (count, channels, 2)).astype(np.float32)
    return replace(batches, cache=replace(batches.cache, adjust=adjust))


def images_of(epoch: object) -> np.ndarray:
    return np.concatenate([batch.images.numpy() for batch in epoch])


def test_an_epoch_shows_every_field_but_a_last_one_alone(batches: FieldBatches) -> None:
    rows = [row for batch in batches.epoch(0) for row in batch.rows]
    assert len(rows) == len(set(rows)) == 6
    assert [len(batch.rows) for batch in batches] == [3, 3, 1]


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("plates", [None, [0, 0, 0, 0, 0, 1, 1]])
def test_processes_divide_each_batch_as_one_would_have_it(
    batches: FieldBatches, ranks: int, plates: list[int] | None
) -> None:
    controls = ControlFields(np.array(plates), {0: np.arange(4), 1: np.array([5, 6])}) if plates else None
    whole = replace(batches, batch_size=4, augmentation=EVERYTHING, controls=controls)
    parts = [list(whole.epoch(1, Division(rank, ranks))) for rank in range(ranks)]
    assert all(batch.portion is None for batch in whole.epoch(1))
    divided = 0
    for batch, *portions in zip(whole.epoch(1), *parts, strict=True):
        groups = [batch.images] if batch.controls is None else [batch.controls, batch.images]
        if min(map(len, groups)) < ranks:
            assert all(part.portion is None and torch.equal(part.images, batch.images) for part in portions)
            continue
        divided += 1
        assert torch.equal(torch.cat([part.images for part in portions]), batch.images)
        assert torch.equal(torch.cat([part.labels for part in portions]), batch.labels)
        assert np.concatenate([part.rows for part in portions]).tolist() == batch.rows.tolist()
        seen = torch.cat(groups)
        for part in portions:
            own = [part.images] if part.controls is None else [part.controls, part.images]
            assert part.portion is not None
            assert (part.portion.seen, part.portion.labelled) == (len(seen), len(batch.rows))
            assert torch.equal(torch.cat([seen[place] for place in part.portion.places]), torch.cat(own))
    assert divided


def test_a_uniform_epoch_shows_each_label_equally_often(batches: FieldBatches) -> None:
    labelled = replace(batches, labels=np.array([0, 0, 0, 0, 0, 2, 2]), batch_size=7)

    def shown(batches: FieldBatches, epoch: int) -> Batch:
        return next(iter(batches.epoch(epoch)))

    assert np.bincount(shown(labelled, 0).labels).tolist() == [5, 0, 2]
    uniform = replace(labelled, is_uniform=True)
    counts = {tuple(np.bincount(shown(uniform, epoch).labels).tolist()) for epoch in range(9)}
    assert counts == {(4, 0, 3), (3, 0, 4)}
    first = shown(uniform, 3)
    assert len(set(first.rows[first.labels.numpy() == 0])) >= 3
    np.testing.assert_array_equal(first.rows, shown(uniform, 3).rows)
    assert shown(uniform, 4).rows.tolist() != first.rows.tolist()


@pytest.mark.parametrize("name", ["batches", "deep"])
@pytest.mark.parametrize("change", [lambda batches: batches, adjusted])
def test_images_are_the_scaled_raw_intensities_of_their_rows(
    name: str, change: Callable[[FieldBatches], FieldBatches], request: pytest.FixtureRequest
) -> None:
    batches = change(request.getfixturevalue(name))
    for batch in [*batches, *batches.epoch(3)]:
        np.testing.assert_array_equal(batch.labels.numpy(), batch.rows)
        plain = batches.scale.apply(batches.cache.raw(batch.rows))
        np.testing.assert_allclose(batch.images.numpy(), plain, rtol=1e-6, atol=1e-6)


def test_without_any_augmentation_an_epoch_is_the_plain_path(deep: FieldBatches) -> None:
    plain = images_of(deep)
    for batch in deep.epoch(0):
        np.testing.assert_array_equal(batch.images.numpy(), plain[batch.rows])
    assert any(
        (batch.images.numpy() != plain[batch.rows]).any() for batch in replace(deep, augmentation=EVERYTHING).epoch(0)
    )


def test_flips_move_the_scaled_pixels_and_change_none(deep: FieldBatches) -> None:
    plain = images_of(deep)
    flipped = replace(deep, augmentation=Augmentation(flip=1, rotation_degrees=0))
    for batch in flipped.epoch(0):
        assert (batch.images.numpy() != plain[batch.rows]).any()
        np.testing.assert_array_equal(batch.images.numpy(), plain[batch.rows][:, :, ::-1, ::-1])


@pytest.mark.parametrize("change", [lambda batches: batches, adjusted])
def test_jitter_is_one_factor_of_all_channels_and_saturates(
    deep: FieldBatches, change: Callable[[FieldBatches], FieldBatches]
) -> None:
    batches = replace(change(deep), augmentation=replace(PLAIN, jitter=0.3))
    for batch in batches.epoch(0):
        raw, varied = batches.cache.raw(batch.rows), batches.scale.invert(batch.images.numpy())
        usable = (raw > 2000) & (varied < 65000)
        for before, after, use in zip(raw, varied, usable, strict=True):
            factors = after[use] / before[use]
            assert np.ptp(factors) < 1e-3
            assert abs(factors.mean() - 1) > 1e-3
    assert images_of(deep.epoch(0)).max() <= deep.scale.apply(np.full((2, 1, 1), 65535, np.float32)).max()


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


@pytest.mark.parametrize("change", [lambda batches: batches, adjusted])
def test_batches_are_the_same_whatever_the_number_of_workers(
    batches: FieldBatches, change: Callable[[FieldBatches], FieldBatches]
) -> None:
    none, one, two = (
        replace(change(batches), augmentation=EVERYTHING, workers=workers, batch_size=2) for workers in (0, 1, 2)
    )
    assert (images_of(none.epoch(0)) != images_of(none.epoch(1))).any()
    assert (images_of(none.epoch(0)) != images_of(replace(none, seed=1).epoch(0))).any()
    for epoch in (lambda batches: batches.epoch(0), iter):
        for a, b, c in zip(epoch(none), epoch(one), epoch(two), strict=True):
            np.testing.assert_array_equal(a.rows, b.rows)
            np.testing.assert_array_equal(a.rows, c.rows)
            np.testing.assert_array_equal(a.images, b.images)
            np.testing.assert_array_equal(a.images, c.images)


def test_augmentation_is_that_of_the_position_whatever_the_size_of_a_batch(batches: FieldBatches) -> None:
    small, large = (replace(batches, augmentation=EVERYTHING, batch_size=size) for size in (2, 6))
    np.testing.assert_array_equal(images_of(small.epoch(5)), images_of(large.epoch(5)))


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_batches_wait_than_said_and_none_is_made_for_nobody(batches: FieldBatches, workers: int) -> None:
    made: list[int] = []
    batch = next(iter(batches))

    def make(number: int) -> Batch:
        made.append(number)
        return batch

    given = run_in_order([partial(make, number) for number in range(20)], workers)
    for taken in range(1, 4):
        next(given)
        while len(made) < taken + workers:
            time.sleep(0.001)
        assert len(made) == taken + workers
    given.close()
    assert len(made) <= 3 + workers
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


def test_an_error_in_a_worker_is_raised_where_the_batch_is_taken(batches: FieldBatches) -> None:
    beyond = replace(batches, rows=np.array([0, 1, 99]), labels=np.arange(3), batch_size=1)
    taken = iter(beyond)
    assert next(taken).rows == [0]
    with pytest.raises(IndexError):
        list(taken)


def test_flips_are_the_published_default() -> None:
    assert Augmentation() == Augmentation(flip=0.5, rotation_degrees=10.0)


NOISE = {"__class_fullname__": "GaussNoise", "std_range": [0.01, 0.01], "p": 1.0}


def transformed(batches: FieldBatches, *serialised: dict[str, object]) -> FieldBatches:
    white = white_levels(batches.cache, batches.rows)
    augmentation = replace(PLAIN, transforms=PixelTransforms(serialised, white))
    return replace(batches, augmentation=augmentation)


@pytest.mark.parametrize("adjust", [False, True])
def test_transforms_act_on_raw_intensities_before_a_plates_level(deep: FieldBatches, adjust: bool) -> None:
    batches = adjusted(deep) if adjust else deep
    nothing = {"__class_fullname__": "NoOp", "p": 1.0}
    np.testing.assert_allclose(
        images_of(transformed(batches, nothing).epoch(0)), images_of(batches.epoch(0)), atol=2e-5
    )
    half = {"__class_fullname__": "MultiplicativeNoise", "multiplier": [0.5, 0.5], "p": 1.0}
    epoch = list(transformed(batches, half).epoch(0))
    rows = np.concatenate([batch.rows for batch in epoch])
    raw = batches.cache.adjust_raw(replace(batches.cache, adjust=None).raw(rows) / 2, rows)
    np.testing.assert_allclose(images_of(epoch), batches.scale.apply(raw), atol=2e-5)


def test_transforms_are_drawn_by_seed_epoch_and_row(deep: FieldBatches) -> None:
    noisy = transformed(deep, NOISE)
    second = images_of(noisy.epoch(2))
    assert np.abs(second - images_of(deep.epoch(2))).max() > 0.01
    list(noisy.epoch(1))
    np.testing.assert_array_equal(images_of(replace(noisy, workers=0).epoch(2)), second)
    by_row = {number: images_of(noisy.epoch(number))[0] for number in range(2)}
    assert not np.array_equal(by_row[0], by_row[1])
    assert not np.array_equal(images_of(replace(noisy, seed=1).epoch(2)), second)


def test_validation_is_not_transformed(deep: FieldBatches) -> None:
    np.testing.assert_array_equal(images_of(transformed(deep, NOISE)), images_of(deep))
