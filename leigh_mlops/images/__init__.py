"""Reading fields, intensity scales, the pixel cache and batches."""

from leigh_mlops.images.batches import Augmentation, Batch, FieldBatches, derived_seed
from leigh_mlops.images.cache import (
    Failure,
    PixelCache,
    cache_root,
    check_image_size,
    open_cache,
    pixel_digest,
    raw_at_size,
    resize,
)
from leigh_mlops.images.read import FieldFiles, field_files, read_field, read_image
from leigh_mlops.images.scale import IntensityScale, fit_scale

__all__ = [
    "Augmentation",
    "Batch",
    "Failure",
    "FieldBatches",
    "FieldFiles",
    "IntensityScale",
    "PixelCache",
    "cache_root",
    "check_image_size",
    "derived_seed",
    "field_files",
    "fit_scale",
    "open_cache",
    "pixel_digest",
    "raw_at_size",
    "read_field",
    "read_image",
    "resize",
]
