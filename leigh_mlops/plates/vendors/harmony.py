"""The index that Harmony writes beside the images of an Opera Phenix or Operetta."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

from leigh_mlops.plates.vendors.elements import local_name, root_element, stream_elements, whole_number
from leigh_mlops.plates.vendors.listed import ListedImage, ListedPlate, distinct_names, rejection_reason

__all__ = ["HARMONY_NAMES", "read_harmony"]

HARMONY_NAMES = ("index.idx.xml", "index.xml")
_REMEDY = "export it again, or rename it to go by the names of the files (--preset harmony)"
_NUMBERS = ("Row", "Col", "FieldID", "PlaneID", "TimepointID", "ChannelID")
_NEEDED = ("Row", "Col", "FieldID", "ChannelID")
_MICROMETRES = {"m": 1e6, "mm": 1e3, "um": 1.0, "µm": 1.0, "nm": 1e-3}


def read_harmony(path: Path) -> ListedPlate | None:
    """Read ``Index.idx.xml`` (version 5) or ``Index.xml`` (6 and 7).

    Version 5 names the channel with every image; 6 and 7 name it once, in ``Maps``.

    Args:
        path: The index.

    Returns:
        What it lists; ``None`` for another kind of XML under this name.

    Raises:
        LeighError: The file is broken, or declares a document type.
    """
    if local_name(root_element(path, _REMEDY).tag) != "EvaluationInputData":
        return None
    plate: dict[str, str] = {}
    channels: dict[str, dict[str, Element]] = {}
    records: list[dict[str, Element]] = []
    for element in stream_elements(path, {"Plate", "Entry", "Image"}, _REMEDY):
        parts = {local_name(part.tag): part for part in element}
        kind = local_name(element.tag)
        if kind == "Plate" and not plate:
            plate = {name: (parts[name].text or "").strip() for name in ("Name", "PlateID") if name in parts}
        elif kind == "Entry" and (channel := whole_number(element.get("ChannelID"))) is not None:
            channels.setdefault(str(channel), {}).update(_channel_parts(parts))
        elif kind == "Image" and "URL" in parts:  # a well's list of its images holds none
            records.append({name: parts[name] for name in ("URL", *_NUMBERS) if name in parts} | _channel_parts(parts))
    return _build_plate(path, plate, channels, records)


def _channel_parts(parts: dict[str, Element]) -> dict[str, Element]:
    return {
        name: parts[name] for name in ("ChannelName", "ImageResolutionX", "ObjectiveMagnification") if name in parts
    }


def _build_plate(
    path: Path, plate: dict[str, str], channels: dict[str, dict[str, Element]], records: list[dict[str, Element]]
) -> ListedPlate:
    images: list[ListedImage] = []
    reasons: dict[Path, str] = {}
    names: dict[str, str] = {}
    empty = 0
    for record in records:
        name = (record["URL"].text or "").strip()
        if not name:  # a field that was planned, not photographed
            empty += 1
            continue
        number = {key: whole_number(record[key].text) if key in record else None for key in _NUMBERS}
        reason = rejection_reason(name, {key: number[key] for key in _NEEDED}, row="Row", col="Col")
        if reason or "/" in name:
            reasons[path.parent / name] = reason or "its name in the index is not a plain file name"
            continue
        channel = str(number["ChannelID"])
        about = channels.get(channel, {}) | record
        if "ChannelName" in about:
            names.setdefault(channel, about["ChannelName"].text or "")
        images.append(_image(name, number, channel, about))
    note = f", without {empty} that were not recorded" if empty else ""
    return ListedPlate(
        path, plate.get("Name", ""), plate.get("PlateID", ""), images, distinct_names(names), reasons, note
    )


def _image(name: str, number: dict[str, int | None], channel: str, about: dict[str, Element]) -> ListedImage:
    row, col, site = (number[key] or 0 for key in ("Row", "Col", "FieldID"))
    size, magnification = _micrometres(about.get("ImageResolutionX")), _factor(about.get("ObjectiveMagnification"))
    return ListedImage(name, row, col, site, number["PlaneID"], number["TimepointID"], channel, size, magnification)


def _factor(element: Element | None) -> float | None:
    try:
        factor = float((element.text if element is not None else None) or "nan")
    except ValueError:
        return None
    return factor if 0 < factor < math.inf else None


def _micrometres(length: Element | None) -> float | None:
    try:
        size = float((length.text if length is not None else None) or "nan")
    except ValueError:
        return None
    size *= _MICROMETRES.get((length.get("Unit") if length is not None else None) or "m", math.nan)
    return size if 0 < size < math.inf else None
