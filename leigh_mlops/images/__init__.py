"""Reading fields, intensity scales, the pixel cache and batches."""

from leigh_mlops.images.batches import Augmentation, Batch, ControlFields, FieldBatches, derived_seed, transform_field
from leigh_mlops.images.cache import PixelCache, cache_root, open_cache
from leigh_mlops.images.control_levels import (
    ControlLevel,
    adjust_cache,
    adjustment,
    apply_adjustment,
    control_levels,
    fit_control_reference,
    invert_adjustment,
)
from leigh_mlops.images.digest import pixel_digest
from leigh_mlops.images.division import Division, Portion
from leigh_mlops.images.failure import Failure
from leigh_mlops.images.field_files import ChannelFiles, FieldFiles, Plane, field_files
from leigh_mlops.images.intensity import intensity_features
from leigh_mlops.images.measure import QUALITY_NUMBERS, measure_field
from leigh_mlops.images.pixel_transforms import PixelTransforms, build_pixel_transforms, check_augmentation
from leigh_mlops.images.read import read_field, read_image
from leigh_mlops.images.regions import combined_members, fit_thresholds, image_thresholds, region_features
from leigh_mlops.images.scale import ControlReference, IntensityScale, fit_scale
from leigh_mlops.images.sizes import check_image_size, raw_at_size
from leigh_mlops.images.texture import texture_features, texture_names
from leigh_mlops.images.white_level import white_levels

__all__ = [
    "Augmentation",
    "Batch",
    "ChannelFiles",
    "ControlLevel",
    "ControlReference",
    "Division",
    "Failure",
    "FieldBatches",
    "FieldFiles",
    "IntensityScale",
    "Plane",
    "PixelCache",
    "ControlFields",
    "PixelTransforms",
    "Portion",
    "QUALITY_NUMBERS",
    "adjust_cache",
    "apply_adjustment",
    "adjustment",
    "build_pixel_transforms",
    "cache_root",
    "check_augmentation",
    "check_image_size",
    "combined_members",
    "control_levels",
    "derived_seed",
    "field_files",
    "fit_control_reference",
    "fit_scale",
    "fit_thresholds",
    "image_thresholds",
    "intensity_features",
    "measure_field",
    "open_cache",
    "pixel_digest",
    "raw_at_size",
    "read_field",
    "read_image",
    "region_features",
    "invert_adjustment",
    "texture_features",
    "texture_names",
    "transform_field",
    "white_levels",
]
