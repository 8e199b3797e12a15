"""Index that Harmony 5 would write beside the images of a demo plate."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from leigh_mlops.plates.demo.demo_wells import DemoField

__all__ = ["CHANNELS", "file_name", "write_index"]

CHANNELS = ("DAPI", "TMRM")
_NAMESPACE = "http://www.perkinelmer.com/PEHH/HarmonyV5"
_FIELD_WIDTH_M = 205e-6  # of a 63x objective


def file_name(field: DemoField, channel: int) -> str:
    """Name of the file of a channel (from 1), as Harmony gives it.

    Args:
        field: The field.
        channel: From 1.
    """
    return f"{_stem(field)}f{field.site:02d}p01-ch{channel}sk1fk1fl1.tiff"


def _stem(field: DemoField) -> str:
    return f"r{field.well.row:02d}c{field.well.col:02d}"


def write_index(
    path: Path, plate: str, shape: tuple[int, int], fields: Sequence[DemoField], image_size_px: int
) -> None:
    """Write ``Index.idx.xml`` of a plate.

    Args:
        path: Where to write it.
        plate: Name of the plate.
        shape: Rows and columns of the plate.
        fields: Its fields.
        image_size_px: Side of an image.
    """
    root = Element("EvaluationInputData", {"Version": "1", "xmlns": _NAMESPACE})
    _add(root, User="leigh_mlops", InstrumentType="Phenix")
    about = SubElement(SubElement(root, "Plates"), "Plate")
    kind = f"{shape[0] * shape[1]} well"
    _add(about, PlateID=plate, Name=plate, PlateTypeName=kind, PlateRows=shape[0], PlateColumns=shape[1])
    wells, images = SubElement(root, "Wells"), SubElement(root, "Images")
    well: Element | None = None
    for number, field in enumerate(fields):
        if well is None or field.well is not fields[number - 1].well:
            well_id = f"{field.well.row:02d}{field.well.col:02d}"
            SubElement(about, "Well", id=well_id)
            well = SubElement(wells, "Well")
            _add(well, id=well_id, Row=field.well.row, Col=field.well.col)
        for channel in range(1, len(CHANNELS) + 1):
            image_id = f"{field.well.row:02d}{field.well.col:02d}K1F{field.site}P1R{channel}"
            SubElement(well, "Image", id=image_id)
            _add_image(SubElement(images, "Image", Version="1"), image_id, field, channel, image_size_px)
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _add_image(image: Element, image_id: str, field: DemoField, channel: int, size_px: int) -> None:
    _add(image, id=image_id, State="Ok", URL=file_name(field, channel), Row=field.well.row, Col=field.well.col)
    _add(image, FieldID=field.site, PlaneID=1, TimepointID=1, ChannelID=channel, ChannelName=CHANNELS[channel - 1])
    _add(image, ImageType="Signal", AcquisitionType="NipkowConfocal", ChannelType="Fluorescence")
    for axis in "XY":
        SubElement(image, f"ImageResolution{axis}", Unit="m").text = repr(_FIELD_WIDTH_M / size_px)
    _add(image, ImageSizeX=size_px, ImageSizeY=size_px, ObjectiveMagnification=63)


def _add(parent: Element, **texts: object) -> None:
    for name, text in texts.items():
        SubElement(parent, name).text = str(text)
