"""Preview of an augmentation: sixteen versions of one field as training would draw them."""

from pathlib import Path

import numpy as np
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import (
    Augmentation,
    build_pixel_transforms,
    check_augmentation,
    check_image_size,
    open_cache,
    white_levels,
)
from leigh_mlops.images.field_versions import AugmentationPreview, draw_versions
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.progress import Progress
from leigh_mlops.study.prepare import DataSource, find_data

__all__ = ["preview_augmentation"]

MAX_FIELDS = 64


def preview_augmentation(
    data: Path,
    text: str | None,
    console: Console,
    *,
    platemap: Path | None = None,
    field: str | None = None,
    image_size: int = 224,
    flip: float = 0.5,
    rotation_degrees: float = 10.0,
    seed: int = 0,
) -> AugmentationPreview:
    """Draw versions of one field of a plate; intensities are scaled by up to 64 fields of the plate.

    Args:
        data: Image folder or table.
        text: Augmentation, as of ``settings.augmentation_text``.
        console: Console to print to.
        platemap: Plate map, if it is not in the folder.
        field: Name of the field, ``plate/B03/1``; by default that of medium intensity.
        image_size: Side in pixels.
        flip: Probability of each flip.
        rotation_degrees: Largest rotation either way.
        seed: Seed of the draws.

    Raises:
        LeighError: The images, the field or the augmentation can't be used.
    """
    check_image_size(image_size)
    table, channels, _ = find_data(DataSource(data, platemap), console)
    check_augmentation(text, len(channels))
    columns = [table[name].astype(str) for name in (Metadata.PLATE, Metadata.WELL, Metadata.SITE)]
    names = ["/".join(key) for key in zip(*columns, strict=True)]
    if field is not None and field not in names:
        raise LeighError(f"--field {field!r} is no field of {data}; write it as {names[0]}.")
    # The key of a cache contains its rows, so a few fields are read where a whole plate would take minutes.
    chosen = set(np.linspace(0, len(table) - 1, MAX_FIELDS).astype(int).tolist())
    places = sorted(chosen | ({names.index(field)} if field is not None else set()))
    with Progress(console, f"reading images at {image_size} px", len(places)) as progress:
        cache = open_cache(table.iloc[places].reset_index(drop=True), channels, image_size, progress=progress.advance)
    failed = {failure.row for failure in cache.failures}
    rows = np.array([row for row in range(len(places)) if row not in failed], np.int64)
    wanted = [row for row in rows if field is None or names[places[row]] == field]
    if not wanted:
        raise LeighError(f"no field of {data} that is to be shown can be read; run ingest on it.")
    means = [float(cache.pixels[row].mean()) for row in wanted]
    row = int(wanted[int(np.argsort(means)[len(means) // 2])])
    augmentation = Augmentation(
        flip=flip,
        rotation_degrees=rotation_degrees,
        transforms=build_pixel_transforms(text, lambda: white_levels(cache, rows)),
    )
    versions = draw_versions(cache, row, augmentation, seed=seed)
    return AugmentationPreview(names[places[row]], tuple(channels), cache.raw([row])[0], versions, cache.full_scale)
