import os
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.folder_scan import scan_folder
from leigh_mlops.plates.listing import IMAGE_SUFFIXES, list_images


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def column(scan, name):
    return scan.files[name].tolist()


def test_time_points_and_steps_of_metaxpress_are_neither_class_nor_plate(tmp_path):
    bare = scan_folder(touch(tmp_path / "bare", "run/x_B03_s1_w1.tif"))
    assert column(bare, "condition") == ["run"]
    assert column(bare, "Metadata_Z") == column(bare, "Metadata_Time") == [None]
    steps = touch(tmp_path / "steps", "run9/TimePoint_2/ZStep_3/x_B03_s1_w1.tif", "run9/TimePoint_10/x_B03_s1_w1.tif")
    scan = scan_folder(steps)
    assert column(scan, "condition") == [None, None]
    assert column(scan, "Metadata_Time") == [10, 2]
    assert scan.files["Metadata_Z"].fillna(-1).tolist() == [-1, 3]
    assert set(column(scan, "Metadata_Plate")) == {"x"}
    alone = scan_folder(touch(tmp_path / "run8" / "TimePoint_1", "B03_s1_w1.tif"))
    assert set(column(alone, "Metadata_Plate")) == {"run8"}


def test_a_folder_called_as_the_plate_is_no_class(tmp_path):
    scan = scan_folder(touch(tmp_path, "other/p_B03_T0001F001L01A01Z01C01.tif", "P/p_B03_T0001F002L01A01Z01C01.tif"))
    assert scan.files["condition"].fillna("").tolist() == ["", "other"]


def test_a_user_s_own_pattern_wins(tmp_path):
    touch(tmp_path, "B03_s1.tif", "well=C4 field=7.tif", "nothing.tif")
    assert len(scan_folder(tmp_path).files) == 1
    scan = scan_folder(tmp_path, "generic", pattern=r"well=(?P<well>\w+) field=(?P<site>\d+)\.tif")
    assert (scan.preset, column(scan, "Metadata_Well"), column(scan, "Metadata_Site")) == ("pattern", ["C04"], [7])
    assert scan.why == "the pattern that was given reads 1 of 3 names"
    assert {path.name for path in scan.unmatched} == {"B03_s1.tif", "nothing.tif"}


def test_a_pattern_with_a_slash_reads_the_path_below_the_folder(tmp_path):
    touch(tmp_path, "B03/DAPI/1.tif", "B03/TMRM/1.tif")
    scan = scan_folder(tmp_path, pattern=r"(?P<well>\w+)/(?P<channel>\w+)/(?P<site>\d+)\.tif")
    assert column(scan, "channel") == ["DAPI", "TMRM"]
    with pytest.raises(LeighError, match="matches a known name"):
        scan_folder(tmp_path, pattern=r"(?P<well>\w+)\.tif")


def test_reasons_why_a_file_is_left_out(tmp_path):
    root = touch(tmp_path, "plate_B03_s1_w1.tif", "notes.xml", "plate.HTD", "cat.tif")
    assert scan_folder(root).reasons == {}
    thumb = "plate_B03_s1_w1_thumbB1C2D3E4-0F00-4A11-8B22-333344445555.tif"
    touch(root, thumb, "a|b_B03_s1_w1.tif", "scan.czi", "DC_sCMOS #1_CAM1.tif", "x|y/plate_B03_s2_w1.tif")
    os.mkfifo(root / "plate_B03_s3_w1.tif")
    (root / "plate_B03_s4_w1.tif").symlink_to(root / "nowhere.tif")
    (root / "plate_B03_s5_w1.tif").symlink_to(root / "plate_B03_s5_w1.tif")
    (root / "x.zarr").mkdir()
    scan = scan_folder(root)
    assert len(scan.files) == 1
    said = {path.name: why for path, why in scan.reasons.items()}
    assert {path.name for path in scan.unmatched} == {*said, "cat.tif"}
    assert said[thumb] == "it is a thumbnail, not a field"
    assert (
        said["a|b_B03_s1_w1.tif"] == said["x|y"] == "its name contains |, which separates names in the table; rename it"
    )
    assert said["scan.czi"] == ".czi files cannot be read; export them as TIFF"
    assert "shading image" in said["DC_sCMOS #1_CAM1.tif"]
    assert said["plate_B03_s3_w1.tif"] == "it is not a regular file"
    assert said["plate_B03_s4_w1.tif"] == "it is a link to nothing"
    assert "it cannot be read" in said["plate_B03_s5_w1.tif"]
    assert "OME-Zarr" in said["x.zarr"]


def test_names_that_people_give(tmp_path):
    names = ["Plätte 1_B03_s1.tif", "zwei\nZeilen_B03_s1.tif", "🧫_B03_s1.tif", "a  b_B03_s1.tif"]
    scan = scan_folder(touch(tmp_path, *names))
    assert sorted(column(scan, "name")) == sorted(names)
    assert scan.unmatched == []


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode here")
def test_names_that_are_no_text(tmp_path):
    root = touch(tmp_path, "B03_s1.tif")
    raw = os.fsencode(root) + b"/B03_s2\xff_B03_s2.tif"
    try:
        Path(os.fsdecode(raw)).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    scan = scan_folder(root)
    assert len(scan.files) == 1
    assert list(scan.reasons.values()) == ["its path is not valid UTF-8; rename it"]


def test_a_folder_that_cannot_be_read_is_said_and_ends_nothing(tmp_path, monkeypatch):
    root = touch(tmp_path, "DS/B03_s1.tif", "TT/B04_s1.tif")
    assert len(scan_folder(root).files) == 2
    real = os.scandir

    def refusing(path):
        if os.path.basename(path) == refused:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("leigh_mlops.plates.listing.os.scandir", refusing)
    refused = "TT"
    scan = scan_folder(root)
    assert len(scan.files) == 1
    assert scan.unmatched == [root / "TT"]
    assert scan.reasons[root / "TT"] == "this folder cannot be read (Permission denied)"
    refused = root.name
    with pytest.raises(LeighError, match=r"cannot be read \(Permission denied\); change its permissions"):
        scan_folder(root)


def test_a_class_without_a_known_image_is_said(tmp_path):
    root = touch(tmp_path, "DS/DS001003-1-001001combined.png", "TT/TT001004-1-001001combined.png")
    assert scan_folder(root).empty_folders == []
    (root / "TT/TT001004-1-001001combined.png").rename(root / "TT/one.png")
    (root / "WT").mkdir()
    scan = scan_folder(root)
    assert scan.empty_folders == ["TT", "WT"]
    assert scan.reasons[root / "TT"] == (
        "none of the 1 names in this folder matches leigh_ds_tt, for example 'one.png'"
    )
    assert scan.reasons[root / "WT"] == "this folder holds no image that can be read"


def test_a_class_that_is_empty_in_one_part_of_a_split(tmp_path):
    root = touch(tmp_path, "train/DS/B03_s1.tif", "test/DS/B04_s1.tif", "train/TT/B05_s1.tif", "test/TT/x.tif")
    assert scan_folder(root).empty_folders == ["test/TT"]


def test_plates_in_images_folders_are_no_empty_classes(tmp_path):
    root = touch(tmp_path, "p1/Images/r02c02f01p01-ch1sk1fk1fl1.tiff", "p2/Images/overview.tiff")
    assert scan_folder(root).empty_folders == []


def test_only_files_that_nothing_reads(tmp_path):
    with pytest.raises(LeighError, match=r"'scan.lif' \(.lif files cannot be read; export them as TIFF\)"):
        scan_folder(touch(tmp_path, "scan.lif"))


def test_a_folder_is_listed_once(tmp_path):
    root = touch(tmp_path, "a/1.tif")
    (root / "b").symlink_to(root / "a", target_is_directory=True)
    (root / "a/loop").symlink_to(root, target_is_directory=True)
    assert list_images(root).images == [(str(root / "a"), "1.tif")]


WORDS = st.sampled_from(
    ["B03", "P1", "C01", "s1", "w2", "z3", "DAPI", "plate", "r02c03f01p01-ch1sk1fk1fl1", "ü", " ", "x|y"]
)
NAMES = st.builds(
    lambda folder, words, suffix: "/".join([*folder, "_".join(words) + suffix]),
    st.lists(st.sampled_from(["train", "DS", "TT", "Images", "TimePoint_1", "ZStep_2"]), max_size=2, unique=True),
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from([".tif", ".png", ".C01", ".csv", ".nd2", ".ome.tif"]),
)


@settings(deadline=None, max_examples=60)
@given(names=st.sets(NAMES, max_size=12))
def test_every_image_is_in_the_table_or_unmatched_or_an_error(tmp_path_factory, names):
    root = touch(tmp_path_factory.mktemp("any"), *names)
    images = {root / name for name in names if name.lower().endswith((*IMAGE_SUFFIXES, ".nd2"))}
    try:
        scan = scan_folder(root)
    except LeighError:
        return
    taken = {Path(folder, name) for folder, name in zip(scan.files["folder"], scan.files["name"], strict=True)}
    assert taken.isdisjoint(scan.unmatched)
    assert taken | set(scan.unmatched) == images
    assert set(scan.reasons) <= {*scan.unmatched, *(root / name for name in scan.empty_folders)}


def test_a_message_keeps_to_one_line(tmp_path):
    with pytest.raises(
        LeighError, match=r"none of the 1 image files .*'a\\nb.tif'; each name must contain the well"
    ) as caught:
        scan_folder(touch(tmp_path / "x\ny", "a\nb.tif"))
    assert "\n" not in str(caught.value)


def test_a_date_is_no_class(tmp_path):
    folder = tmp_path / "study" / "2024-01-05" / "1234" / "TimePoint_1"
    folder.mkdir(parents=True)
    scan = scan_folder(touch(folder, "Exp1_B02_s1_w1.tif").parents[2])
    assert scan.files["condition"].isna().all()
    assert scan.files["Metadata_Plate"].tolist() == ["Exp1"]


def test_where_a_plate_map_names_classes_folders_are_plates(tmp_path):
    touch(tmp_path, "left/B02_s1.tif", "right/B02_s1.tif")
    assert scan_folder(tmp_path).files["condition"].tolist() == ["left", "right"]
    of_plates = scan_folder(tmp_path, classes=False).files
    assert of_plates["condition"].isna().all()
    assert of_plates["Metadata_Plate"].tolist() == ["left", "right"]
    named = scan_folder(tmp_path, classes=False, map_classes={"Left"}).files
    assert named["Metadata_Plate"].tolist() == [tmp_path.name, "right"]


@pytest.mark.parametrize(
    "folders", [("P1", "P2"), ("2023-04-05_x", "2023-04-06_x"), ("PlateA", "PlateB"), ("AB00417", "AB00418")]
)
def test_folders_that_may_be_plates_are_no_classes(tmp_path, folders):
    letters = scan_folder(touch(tmp_path / "letters", "DS/B02_s1.tif", "WT/B03_s1.tif"))
    assert letters.files["condition"].tolist() == ["DS", "WT"]
    assert letters.notes == ["the folders DS, WT are taken for classes"]
    scan = scan_folder(touch(tmp_path / "plates", *(f"{folder}/B02_s1.tif" for folder in folders)))
    assert scan.files["condition"].isna().all()
    assert scan.files["Metadata_Plate"].tolist() == list(folders)
    assert scan.notes == [f"the folders {', '.join(folders)} may be plates, and are no class"]


def test_classes_stand_below_plates_or_above(tmp_path):
    for root in ("P{1}/{0}", "{0}/P{1}"):
        names = [root.format(name, plate) + "/B02_s1.tif" for name in ("DS", "WT") for plate in (1, 2)]
        files = scan_folder(touch(tmp_path / root.replace("/", "_"), *names)).files
        assert sorted(files["condition"] + files["Metadata_Plate"]) == ["DSP1", "DSP2", "WTP1", "WTP2"]


def test_two_levels_that_may_both_be_classes_are_asked_for(tmp_path):
    root = touch(tmp_path, "annika/KO/B02_s1.png", "annika/WT/B03_s1.png", "bert/KO/C02_s1.png")
    assert set(scan_folder(root).files["condition"]) == {"annika", "bert"}
    touch(root, "bert/WT/C03_s1.png")
    with pytest.raises(LeighError, match=r"folders KO and WT repeat below annika and bert.* --pattern"):
        scan_folder(root)


def test_files_of_one_name_in_two_plate_folders_stay_two_plates(tmp_path):
    one = scan_folder(touch(tmp_path, "77_Plate_3/TimePoint_1/77_C05_s1_w1.TIF"))
    assert column(one, "Metadata_Plate") == ["77"]
    two = scan_folder(touch(tmp_path, "77_Plate_4/TimePoint_2/77_C05_s1_w1.TIF"))
    assert column(two, "Metadata_Plate") == ["77_Plate_3", "77_Plate_4"]
    assert two.notes[-1] == "files of 2 folders bear the plate name 77 and stay apart as plates 77_Plate_3, 77_Plate_4"


def test_folders_of_one_name_below_others_stay_two_plates(tmp_path):
    scan = scan_folder(touch(tmp_path, "2023-04-05/P1/C05_s1.tif", "2023-04-06/P1/C05_s1.tif"))
    assert column(scan, "Metadata_Plate") == ["2023-04-05_P1", "2023-04-06_P1"]
    scan = scan_folder(touch(tmp_path / "classes", "DS/P1/C05_s1.tif", "WT/P1/C06_s1.tif"))
    assert column(scan, "Metadata_Plate") == ["P1", "P1"]


def test_parts_of_a_split_go_by_their_usual_names(tmp_path):
    for part in ("training", "valid", "test"):
        (tmp_path / part / "DS").mkdir(parents=True)
        touch(tmp_path / part / "DS", f"B0{len(part)}_s1.tif")
    files = scan_folder(tmp_path).files
    assert set(files["split"]) == {"train", "val", "test"}
    assert set(files["condition"]) == {"DS"}


def test_a_name_that_no_preset_knows_is_answered_with_a_pattern(tmp_path):
    with pytest.raises(LeighError, match="no part of this one reads as a well"):
        scan_folder(touch(tmp_path / "none", "DSC_0001.tif"))
    root = touch(tmp_path / "some", "scan(C7) field 2.tif", "scan(D11) field 3.tif")
    with pytest.raises(LeighError, match=r"--pattern .* would read it") as caught:
        scan_folder(root)
    pattern = shlex.split(str(caught.value).partition("--pattern ")[2])[0]
    assert column(scan_folder(root, pattern=pattern), "Metadata_Well") == ["C07", "D11"]


def test_folders_that_tell_wells_or_times_are_neither_class_nor_plate(tmp_path):
    scan = scan_folder(touch(tmp_path / "bd", *(f"P3/Well {well}/DAPI - n000000.tif" for well in ("C007", "C008"))))
    assert column(scan, "Metadata_Plate") == ["P3", "P3"]
    assert scan.files["condition"].isna().all()
    names = [f"{time}/C7_0_0_Fluorescence_405_nm_Ex.bmp" for time in (0, 1)]
    scan = scan_folder(touch(tmp_path / "squid", *names))
    assert column(scan, "Metadata_Plate") == ["squid", "squid"]
    assert column(scan, "Metadata_Time") == [0, 1]
