import numpy as np
import pytest
import tifffile
from PIL import Image

from leigh_mlops.plates.pages import Page, first_pages

STACK = np.zeros((2, 3, 8, 8), np.uint16)
BY_CHANNEL = tuple(Page(c, z, 0) for c in range(2) for z in range(3))


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ({"ome": True, "metadata": {"axes": "CZYX"}}, BY_CHANNEL),
        ({"ome": True, "metadata": {"axes": "ZCYX"}}, tuple(Page(c, z, 0) for z in range(2) for c in range(3))),
        ({"ome": True, "metadata": {"axes": "TZYX"}}, tuple(Page(0, z, t) for t in range(2) for z in range(3))),
        ({"imagej": True, "metadata": {"axes": "ZCYX"}}, tuple(Page(c, z, 0) for z in range(2) for c in range(3))),
        ({"metadata": {"axes": "CZYX"}}, BY_CHANNEL),
        ({}, None),
        ({"metadata": None}, None),
    ],
)
def test_what_pages_are(tmp_path, options, meaning):
    path = tmp_path / ("a.ome.tif" if options.pop("ome", False) else "a.tif")
    tifffile.imwrite(path, STACK, photometric="minisblack", **options)
    pages = first_pages([path])
    assert (pages.count, pages.samples, pages.meaning) == (6, 1, meaning)
    assert (pages.size("channel"), pages.size("z")) == (
        (1, 1) if meaning is None else (len({p.channel for p in meaning}), len({p.z for p in meaning}))
    )


def test_names_of_channels(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "TMRM"]}}
    tifffile.imwrite(path, STACK[:, 0], photometric="minisblack", metadata=metadata)
    assert first_pages([path]).channel_names == {"1": "DAPI", "2": "TMRM"}


def ome(entries, sizes='SizeC="2" SizeZ="2" SizeT="1"', order="XYZCT"):
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:own">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" SizeX="8" SizeY="8" {sizes}>'
        f"{entries}</Pixels></Image></OME>"
    )


@pytest.mark.parametrize(
    ("entries", "meaning"),
    [
        (  # one file of a set: its own entries alone
            '<TiffData FirstC="0" IFD="0" PlaneCount="2"><UUID FileName="b.tif">urn:uuid:other</UUID></TiffData>'
            '<TiffData FirstC="1" IFD="0" PlaneCount="2"><UUID FileName="was.tif">urn:uuid:own</UUID></TiffData>',
            (Page(1, 0, 0), Page(1, 1, 0)),
        ),
        (
            '<TiffData FirstZ="1" IFD="0"/><TiffData FirstC="1" FirstZ="0" IFD="1"/>',
            (Page(0, 1, 0), Page(1, 0, 0)),
        ),
        ("<TiffData/>", (Page(0, 0, 0), Page(0, 1, 0))),
        ('<TiffData IFD="0"/>', None),  # says nothing of the second page
        ('<TiffData IFD="x"/>', None),
        ("<TiffData", None),
    ],
)
def test_entries_of_ome(tmp_path, entries, meaning):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0, :2], photometric="minisblack", description=ome(entries), metadata=None)
    assert first_pages([path]).meaning == meaning


def test_entities_of_xml_are_not_expanded(tmp_path):
    xml = ome("<TiffData/>").replace("<OME", '<!DOCTYPE a [<!ENTITY b "c">]><OME', 1)
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, :2], photometric="minisblack", description=xml, metadata=None)
    assert first_pages([tmp_path / "a.tif"]).meaning is None


def test_the_first_file_that_can_be_read_speaks(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    (tmp_path / "b.png").write_bytes(b"")
    assert first_pages([tmp_path / "a.tif", tmp_path / "b.png", tmp_path / "none.tif"]) is None
    Image.new("P", (4, 4)).save(tmp_path / "c.png")
    assert first_pages([tmp_path / "a.tif", tmp_path / "c.png"]).samples == 3
