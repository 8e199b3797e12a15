"""Reading PNG, BMP and JPEG files, whose headers are validated before they are decoded."""

import struct
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from leigh_mlops.images.source import Pixels, Source, check_pixels

__all__ = ["to_rgb_square", "read_bmp", "read_jpeg", "read_png"]

_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # grey, RGB, and both with transparency; palettes are left out
_MAX_METADATA_BYTES = 2**20  # descriptions beside the pixels
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def read_png(source: Source) -> npt.NDArray[Any]:
    """Read a PNG file of 8- or 16-bit grey values or RGB.

    Returns:
        Shape (samples, H, W), as stored.

    Raises:
        ValueError: The file is damaged or holds something else.
    """
    header = source.read(0, min(26, source.size))
    if len(header) < 26 or header[:16] != _PNG_START:
        raise ValueError("it has no PNG header")
    width, height, bits, colours = struct.unpack(">IIBB", header[16:])
    if colours not in _PNG_SAMPLES or bits not in (8, 16):
        raise ValueError(f"its pixels have {bits} bits, colour type {colours}; 8 or 16 bits of grey or RGB are needed")
    samples = _PNG_SAMPLES[colours]
    check_pixels(width, height, samples)
    raw = width * height * samples * bits // 8
    if source.size > 2 * raw + _MAX_METADATA_BYTES:
        raise ValueError(f"it has {source.size} bytes, far more than its {width} x {height} pixels need")
    image = np.asarray(imagecodecs.png_decode(source.read(0, source.size)))
    if image.shape[2:] == (samples + 1,):
        image = image[..., :samples]  # a decoder turns a transparent colour into an alpha plane
    return _planes_first(image, (samples, height, width))


def read_bmp(source: Source) -> npt.NDArray[Any]:
    """Read an uncompressed BMP file of 8-bit grey values or RGB.

    Returns:
        Shape (samples, H, W), uint8.

    Raises:
        ValueError: The file is damaged or holds something else.
    """
    header = source.read(0, min(54, source.size))
    if len(header) < 54 or header[:2] != b"BM":
        raise ValueError("it has no BMP header")
    (start,) = struct.unpack("<I", header[10:14])
    width, height, _, bits, compression = struct.unpack("<iiHHI", header[18:34])
    if compression or bits not in (8, 24):
        raise ValueError(f"it has {bits} bits and compression {compression}; export grey values or RGB as PNG or TIFF")
    check_pixels(width, abs(height), bits // 8)
    row_bytes = (width * bits // 8 + 3) // 4 * 4
    rows = np.frombuffer(source.read(start, row_bytes * abs(height)), np.uint8).reshape(abs(height), row_bytes)
    image = rows[:: -1 if height > 0 else 1, : width * bits // 8].reshape(abs(height), width, bits // 8)
    if bits == 8:
        _check_grey_palette(source, 14 + struct.unpack("<I", header[14:18])[0], start)
    return _planes_first(image[..., ::-1], (bits // 8, abs(height), width))


def read_jpeg(source: Source) -> npt.NDArray[Any]:
    """Read a JPEG file of 8-bit grey values or colour; an orientation noted in it is not applied.

    Returns:
        Shape (samples, H, W), uint8; colour is RGB.

    Raises:
        ValueError: The file is damaged or holds something else.
    """
    data = source.read(0, source.size)
    height, width, samples = _jpeg_frame(data)
    if samples not in (1, 3):
        raise ValueError(f"it has {samples} colour components, not 1 or 3; convert it to RGB")
    check_pixels(width, height, samples)
    return _planes_first(np.asarray(imagecodecs.jpeg8_decode(data)), (samples, height, width))


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Height, width and components in the first frame header."""
    if data[:2] != b"\xff\xd8":
        raise ValueError("it has no JPEG header")
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAMES:
            bits, height, width, samples = struct.unpack(">BHHB", data[at + 4 : at + 10])
            if bits != 8:
                raise ValueError(f"its pixels have {bits} bits; 8 bits are needed")
            return height, width, samples
        at += 1 if marker == 0xFF else 2 + length  # a marker may be filled up
    raise ValueError("it has no frame header")


def to_rgb_square(page: Pixels) -> Pixels:
    """Convert an ordinary picture (samples, H, W) to RGB (3, S, S), S its shorter side.

    Grey becomes three equal channels, transparency is dropped, and the centre
    square is kept: letterboxing would add borders that reveal the aspect ratio.
    """
    colours = page[:3] if len(page) >= 3 else np.repeat(page[:1], 3, axis=0)
    height, width = page.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(colours[:, top : top + side, left : left + side])


def _check_grey_palette(source: Source, begin: int, end: int) -> None:
    """Refuse a palette that is no ramp from black to white, whose indices are no intensities."""
    palette = np.frombuffer(source.read(begin, min(1024, end - begin)), np.uint8)
    if len(palette) != 1024 or (palette.reshape(256, 4)[:, :3] != np.arange(256)[:, None]).any():
        raise ValueError("its pixels are numbers in a palette; export grey values or RGB")


def _planes_first(image: npt.NDArray[Any], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    if planes.shape != shape:
        raise ValueError(f"its data has shape {planes.shape}, its header gives {shape}")
    return np.ascontiguousarray(planes)
