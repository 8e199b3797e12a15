"""Image and picture files, each written completely or not at all."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from leigh_mlops.errors import LeighError

__all__ = [
    "Rgb",
    "read_tiff16",
    "atomic_write",
    "remove_temporary_files",
    "require_one_size",
    "round_trip_tiff16",
    "write_counts",
    "write_gif",
    "write_png",
    "write_tiff16",
]

Rgb = NDArray[np.uint8]
"""A picture: red, green and blue, shape (H, W, 3), 0 to 255."""

STEPS = 65535
EXACT_STEPS = (1 / 256, 1.0)
ROUNDING = 0.1  # of a step, by float32 in the units of a network
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}(\.\w+)*")
DESCRIPTION = "raw = offset + step * count"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write to a temporary name beside ``path`` and rename at the end.

    A reader sees the old file or the new one, never half of one; if the
    block raises, the old file is kept and the temporary one is deleted.

    Args:
        path: The file to write; missing parent folders are created.

    Yields:
        The temporary path, with the suffix of ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporary_files(folder: Path) -> None:
    """Remove what a killed process left of files that `atomic_write` writes to ``folder``, which nobody else writes."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_png(path: Path, picture: Rgb) -> Path:
    """Write an RGB picture (H, W, 3), 0 to 255, as PNG."""
    with atomic_write(path) as temporary:
        Image.fromarray(np.ascontiguousarray(picture)).save(temporary, format="PNG")
    return path


def write_gif(path: Path, frames: Sequence[Rgb], milliseconds: int = 200) -> Path:
    """Write pictures of one size as a GIF that loops for ever.

    All frames share one palette, so that a colour means the same in each of them.

    Args:
        path: The file to write.
        frames: RGB (H, W, 3), 0 to 255. Equal frames in a row become one that
            is shown longer.
        milliseconds: Duration of one frame, a multiple of 10.

    Raises:
        ValueError: There is no frame, or the sizes differ.
    """
    require_one_size(frames)
    palette = Image.fromarray(np.concatenate(list(frames))).quantize(256)
    pages = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with atomic_write(path) as temporary:
        pages[0].save(temporary, format="GIF", save_all=True, append_images=pages[1:], duration=milliseconds, loop=0)
    return path


def require_one_size(frames: Sequence[Rgb]) -> None:
    """Refuse frames of unequal size.

    Raises:
        ValueError: There is no frame, or the sizes differ.
    """
    if len({frame.shape for frame in frames}) != 1:
        raise ValueError(f"{len(frames)} frames of unequal size or none: pass at least one, all of one size.")


def write_tiff16(path: Path, image: ArrayLike, channels: Sequence[str], full_scale: float) -> dict[str, Any]:
    """Write raw intensities as 16-bit counts from which they can be restored.

    Values that lie in whole counts or 256ths of them, as those of 8-bit files, are kept exactly. Otherwise the
    counts span the range from the image's smallest to its largest value, below 0 and above
    ``full_scale`` too, so that an unclipped counterfactual is kept as it is. The
    scale is stored in the file, as JSON in the ImageDescription.

    Args:
        path: The file to write; one page for each channel.
        image: Raw intensities (C, H, W), finite.
        channels: Channel names, length C.
        full_scale: The camera's largest raw intensity, 255 or 65535.

    Returns:
        Metadata stored in the file: ``channels``, ``full_scale``, ``offset``, ``step``.

    Raises:
        ValueError: The shape does not fit the channels, or a value is not finite.
    """
    if np.ndim(image) != 3 or np.shape(image)[0] != len(channels) or not np.size(image):
        raise ValueError(f"image {np.shape(image)} does not fit {len(channels)} channels: pass (C, H, W).")
    counts, offset, step = _quantise_to_16_bits(image)
    stated = {
        "scale": DESCRIPTION, "channels": list(channels), "full_scale": full_scale,
        "offset": offset, "step": step,
    }  # fmt: skip
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary, counts, description=json.dumps(stated), metadata=None, software="leigh_mlops",
            photometric="minisblack", compression="zlib", predictor=True,
        )  # fmt: skip
    return stated


def round_trip_tiff16(image: ArrayLike) -> NDArray[np.float64]:
    """Raw intensities (C, H, W) as `read_tiff16` returns them from a file of `write_tiff16`, without the file."""
    return _restore_intensities(*_quantise_to_16_bits(image))


def _quantise_to_16_bits(image: ArrayLike) -> tuple[NDArray[np.uint16], float, float]:
    """Quantise raw intensities to 16-bit counts with an offset and a step.

    Raises:
        ValueError: A value is not finite.
    """
    raw = np.asarray(image, dtype=np.float64)
    if not np.isfinite(raw).all():
        raise ValueError(f"{(~np.isfinite(raw)).sum()} pixels are not finite: a 16-bit file cannot hold them.")
    offset, step = _choose_steps(raw)
    return np.clip(np.rint((raw - offset) / step), 0, STEPS).astype(np.uint16), offset, step


def _choose_steps(raw: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and step of the 65536 counts that hold raw intensities."""
    offset, largest = float(raw.min()), float(raw.max())
    for step in EXACT_STEPS:
        places = raw / step
        if largest - offset <= (STEPS - 1) * step and np.abs(places - np.rint(places)).max() < ROUNDING:
            return float(np.rint(offset / step)) * step, step
    return offset, (largest - offset) / STEPS or 1.0


def _restore_intensities(counts: NDArray[np.uint16], offset: float, step: float) -> NDArray[np.float64]:
    return offset + step * counts.astype(np.float64)


def write_counts(path: Path, image: ArrayLike, channels: Sequence[str], full_scale: int) -> Path:
    """Write raw intensities as integer counts of the camera, for programs that cannot read the stored scale.

    An OME-TIFF of 16 bits, one page for each channel, with the channels' names; values are rounded
    and clipped to 0 and the full scale.

    Args:
        path: The file to write.
        image: Raw intensities (C, H, W) in the units of the acquisition, finite.
        channels: Channel names, length C.
        full_scale: Largest value of the acquisition's files, 255 or 65535.
    """
    counts = np.clip(np.rint(np.asarray(image, dtype=np.float64)), 0, full_scale).astype(np.uint16)
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary, counts, ome=True, metadata={"axes": "CYX", "Channel": {"Name": list(channels)}},
            photometric="minisblack", compression="zlib", predictor=True,
        )  # fmt: skip
    return path


def read_tiff16(path: Path) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Read a file written by ``write_tiff16``.

    Returns:
        Raw intensities (C, H, W), within ``step / 2`` of those written, and
        the metadata stored in the file.

    Raises:
        LeighError: The file is missing or states no scale.
    """
    try:
        with tifffile.TiffFile(path) as file:
            stated = json.loads(file.pages.first.description)
            counts = np.stack([page.asarray() for page in file.pages])
        offset, step = float(stated["offset"]), float(stated["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LeighError(f"{path} states no intensity scale: pass a TIFF that an explanation wrote.") from error
    return _restore_intensities(counts, offset, step), stated
