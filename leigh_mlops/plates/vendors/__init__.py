"""What microscopes write beside their images: indexes, and OME-Zarr plates."""

from leigh_mlops.plates.vendors.indexed import scan_index

__all__ = ["scan_index"]
