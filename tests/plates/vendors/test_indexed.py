from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.find_images import find_images
from leigh_mlops.plates.vendors import indexed


def listed(folder: Path, names: dict[str, str], *, preset="harmony", **more) -> SimpleNamespace:
    """An index that lists files (name to channel) of well B03."""
    key = {"Metadata_Plate": "P", "Metadata_Well": "B03", "Metadata_Z": None, "Metadata_Time": None}
    about = {"Metadata_Row": 2, "Metadata_Col": 3, "condition": None, "split": None, "Metadata_PixelSize_um": 0.6}
    rows = [
        key | about | {"Metadata_Site": 1, "channel": channel, "folder": str(folder), "name": name, "frame": None}
        for name, channel in names.items()
    ]
    values = {"channel_names": {}, "why": "Index.idx.xml lists images", "absent": [], "reasons": {}, "notes": []}
    return SimpleNamespace(files=pd.DataFrame(rows), preset=preset, source=folder / "Index.idx.xml", **(values | more))


@pytest.fixture
def index(monkeypatch):
    """What the microscope's index and OME-Zarr say; nothing until a test sets it."""
    said = SimpleNamespace(vendor=None, zarr=None)
    monkeypatch.setattr(indexed, "read_index", lambda root, preset="auto": said.vendor)
    monkeypatch.setattr(indexed, "read_zarr_plates", lambda root: said.zarr)
    return said


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).touch()
    return root


def test_an_index_counts_before_names(tmp_path, index):
    root = touch(tmp_path, "r02c03f01p01-ch1sk1fk1fl1.tiff", "r02c03f01p01-ch2sk1fk1fl1.tiff", "a.tiff", "b.tiff")
    assert find_images(root).why.startswith("harmony reads 2 of 4 names")
    index.vendor = listed(root, {"a.tiff": "1", "b.tiff": "2"}, channel_names={"1": "HOECHST 33342", "2": "TMRM"})
    found = find_images(root)
    assert (found.preset, found.why) == ("harmony", "Index.idx.xml lists images")
    assert found.channels == ("HOECHST 33342", "TMRM")
    assert found.table["FileName_TMRM"].tolist() == ["b.tiff"]
    assert found.table["Metadata_PixelSize_um"].tolist() == [0.6]
    assert "Frame_TMRM" not in found.table
    assert {path.name for path in found.unmatched} == {
        "r02c03f01p01-ch1sk1fk1fl1.tiff",
        "r02c03f01p01-ch2sk1fk1fl1.tiff",
    }
    assert set(found.reasons.values()) == {"not in Index.idx.xml"}
    assert find_images(root, channels={"DAPI": "HOECHST 33342"}).channels == ("DAPI",)


def test_a_pattern_and_a_named_preset_count_before_an_index(tmp_path, index):
    root = touch(tmp_path, "B03_s1.tif", "a.tif")
    index.vendor = index.zarr = listed(root, {"a.tif": "1"})
    assert find_images(root).preset == "harmony"
    assert find_images(root, pattern=r"(?P<well>B03)_(?P<channel>s1)\.tif").preset == "pattern"
    assert find_images(touch(root, "B03_s1_w1.tif"), preset="imagexpress").preset == "imagexpress"


def test_channels_of_an_index_without_names(tmp_path, index):
    root = touch(tmp_path, "a.tif", "b.tif")
    index.vendor = listed(root, {"a.tif": "1", "b.tif": "2"})
    assert find_images(root).channels == ("DAPI", "TMRM")
    index.vendor = listed(root, {"a.tif": "1", "b.tif": "2"}, channel_names={"1": "X", "2": "X"})
    assert find_images(root).channels == ("X", "X (ch2)")


def test_what_an_index_refused_and_what_is_absent(tmp_path, index):
    root = touch(tmp_path, "a.tif", "c.tif", "x|y.tif")
    index.vendor = listed(
        root,
        {"a.tif": "1", "b.tif": "2", "x|y.tif": "3"},
        absent=[root / "b.tif"],
        reasons={root / "c.tif": "an error"},
    )
    found = find_images(root)
    assert found.absent == [root / "b.tif"]
    assert found.table["FileName_TMRM"].tolist() == ["b.tif"]
    assert {path.name: found.reasons[path] for path in found.unmatched} == {
        "c.tif": "an error",
        "x|y.tif": "its name holds a |, which parts names in the table; rename it",
    }


def test_a_zarr_plate_is_taken_where_no_index_is(tmp_path, index):
    root = touch(tmp_path, "B03_s1_w1.tif")
    (root / "p.zarr" / "B").mkdir(parents=True)
    with pytest.raises(LeighError, match="holds no OME-Zarr plate; name the folder of one"):
        find_images(root, preset="ome-zarr")
    index.zarr = listed(root / "p.zarr/B/3/0", {"0": "1"}, preset="ome-zarr")
    index.zarr.files["frame"] = 4
    found = find_images(root)
    assert found.preset == "ome-zarr"
    assert found.table[["FileName_ch1", "Frame_ch1"]].to_numpy().tolist() == [["0", "4"]]
    assert found.reasons == {root / "B03_s1_w1.tif": "it is not part of an OME-Zarr plate"}
    assert find_images(root, preset="generic").reasons[root / "p.zarr"].startswith("it is an OME-Zarr plate")
