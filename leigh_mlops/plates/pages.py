"""Pages of one image file, read from its header without reading pixels."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError

if TYPE_CHECKING:
    import tifffile

__all__ = ["Page", "Pages", "first_pages"]

_MAX_TRIED = 10  # files of one kind that are tried until one can be read


@dataclass(frozen=True)
class Page:
    """Channel, plane and time point of one page; all numbers from 0."""

    channel: int
    z: int
    time: int


@dataclass(frozen=True)
class Pages:
    """Contents of one file.

    Attributes:
        path: The file.
        count: Number of its pages.
        samples: Samples of each pixel: 1 for grey, 3 for RGB.
        meaning: Position of each page, in order; ``None`` where the file does not give it.
        channel_names: Number of a channel, from 1, to its name.
    """

    path: Path
    count: int
    samples: int
    meaning: tuple[Page, ...] | None = None
    channel_names: dict[str, str] = field(default_factory=dict)

    def size(self, axis: str) -> int:
        """Number of different values of ``channel``, ``z`` or ``time``; 1 where nothing is known."""
        return len({getattr(page, axis) for page in self.meaning}) if self.meaning else 1


def first_pages(paths: Iterable[Path]) -> Pages | None:
    """Read the header of the first of these files that can be read; ``None`` where none can."""
    for _, path in zip(range(_MAX_TRIED), paths, strict=False):
        if pages := _pages(path):
            return pages
    return None


def _pages(path: Path) -> Pages | None:
    import tifffile
    from PIL import Image

    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            # Pages of this file alone: one file of a multi-file OME set must not pull in the others.
            with tifffile.TiffFile(path, is_ome=False) as tiff:
                return _tiff_pages(path, tiff)
        with Image.open(path) as image:
            # A palette is a way to store colours, not a channel.
            return Pages(path, 1, 3 if image.mode == "P" else len(image.getbands()))
    except Exception:  # decoders raise types of their own; the next file may stand for all
        return None


def _tiff_pages(path: Path, tiff: "tifffile.TiffFile") -> Pages:
    first, count = tiff.pages.first, len(tiff.pages)
    pages = Pages(path, count, int(first.samplesperpixel))
    if count == 1:
        return pages
    if "<OME" in first.description or "<ome:OME" in first.description:
        return _ome_pages(pages, first.description)
    return Pages(path, count, pages.samples, _by_axes(tiff, count))


def _by_axes(tiff: "tifffile.TiffFile", count: int) -> tuple[Page, ...] | None:
    if len(tiff.series) != 1:
        return None
    axes = [(a, n) for a, n in zip(tiff.series[0].axes, tiff.series[0].shape, strict=True) if a not in "YXS"]
    if not {axis for axis, _ in axes} <= set("CZT") or math.prod(size for _, size in axes) != count:
        return None
    places = product(*(range(size) for _, size in axes))
    return tuple(_page({axis: at for (axis, _), at in zip(axes, place, strict=True)}) for place in places)


def _page(place: dict[str, int]) -> Page:
    return Page(place.get("C", 0), place.get("Z", 0), place.get("T", 0))


def _ome_pages(pages: Pages, xml: str) -> Pages:
    """The meaning of this file's own pages by its OME-XML; other files of the set are ignored."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(xml.encode())
        images = root.findall("{*}Image/{*}Pixels")
        if len(images) != 1:
            return pages
        meaning = _ome_meaning(root, images[0], pages)
    except (ParseError, DefusedXmlException, ValueError, KeyError):
        return pages
    names = [channel.get("Name") for channel in images[0].findall("{*}Channel")]
    called = {str(number): name for number, name in enumerate(names, 1) if name}
    return Pages(pages.path, pages.count, pages.samples, meaning, called)


def _ome_meaning(root: Element, image: Element, pages: Pages) -> tuple[Page, ...] | None:
    sizes = {axis: int(image.attrib[f"Size{axis}"]) for axis in "CZT"}
    sizes["C"] //= pages.samples  # the samples of a pixel are channels of OME, not pages
    order = image.attrib["DimensionOrder"][2:]
    found: dict[int, Page] = {}
    entries = [entry for entry in image.findall("{*}TiffData") if _belongs_to_file(entry, root, pages.path)]
    for entry in entries:
        ifd, start = int(entry.get("IFD", 0)), {axis: int(entry.get(f"First{axis}", 0)) for axis in "CZT"}
        planes = int(entry.get("PlaneCount", 1 if "IFD" in entry.attrib else pages.count))
        for step in range(min(planes, pages.count - ifd)):
            found[ifd + step] = _page(_advance_position(start, step, order, sizes))
    return tuple(found[number] for number in range(pages.count)) if len(found) == pages.count else None


def _belongs_to_file(entry: Element, root: Element, path: Path) -> bool:
    uuid = entry.find("{*}UUID")
    if uuid is None:
        return True
    own = root.get("UUID")
    return uuid.text == own if own else uuid.get("FileName") in (None, path.name)


def _advance_position(start: dict[str, int], step: int, order: str, sizes: dict[str, int]) -> dict[str, int]:
    """The place ``step`` planes after a start, the first axis of ``order`` fastest."""
    place: dict[str, int] = {}
    carry: Any = step
    for axis in order:
        carry, place[axis] = divmod(start[axis] + carry, sizes[axis])
    return place
