"""RGB pictures of raw intensities on stated scales.

A picture is uint8 RGB of shape (H, W, 3). No picture is ever stretched to its own
range: callers that draw several pass the same limits to all of them.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from leigh_mlops.report.image_files import Rgb, read_tiff16, write_gif, write_png, write_tiff16

__all__ = [
    "Rgb",
    "channel_colours",
    "colour_bar",
    "composite",
    "heatmap_overlay",
    "intensity_limits",
    "read_tiff16",
    "picture_strip",
    "write_gif",
    "write_png",
    "write_tiff16",
]

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]

STAINS: Mapping[str, Colour] = {"DAPI": (0.15, 0.4, 1.0), "TMRM": (0.1, 1.0, 0.2)}
"""Colours of known stains; DAPI is lighter than pure blue, which looks too dark on a screen."""

OTHER_COLOURS: Sequence[Colour] = ((1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (0.7, 0.7, 0.7))
"""Magenta, cyan, yellow and grey, for unknown channels, in their order."""

SIGNED_MAP = "berlin"
"""Blue to red through black (Crameri 2018): zero is as dark as the image's background."""

UNSIGNED_MAP = "inferno"

BACKGROUND_BRIGHTNESS = 0.45
MIN_WIDTH = 72


def channel_colours(channels: Sequence[str]) -> dict[str, Colour]:
    """Colour of every channel that a composite draws.

    A channel that only combines others (``DAPI+TMRM`` next to ``DAPI`` and ``TMRM``)
    is not drawn: it would count their light twice.

    Example:
        >>> list(channel_colours(["DAPI", "TMRM", "DAPI+TMRM"]))
        ['DAPI', 'TMRM']
    """
    drawn = [name for name in channels if "+" not in name or not set(name.split("+")) <= set(channels)]
    unknown = [name for name in drawn if name not in STAINS]
    others = {name: OTHER_COLOURS[place % len(OTHER_COLOURS)] for place, name in enumerate(unknown)}
    return {name: STAINS.get(name) or others[name] for name in drawn}


def intensity_limits(images: ArrayLike, percentile: float = 99.8) -> Floats:
    """Estimate the intensities shown as black and as full colour, from a whole set of images.

    Args:
        images: Raw intensities (N, C, H, W); values that are not finite are ignored.
        percentile: Percentile shown at full colour, above 50 to 100 percent;
            the mirrored percentile is shown as black.

    Returns:
        Per channel (low, high), shape (C, 2), with low < high.

    Raises:
        ValueError: ``images`` is not (N, C, H, W) or has no finite pixel.
    """
    stack = np.asarray(images)
    if stack.ndim != 4 or stack.size == 0:
        raise ValueError(f"images have shape {stack.shape}: pass at least one image as (N, C, H, W).")
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile is {percentile}: pass more than 50 and at most 100.")
    limits = []
    for channel in range(stack.shape[1]):
        pixels = stack[:, channel]
        pixels = pixels[np.isfinite(pixels)]
        if not pixels.size:
            raise ValueError(f"channel {channel} has no finite pixel: leave these images out.")
        low, high = np.percentile(pixels, [100 - percentile, percentile])
        limits.append((low, high if high > low else low + 1))
    return np.array(limits, dtype=float)


def composite(image: ArrayLike, channels: Sequence[str], limits: ArrayLike) -> Rgb:
    """Add up the channels as coloured light: DAPI blue, TMRM green.

    Args:
        image: Raw intensities (C, H, W), unclipped; values that are not finite are black.
        channels: Channel names, length C.
        limits: Per channel the raw intensities (low, high) shown as black and as
            full colour, shape (C, 2), the same for all pictures of a sheet.

    Returns:
        RGB (H, W, 3), 0 to 255.

    Raises:
        ValueError: The shapes do not agree, or a limit is not low < high.
    """
    planes, scales = np.asarray(image, dtype=float), np.asarray(limits, dtype=float)
    if planes.ndim != 3 or len(planes) != len(channels) or scales.shape != (len(channels), 2):
        raise ValueError(
            f"image {planes.shape} and limits {scales.shape} do not fit {len(channels)} channels: "
            "pass (C, H, W) and (C, 2)."
        )
    if not (scales[:, 0] < scales[:, 1]).all():
        raise ValueError(f"limits are {scales.tolist()}: pass (low, high) with low < high for each channel.")
    light = np.zeros((*planes.shape[1:], 3))
    for name, colour in channel_colours(channels).items():
        plane = planes[list(channels).index(name)]
        low, high = scales[list(channels).index(name)]
        shown = np.clip(np.nan_to_num((plane - low) / (high - low), posinf=0), 0, 1)
        light += shown[..., None] * np.array(colour)
    return _to_uint8(light)


def heatmap_overlay(picture: Rgb, heat: ArrayLike, limit: float, *, signed: bool = True) -> Rgb:
    """Overlay a heatmap as coloured light on the dimmed grey image, which it hides where it is strong.

    Args:
        picture: RGB (H, W, 3), 0 to 255.
        heat: Map (H, W) in any unit; values that are not finite count as 0.
        limit: The map's value at full colour, above 0, the same for all pictures
            of a sheet.
        signed: Blue below 0 and red above; otherwise from 0 upward only (inferno).

    Raises:
        ValueError: The shapes differ, or ``limit`` is not above 0.
    """
    values = np.asarray(heat, dtype=float)
    if values.shape != picture.shape[:2]:
        raise ValueError(f"heat {values.shape} and picture {picture.shape[:2]} differ: pass equal sizes.")
    if not limit > 0:
        raise ValueError(f"limit is {limit}: pass a value above 0.")
    share = np.clip(np.nan_to_num(values / limit, posinf=0, neginf=0), -1 if signed else 0, 1)
    colours = colormaps[SIGNED_MAP](0.5 + share / 2) if signed else colormaps[UNSIGNED_MAP](share)
    # Green contributes most to the perceived lightness of a picture.
    grey = picture @ np.array([0.3, 0.5, 0.2]) / 255
    ground = BACKGROUND_BRIGHTNESS * (1 - np.abs(share)) * grey
    # Both colour maps are nearly black at 0, so that adding them leaves the image visible there.
    return _to_uint8(ground[..., None] + colours[..., :3])


def colour_bar(limit: float, unit: str, *, signed: bool = True) -> Rgb:
    """Draw the colour bar of `heatmap_overlay`, with its numbers and unit, on white.

    Args:
        limit: The map's value at full colour, above 0.
        unit: Unit of the values, in words.
        signed: As for `heatmap_overlay`.

    Returns:
        RGB (64, W, 3), W at least 260.
    """
    font = ImageFont.load_default(size=13)
    shown = f"{limit:.2g}"
    marks = (f"-{shown}: against", "0", f"+{shown}: for") if signed else ("0", f"{limit / 2:.2g}", shown)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    width = max(260, round(pen.textlength(unit, font=font)) + 8)
    ramp = np.linspace(-limit if signed else 0, limit, width - 8)
    bar = heatmap_overlay(np.zeros((18, width - 8, 3), np.uint8), np.tile(ramp, (18, 1)), limit, signed=signed)
    sheet = Image.new("RGB", (width, 64), "white")
    sheet.paste(Image.fromarray(bar), (4, 4))
    pen = ImageDraw.Draw(sheet)
    for text, place, anchor in zip(marks, (4, width // 2, width - 4), ("la", "ma", "ra"), strict=True):
        pen.text((place, 25), text, fill="black", font=font, anchor=anchor)
    pen.text((width // 2, 44), unit, fill="black", font=font, anchor="ma")
    return np.asarray(sheet, dtype=np.uint8)


def picture_strip(pictures: Sequence[Rgb], titles: Sequence[str], *, gap: int = 6) -> Rgb:
    """Place pictures of one height side by side on white, with a title over each.

    If one is narrower than 72 pixels, all are enlarged by an integer factor, so that there is room for a title.

    Args:
        pictures: RGB (H, W, 3), one height; the widths may differ.
        titles: One for each picture; titles that do not fit are shortened with an ellipsis.
        gap: Pixels between two pictures.

    Raises:
        ValueError: There is no picture, the heights differ, or titles are missing.
    """
    if not pictures or len(pictures) != len(titles) or len({len(picture) for picture in pictures}) != 1:
        raise ValueError(f"{len(pictures)} pictures, {len(titles)} titles: pass equal numbers and one height.")
    times = math.ceil(MIN_WIDTH / min(picture.shape[1] for picture in pictures))
    pictures = [picture.repeat(times, axis=0).repeat(times, axis=1) for picture in pictures]
    font = ImageFont.load_default(size=14)
    header = 22
    width = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, header + len(pictures[0])), "white")
    pen = ImageDraw.Draw(sheet)
    left = 0
    for picture, title in zip(pictures, titles, strict=True):
        shown = title
        while shown and pen.textlength(shown, font=font) > picture.shape[1] - 4:
            shown = shown.removesuffix("…")[:-1] + "…" if len(shown) > 1 else ""
        pen.text((left + 2, 2), shown, fill="black", font=font)
        sheet.paste(Image.fromarray(picture), (left, header))
        left += picture.shape[1] + gap
    return np.asarray(sheet, dtype=np.uint8)


def _to_uint8(light: Floats) -> Rgb:
    return np.rint(255 * np.clip(light, 0, 1)).astype(np.uint8)
