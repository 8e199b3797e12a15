"""The records that CellVoyager writes beside the images of a CV7000, CV8000 or CQ1."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

from leigh_mlops.plates.vendors.elements import local_name, root_element, stream_elements, whole_number
from leigh_mlops.plates.vendors.listed import ListedImage, ListedPlate, distinct_names, is_subpath, rejection_reason

__all__ = ["YOKOGAWA_NAMES", "read_yokogawa"]

YOKOGAWA_NAMES = ("measurementdata.mlf",)
_REMEDY = "copy it again, or rename it to go by the names of the files (--preset cv7000)"
_NUMBERS = ("Row", "Column", "FieldIndex", "ZIndex", "TimePoint", "Ch")
_NEEDED = ("Row", "Column", "FieldIndex", "Ch")


def read_yokogawa(path: Path) -> ListedPlate:
    """Read ``MeasurementData.mlf`` and, where they exist beside it, the ``.mrf`` and ``.mes``.

    Records of errors (a failed autofocus) name no image and are counted only. Projections are
    left out where the planes that they were made of are there too.

    Args:
        path: The ``.mlf`` file.

    Raises:
        LeighError: A file is broken, or declares a document type.
    """
    detail, pixel_sizes = _read_detail(path.parent)
    names, magnifications = _read_channels(path.parent, detail.get("settings", ""))
    records, errors = _read_records(path)
    images: list[ListedImage] = []
    reasons: dict[Path, str] = {}
    if errors:
        reasons[path] = f"{len(errors)} of its records are errors of the microscope, as {errors[0][:80]!r}"
    kept = [record for record in records if not record.get("ZImageProcessing")] or records
    for record in kept:
        name = record["name"].replace("\\", "/")
        number = {key: whole_number(record.get(key)) for key in _NUMBERS}
        reason = rejection_reason(name, {key: number[key] for key in _NEEDED}, row="Row", col="Column")
        if reason is None and "/" in name and not is_subpath(name, path.parent):
            reason = "its name in the index leaves the folder"
        if reason:
            reasons[path.parent / name] = reason
        else:
            images.append(_image(name, number, pixel_sizes, magnifications))
    note = f", {len(errors)} of its records being errors of the microscope" if errors else ""
    note += f", without {len(records) - len(kept)} projections" if len(records) > len(kept) else ""
    return ListedPlate(path, detail.get("plate", ""), "", images, names, reasons, note)


def _image(
    name: str, number: dict[str, int | None], pixel_sizes: dict[str, float], magnifications: dict[str, float]
) -> ListedImage:
    row, col, site = (number[key] or 0 for key in ("Row", "Column", "FieldIndex"))
    z, time, channel = number["ZIndex"], number["TimePoint"], str(number["Ch"])
    return ListedImage(name, row, col, site, z, time, channel, pixel_sizes.get(channel), magnifications.get(channel))


def _read_records(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The records of images, and the texts of those that are errors."""
    records, errors = [], []
    for element in stream_elements(path, {"MeasurementRecord"}, _REMEDY):
        record = _attributes(element) | {"name": (element.text or "").strip()}
        if record.get("Type") == "IMG":
            records.append(record)
        else:
            errors.append(record["name"])
    return records, errors


def _read_detail(folder: Path) -> tuple[dict[str, str], dict[str, float]]:
    """Read plate and settings, and the edge of a pixel (µm) by channel, from the ``.mrf``."""
    detail: dict[str, str] = {}
    sizes: dict[str, float] = {}
    files = sorted(folder.glob("*.mrf"), key=lambda file: (file.name != "MeasurementDetail.mrf", file.name))
    for file in files[:1]:
        detail["settings"] = _attributes(root_element(file, _REMEDY)).get("MeasurementSettingFileName", "")
        for element in stream_elements(file, {"MeasurementSamplePlate", "MeasurementChannel"}, _REMEDY):
            about = _attributes(element)
            if local_name(element.tag) == "MeasurementSamplePlate":
                detail["plate"] = about.get("Name", "").strip()
            elif (channel := whole_number(about.get("Ch"))) is not None:
                size = _parse_positive(about.get("HorizontalPixelDimension"))
                sizes |= {} if size is None else {str(channel): size}
    return detail, sizes


def _attributes(element: Element) -> dict[str, str]:
    return {local_name(key): value for key, value in element.attrib.items()}


def _parse_positive(text: str | None) -> float | None:
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _read_channels(folder: Path, settings: str) -> tuple[dict[str, str], dict[str, float]]:
    """Read target and magnification of the channels from the ``.mes`` in the folder."""
    names: dict[str, str] = {}
    magnifications: dict[str, float] = {}
    files = sorted(folder.glob("*.mes"))
    for file in [file for file in files if file.name == settings] or (files if len(files) == 1 else []):
        for element in stream_elements(file, {"Channel"}, _REMEDY):
            about = _attributes(element)
            if (channel := whole_number(about.get("Ch"))) is not None:
                names[str(channel)] = about.get("Target", "")
                factor = _parse_positive(about.get("Magnification"))
                magnifications |= {} if factor is None else {str(channel): factor}
    return distinct_names(names), magnifications
