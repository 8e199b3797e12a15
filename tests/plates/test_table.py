import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.table import find_images, read_table, write_table


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def class_folders(root: Path, above: str = "") -> Path:
    return touch(
        root,
        *(f"{above}DS/DS00{row}003-{site}-001001combined.png" for row in (2, 1) for site in (2, 1)),
        *(f"{above}TT/TT00{row}004-{site}-001001combined.png" for row in (1, 2) for site in (1, 2)),
    )


def harmony(root: Path, *, channels=(1, 2), folder="Images/") -> Path:
    wells = [(row, col) for row in (2, 3) for col in (2, 3)]
    return touch(root, *(f"{folder}r{r:02d}c{c:02d}f01p01-ch{n}sk1fk1fl1.tiff" for r, c in wells for n in channels))


def test_class_folders(tmp_path):
    found = find_images(class_folders(tmp_path / "study"))
    table = found.table
    assert found.preset == "leigh_ds_tt"
    assert found.channels == ("DAPI", "TMRM", "DAPI+TMRM")
    assert found.unmatched == []
    assert list(table.index) == list(range(8))
    assert list(table["Metadata_Well"]) == sorted(table["Metadata_Well"])
    assert set(table["Metadata_Plate"]) == {"study"}
    assert "Metadata_Split" not in table
    first = table.iloc[0]
    assert (first["Metadata_Well"], first["Metadata_Site"], first["Metadata_Condition"]) == ("A03", 1, "DS")
    assert (first["Metadata_Row"], first["Metadata_Col"]) == (1, 3)
    assert first["FileName_DAPI"] == first["FileName_DAPI+TMRM"] == "DS001003-1-001001combined.png"
    assert Path(first["PathName_TMRM"]) == tmp_path / "study" / "DS"


def test_train_and_test_folders_give_the_split_and_never_the_plate(tmp_path):
    root = touch(
        tmp_path / "study" / "test",  # called with the part itself, the plate is still the study
        "Train/DS/DS001003-1-001001combined.png",
        "val/DS/DS002003-1-001001combined.png",
    )
    table = find_images(root).table
    assert list(table["Metadata_Split"]) == ["train", "val"]
    assert set(table["Metadata_Plate"]) == {"study"}
    assert set(find_images(root / "Train" / "DS").table["Metadata_Plate"]) == {"study"}


@pytest.mark.parametrize("folder", ["Images/", ""])
def test_a_plate_as_the_microscope_writes_it(tmp_path, folder):
    root = harmony(tmp_path / "plate9", folder=folder)
    (root / "platemap.csv").write_text("well_position,condition,donor\nB02,DS,1\nB3,WT,2\nC02,DS,1\n")
    found = find_images(root)
    assert found.channels == ("DAPI", "TMRM")
    assert found.unjoined == ["plate9/C03"]
    assert set(found.table["Metadata_Plate"]) == {"plate9"}
    assert found.table["Metadata_Condition"].tolist()[:3] == ["DS", "WT", "DS"]
    assert found.table["Metadata_Condition"].isna().tolist() == [False, False, False, True]
    assert found.table["Metadata_Donor"].tolist()[:2] == ["1", "2"]
    assert found.table.loc[1, "FileName_TMRM"] == "r02c03f01p01-ch2sk1fk1fl1.tiff"
    inside = root / folder
    assert find_images(inside).unjoined == found.unjoined  # the map lies one folder up


def test_several_plates_below_one_folder(tmp_path):
    harmony(tmp_path / "p1")
    harmony(tmp_path / "p2")
    assert find_images(tmp_path).table["Metadata_Plate"].value_counts().to_dict() == {"p1": 4, "p2": 4}


def test_channel_names(tmp_path):
    root = harmony(tmp_path, channels=(1, 2, 10))
    assert find_images(root).channels == ("ch1", "ch2", "ch10")
    found = find_images(root, channels={"TMRM": 10, "DAPI": 1})
    assert found.channels == ("TMRM", "DAPI")
    assert found.table.loc[0, "FileName_TMRM"] == "r02c02f01p01-ch10sk1fk1fl1.tiff"
    with pytest.raises(LeighError, match=r"no file has channel DAPI \(3\); the files have 1, 2, 10"):
        find_images(root, channels={"DAPI": 3})


def test_a_field_that_lacks_a_channel_is_kept(tmp_path):
    root = harmony(tmp_path)
    assert not find_images(root).table["FileName_TMRM"].isna().any()
    (root / "Images/r02c03f01p01-ch2sk1fk1fl1.tiff").unlink()
    table = find_images(root).table
    assert len(table) == 4
    assert table["FileName_TMRM"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("name", "pixels", "channels"),
    [
        ("DS/B03_s1.png", np.zeros((4, 4, 3), np.uint8), ("R", "G", "B")),
        ("DS/B03_s1.png", np.zeros((4, 4), np.uint8), ("Grey",)),
        ("DS/B03_s1.tif", np.zeros((4, 4, 3), np.uint8), ("R", "G", "B")),
        ("DS/B03_s1.tif", np.zeros((4, 4), np.uint16), ("Grey",)),
    ],
)
def test_unknown_images_in_class_folders_are_named_by_their_planes(tmp_path, name, pixels, channels):
    (tmp_path / "DS").mkdir()
    path = tmp_path / name
    tifffile.imwrite(path, pixels) if path.suffix == ".tif" else Image.fromarray(pixels).save(path)
    assert find_images(tmp_path).channels == channels


def test_one_broken_file_does_not_hide_the_others(tmp_path):
    touch(tmp_path, "DS/B03_s1.png")
    with pytest.raises(LeighError, match="cannot be read as images"):
        find_images(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "DS/B03_s2.png")
    found = find_images(tmp_path)
    assert found.channels == ("R", "G", "B")
    assert len(found.table) == 2


def test_links_are_followed_and_hidden_files_are_not(tmp_path):
    real = touch(tmp_path / "elsewhere", "a.png") / "a.png"
    root = class_folders(tmp_path / "study")
    touch(root, "DS/.DS009003-1-001001combined.png", "DS/notes.txt", ".cache/DS009003-1-001001combined.png")
    assert len(find_images(root).table) == 8
    (root / "DS/DS009003-1-001001combined.png").symlink_to(real)
    (root / "DS/loop").symlink_to(root, target_is_directory=True)
    assert len(find_images(root).table) == 9


def test_unmatched_images_are_listed(tmp_path):
    root = touch(class_folders(tmp_path), "DS/overview.png", "preview.jpg")
    assert [path.name for path in find_images(root).unmatched] == ["preview.jpg", "overview.png"]


def test_two_files_for_one_channel(tmp_path):
    root = class_folders(tmp_path)
    assert len(find_images(root).table) == 8
    touch(root, "DS/DS001003-1-001001combined.tif")
    with pytest.raises(LeighError, match=r"combined\.png and .*combined\.tif are the same channel .*A03, field 1"):
        find_images(root)


def test_a_well_in_two_classes(tmp_path):
    Image.new("L", (4, 4)).save(touch(tmp_path, "DS/B03_s1.png", "TT/B03_s2.png") / "DS/B03_s1.png")
    with pytest.raises(LeighError, match="/B03 stands in two classes, DS and TT"):
        find_images(tmp_path)


def test_a_name_that_contradicts_its_folder(tmp_path):
    root = touch(class_folders(tmp_path), "DS/TT009004-1-001001combined.png")
    with pytest.raises(LeighError, match=r"TT009004.*says class 'TT' in its name but lies in the folder of 'DS'"):
        find_images(root)


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(LeighError, match="nowhere does not exist; name a folder"):
        find_images(tmp_path / "nowhere")


def test_a_folder_without_images(tmp_path):
    with pytest.raises(LeighError, match="holds no image files"):
        find_images(touch(tmp_path, "notes.txt"))


def test_a_folder_of_unknown_names(tmp_path):
    with pytest.raises(LeighError, match=r"none of the 2 image files .* 'cat\.png'.*harmony"):
        find_images(touch(tmp_path, "cat.png", "dog.png"))


def test_a_file_that_is_no_table(tmp_path):
    with pytest.raises(LeighError, match="neither a folder nor a table"):
        find_images(touch(tmp_path, "a.txt") / "a.txt")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_tables_round_trip(tmp_path, suffix):
    table = find_images(class_folders(tmp_path / "007")).table
    # Names that a reader of CSV likes to turn into numbers and gaps.
    table["Metadata_Condition"] = table["Metadata_Condition"].replace({"DS": "NA"})
    table.loc[3, "FileName_TMRM"] = None
    path = tmp_path / f"new/table{suffix}"
    write_table(table, path)
    found = find_images(path)
    pd.testing.assert_frame_equal(found.table, table)
    assert found.channels == ("DAPI", "TMRM", "DAPI+TMRM")
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_table_is_sorted_and_its_wells_are_placed(tmp_path):
    table = find_images(class_folders(tmp_path / "study")).table
    bare = table.drop(columns=["Metadata_Row", "Metadata_Col"]).iloc[::-1]
    bare["Metadata_Well"] = bare["Metadata_Well"].str.replace("0", "")
    write_table(bare, tmp_path / "t.csv")
    read = read_table(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read[table.columns], table)


def test_a_table_that_lacks_columns(tmp_path):
    (tmp_path / "t.csv").write_text("Metadata_Plate,FileName_DAPI\np,a.png\n")
    with pytest.raises(LeighError, match="lacks the columns Metadata_Site, Metadata_Well, PathName_DAPI"):
        find_images(tmp_path / "t.csv")


def test_a_table_with_a_field_twice(tmp_path):
    table = find_images(class_folders(tmp_path / "study")).table
    write_table(pd.concat([table, table.head(1)]), tmp_path / "t.csv")
    with pytest.raises(LeighError, match=r"two rows for one field .study/A03, field 1"):
        read_table(tmp_path / "t.csv")


def test_a_broken_table(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(LeighError, match="cannot be read as a table"):
        find_images(tmp_path / "t.parquet")
    with pytest.raises(LeighError, match=r"end it in \.parquet or \.csv"):
        write_table(pd.DataFrame(), tmp_path / "t.xlsx")


def test_fifty_thousand_names_take_seconds(tmp_path, monkeypatch):
    names = [f"r{r:02d}c{c:02d}f{f:02d}p01-ch{n}sk1fk1fl1.tiff" for r in range(1, 17) for c in range(1, 25)
             for f in range(1, 67) for n in (1, 2)]  # fmt: skip
    monkeypatch.setattr("leigh_mlops.plates.files.os.walk", lambda *_, **__: [(str(tmp_path), [], names)])
    started = time.monotonic()
    assert len(find_images(tmp_path).table) == len(names) // 2 == 25_344
    assert time.monotonic() - started < 20


@pytest.mark.skipif("LEIGH_DATA" not in os.environ, reason="LEIGH_DATA names no folder of real plates")
@pytest.mark.parametrize(("plate", "fields", "wells"), [("leigh_ds_tt", 1260, 252), ("leigh_ds_wt", 360, 30)])
def test_real_plates(plate, fields, wells):
    found = find_images(Path(os.environ["LEIGH_DATA"]) / plate)
    assert (found.preset, found.unmatched) == (plate, [])
    assert len(found.table) == fields
    assert found.table["Metadata_Well"].nunique() == wells
