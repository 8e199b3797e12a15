import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.find_images import find_images


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
    (root / "DS/DS009005-1-001001combined.png").symlink_to(root / "DS/DS009005-1-001001combined.png")
    found = find_images(root)
    assert (len(found.table), [path.name for path in found.unmatched]) == (9, ["DS009005-1-001001combined.png"])


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
    with pytest.raises(LeighError, match="/B03 is in two classes, DS and TT"):
        find_images(tmp_path)


def test_a_name_that_contradicts_its_folder(tmp_path):
    root = touch(class_folders(tmp_path), "DS/TT009004-1-001001combined.png")
    with pytest.raises(LeighError, match=r"TT009004.*has class 'TT' in its name but is in the folder of 'DS'"):
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


@pytest.mark.skipif("LEIGH_DATA" not in os.environ, reason="LEIGH_DATA names no folder of real plates")
@pytest.mark.parametrize(("plate", "fields", "wells"), [("leigh_ds_tt", 1260, 252), ("leigh_ds_wt", 360, 30)])
def test_real_plates(plate, fields, wells):
    found = find_images(Path(os.environ["LEIGH_DATA"]) / plate)
    assert (found.preset, found.unmatched) == (plate, [])
    assert len(found.table) == fields
    assert found.table["Metadata_Well"].nunique() == wells


def steps(root: Path, *, planes=(1, 2, 3), channels=(1, 2)) -> Path:
    return touch(root, *(f"Images/r02c02f01p{z:02d}-ch{n}sk1fk1fl1.tiff" for z in planes for n in channels))


def test_planes_are_projected(tmp_path):
    one = find_images(steps(tmp_path / "one", planes=(2,)))
    assert one.table["Metadata_Z"].tolist() == [2]
    assert "projected" not in one.why
    many = find_images(steps(tmp_path / "many"))
    assert len(many.table) == 1
    assert "Metadata_Z" not in many.table
    assert many.table.loc[0, "FileName_TMRM"] == "|".join(f"r02c02f01p{z:02d}-ch2sk1fk1fl1.tiff" for z in (1, 2, 3))
    assert many.table.loc[0, "PathName_TMRM"] == str(tmp_path / "many" / "Images")
    assert "; 3 planes of each field are projected to their maximum; " in many.why


def test_one_plane_is_kept(tmp_path):
    found = find_images(steps(tmp_path), z=2)
    assert found.table["Metadata_Z"].tolist() == [2]
    assert found.table.loc[0, "FileName_DAPI"] == "r02c02f01p02-ch1sk1fk1fl1.tiff"
    assert "; plane 2 is kept, 1, 3 left out; " in found.why
    with pytest.raises(LeighError, match=r"no file has plane 4; choose from 1, 2, 3, or max"):
        find_images(tmp_path, z=4)
    with pytest.raises(LeighError, match="no file has plane 1; the files have no plane numbers"):
        find_images(touch(tmp_path / "flat", "B03_s1_w1.tif"), z=1)


def test_each_channel_may_have_a_plane_of_its_own(tmp_path):
    names = ["r02c02f01p01-ch1sk1fk1fl1.tiff", "r02c02f01p05-ch2sk1fk1fl1.tiff"]
    table = find_images(touch(tmp_path, *names)).table
    assert table[["FileName_DAPI", "FileName_TMRM"]].to_numpy().tolist() == [names]


def test_planes_in_folders_of_their_own(tmp_path):
    root = touch(tmp_path, *(f"run/TimePoint_1/ZStep_{z}/B03_s1_w{w}.tif" for z in (1, 2, 10) for w in (1, 2)))
    found = find_images(root)
    assert found.table.loc[0, "PathName_DAPI"] == str(root / "run/TimePoint_1")
    assert found.table.loc[0, "FileName_DAPI"] == "|".join(f"ZStep_{z}/B03_s1_w1.tif" for z in (1, 2, 10))
    assert found.table["Metadata_Time"].tolist() == [1]


def test_a_file_without_a_plane_among_planes(tmp_path):
    found = find_images(touch(tmp_path, "B03_s1_z1_w1.tif", "B03_s1_z2_w1.tif", "B03_s1_w1.tif"))
    assert found.table["FileName_ch1"].tolist() == ["B03_s1_z1_w1.tif|B03_s1_z2_w1.tif"]
    assert found.reasons == {tmp_path / "B03_s1_w1.tif": "a file without a plane among planes of its channel"}
    assert found.unmatched == [tmp_path / "B03_s1_w1.tif"]


def test_two_files_for_one_plane(tmp_path):
    root = steps(tmp_path)
    touch(root, "Images/r02c02f01p01-ch1sk1fk1fl1.tif")
    with pytest.raises(LeighError, match="are the same channel of the same field"):
        find_images(root)


def test_a_file_of_a_field_among_files_of_channels(tmp_path):
    found = find_images(touch(tmp_path, "B03_s1_w1.tif", "B03_s1_w2.tif", "B03_s1.tif"))
    assert found.unmatched == [tmp_path / "B03_s1.tif"]
    assert "single channels" in found.reasons[tmp_path / "B03_s1.tif"]


def write(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return path.parent


STACK = np.zeros((2, 3, 8, 8), np.uint16)


def test_pages_are_channels_and_planes_where_the_file_says_so(tmp_path):
    for site in (1, 2):
        write(tmp_path / f"B03_s{site}.tif", STACK, imagej=True, metadata={"axes": "ZCYX"})
    found = find_images(tmp_path)
    assert found.channels == ("ch1", "ch2", "ch3")
    assert found.table["FileName_ch2"].tolist() == ["B03_s1.tif", "B03_s2.tif"]
    assert found.table["Frame_ch2"].tolist() == ["1|4", "1|4"]
    assert "2 planes of each field are projected" in found.why
    kept = find_images(tmp_path, z=2, channels={"TMRM": 3})
    assert kept.channels == ("TMRM",)
    assert kept.table["Frame_TMRM"].tolist() == ["5", "5"]
    assert kept.table["Metadata_Z"].tolist() == [2, 2]


def test_pages_of_time_are_rows_where_they_are_wanted(tmp_path):
    write(tmp_path / "B03_s1.tif", STACK, imagej=True, metadata={"axes": "TCYX"})
    found = find_images(tmp_path)
    assert found.table["Frame_ch1"].tolist() == ["0"]
    assert found.notes == ["of the time points 1, 2, 1 is kept; choose another or all with --time"]
    assert find_images(tmp_path, time=2).table["Frame_ch1"].tolist() == ["3"]
    table = find_images(tmp_path, time="all").table
    assert table["Metadata_Time"].tolist() == [1, 2]
    assert table["Frame_ch1"].tolist() == ["0", "3"]


def test_channels_of_ome_keep_their_names(tmp_path):
    metadata = {"axes": "CYX", "Channel": {"Name": ["HOECHST 33342", "TMRM"]}}
    write(tmp_path / "B03_s1.ome.tif", STACK[:, 0], metadata=metadata)
    assert find_images(tmp_path).channels == ("HOECHST 33342", "TMRM")
    found = find_images(tmp_path, channels={"DAPI": "HOECHST 33342", "mito": 2})
    assert found.table[["Frame_DAPI", "Frame_mito"]].to_numpy().tolist() == [["0", "1"]]


def test_pages_of_unknown_meaning_are_channels_only_where_they_are_named(tmp_path):
    write(tmp_path / "B03_s1.tif", STACK[0], metadata=None)
    with pytest.raises(LeighError, match=r"holds 3 pages .*name the channels by their page numbers \(DAPI=1"):
        find_images(tmp_path)
    found = find_images(tmp_path, channels={"TMRM": 3, "DAPI": 1})
    assert found.table[["Frame_TMRM", "Frame_DAPI"]].to_numpy().tolist() == [["2", "0"]]
    with pytest.raises(LeighError, match=r"no file has channel DAPI \(4\); the files have 1, 2, 3"):
        find_images(tmp_path, channels={"DAPI": 4})


def test_pages_of_a_file_whose_name_says_a_channel(tmp_path):
    for channel in (1, 2):
        write(tmp_path / f"z/B03_s1_w{channel}.tif", STACK[0], imagej=True, metadata={"axes": "ZYX"})
        write(tmp_path / f"c/B03_s1_w{channel}.tif", STACK[0], imagej=True, metadata={"axes": "CYX"})
    table = find_images(tmp_path / "z").table
    assert table[["FileName_TMRM", "Frame_TMRM"]].to_numpy().tolist() == [["B03_s1_w2.tif", "0|1|2"]]
    with pytest.raises(LeighError, match=r"holds 3 pages .* its name gives one channel; export one page per file"):
        find_images(tmp_path / "c")


def test_planes_counted_twice(tmp_path):
    for z in (1, 2):
        write(tmp_path / f"B03_s1_z{z}_w1.tif", STACK[0], imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(LeighError, match="holds pages of several z, and the file names number z, too"):
        find_images(tmp_path)


def test_pages_of_colours(tmp_path):
    tifffile.imwrite(tmp_path / "B03_s1.tif", np.zeros((2, 8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(LeighError, match="pages"):
        find_images(tmp_path)


def test_planes_of_a_colour_file_are_picked_and_all_are_counted(tmp_path):
    root = class_folders(tmp_path / "study")
    found = find_images(root, channels={"mito": 2, "DAPI": "DAPI"})
    assert found.channels == ("mito", "DAPI")
    names = [name for name in found.table if name.startswith("FileName_")]
    assert names == ["FileName_mito", "FileName_DAPI"]
    assert set(found.table["Sample_mito"]) == {"2/3"}
    assert set(found.table["Sample_DAPI"]) == {"1/3"}
    swapped = find_images(root, channels={"TMRM": 1})
    assert [name for name in swapped.table if name.startswith(("FileName_", "Sample_"))] == [
        "FileName_TMRM",
        "Sample_TMRM",
    ]
    assert not [name for name in find_images(root).table if name.startswith("Sample_")]
    with pytest.raises(LeighError, match=r"no file has channel x \(4\); the files have 1 DAPI, 2 TMRM, 3 DAPI\+TMRM"):
        find_images(root, channels={"x": 4})


def test_a_channel_is_named_once(tmp_path):
    with pytest.raises(LeighError, match="two of the channels a, b are the same"):
        find_images(harmony(tmp_path), channels={"a": 1, "b": 1})


def test_illumination(tmp_path):
    root = harmony(tmp_path / "p1")
    flat = touch(tmp_path / "flat", "IllumDAPI.npy", "p1_IllumMito.npy")
    assert not [name for name in find_images(root).table if name.startswith("Illumination_")]
    table = find_images(root, illumination=flat, channels={"Mito": 2, "DAPI": 1}).table
    assert set(table["Illumination_DAPI"]) == {str(flat / "IllumDAPI.npy")}
    assert set(table["Illumination_Mito"]) == {str(flat / "p1_IllumMito.npy")}


def test_wells_of_the_map_without_an_image(tmp_path):
    root = harmony(tmp_path / "p1")
    (root / "platemap.csv").write_text("well_position,condition\nB02,DS\nB03,DS\nC02,WT\nC03,WT\n")
    assert find_images(root).unused == []
    (root / "platemap.csv").write_text("well_position,condition\nB02,DS\nB03,DS\nH12,WT\n")
    assert find_images(root).unused == ["H12"]
    (root / "platemap.csv").write_text("plate,well_position,condition\np1,B02,DS\np1,H12,WT\n")
    assert find_images(root).unused == ["p1/H12"]


def test_what_is_said_of_a_folder(tmp_path):
    root = touch(class_folders(tmp_path / "study"), "WT/x.png")
    found = find_images(root)
    assert found.why == "leigh_ds_tt reads 8 of 9 names"
    assert found.empty_folders == ["WT"]
    assert (root / "WT") in found.reasons
