"""Digests that identify a field by its pixels, whatever its name."""

from collections.abc import Sequence

import numpy as np
import xxhash

from leigh_mlops.images.source import Pixels

__all__ = ["pixel_digest"]


def pixel_digest(image: Pixels | Sequence[Pixels]) -> np.uint64:
    """64 bits that identify the pixels of a field, whatever its name.

    Args:
        image: Shape (C, H, W), or its C planes.
    """
    digest = xxhash.xxh3_64(f"{len(image)} {image[0].shape} {image[0].dtype.name}".encode())
    for plane in image:
        digest.update(np.ascontiguousarray(plane).data)
    return np.uint64(digest.intdigest())
