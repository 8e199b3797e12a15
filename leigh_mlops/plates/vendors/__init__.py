"""Readers of the metadata that microscopes write: indexes beside the images, and OME-Zarr plates."""

from leigh_mlops.plates.vendors.indexed import scan_index

__all__ = ["scan_index"]
