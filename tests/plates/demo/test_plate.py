import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from defusedxml import ElementTree

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import assign_split, find_images, probe_position
from leigh_mlops.plates.demo.design import DemoDesign
from leigh_mlops.plates.demo.optics import uneven_illumination
from leigh_mlops.plates.demo.plate import find_twins, flawed_fields, is_demo, write_demo_plate

SMALL = {"wells_per_class": 1, "fields_per_well": 1, "image_size_px": 32}
HARMONY = "{http://www.perkinelmer.com/PEHH/HarmonyV5}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo_plate(
        tmp_path_factory.mktemp("demo") / "plate", wells_per_class=10, fields_per_well=1, image_size_px=48
    )


def pixels(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.tiff"))}


def test_it_is_found_as_a_plate_of_a_microscope(demo):
    found = find_images(demo)
    assert found.channels == ("DAPI", "TMRM")
    assert (found.unmatched, found.unjoined) == ([], [])
    assert set(found.table["Metadata_Plate"]) == {"plate"}
    assert found.table["Metadata_Condition"].value_counts().to_dict() == {"DS": 10, "TT": 10}
    assert probe_position(found.table)["auc"] < 0.7
    for group in ("well", "donor"):
        assert set(assign_split(found.table, group)) == {"train", "val", "test"}


def test_files_are_those_of_an_opera_phenix(demo):
    image = tifffile.imread(demo / "Images" / "r02c02f01p01-ch1sk1fk1fl1.tiff")
    assert (image.shape, image.dtype) == ((48, 48), np.uint16)
    assert 50 < image.min() < image.max() <= 4095
    assert len(list((demo / "Images").glob("*.tiff"))) == 40
    platemap = pd.read_csv(demo / "platemap.csv")
    assert list(platemap) == ["well_position", "condition", "control", "donor", "batch"]
    truth = json.loads((demo / "truth.json").read_text())
    assert truth["seed"] == 0
    assert truth["classes"]["TT"]["tmrm"] < truth["classes"]["DS"]["tmrm"]
    assert truth["flawed_fields"] == []


def test_the_index_lists_every_file(demo):
    root = ElementTree.parse(demo / "Images" / "Index.idx.xml").getroot()
    assert root.tag == f"{HARMONY}EvaluationInputData"
    plate = {part.tag.removeprefix(HARMONY): part.text for part in root.find(f"{HARMONY}Plates/{HARMONY}Plate")}
    assert (plate["PlateID"], plate["Name"], plate["PlateRows"], plate["PlateColumns"]) == ("plate", "plate", "8", "12")
    images = [{part.tag.removeprefix(HARMONY): part for part in image} for image in root.find(f"{HARMONY}Images")]
    assert {image["URL"].text for image in images} == {path.name for path in (demo / "Images").glob("*.tiff")}
    last = {name: images[-1][name].text for name in ("Row", "Col", "FieldID", "PlaneID", "TimepointID", "ChannelID")}
    assert images[-1]["URL"].text == f"r{int(last['Row']):02d}c{int(last['Col']):02d}f01p01-ch2sk1fk1fl1.tiff"
    assert (last["FieldID"], last["PlaneID"], last["TimepointID"], last["ChannelID"]) == ("1", "1", "1", "2")
    assert [image["ChannelName"].text for image in images[:2]] == ["DAPI", "TMRM"]
    resolution = images[0]["ImageResolutionX"]
    assert resolution.get("Unit") == "m"
    assert float(resolution.text) * 48 == pytest.approx(205e-6)
    listed = root.findall(f"{HARMONY}Wells/{HARMONY}Well/{HARMONY}Image")
    assert {image.get("id") for image in listed} == {image["id"].text for image in images}


def test_twins_lie_where_nobody_takes_them_for_data(tmp_path):
    plain = write_demo_plate(tmp_path / "plain", **SMALL)
    assert find_twins(plain) == {}
    demo = write_demo_plate(tmp_path / "demo", twins=True, classes=("WT", "DS"), saturated=0.5, **SMALL)
    assert len(find_images(demo).table) == 2
    twins = find_twins(demo)
    assert set(twins) == {"WT", "DS"}
    own = {"WT": "Images/r02c02f01p01", "DS": "Images/r02c03f01p01"}
    images = pixels(demo / "Images")
    for name, folder in twins.items():
        seen = pixels(folder)
        assert set(seen) == {f"Images/{image}" for image in images}
        for path, content in seen.items():
            same = content == (demo / path).read_bytes()
            assert same == (path.startswith(own[name]) or "-ch1" in path)


def test_twins_change_nothing_in_the_images(tmp_path):
    plates = [write_demo_plate(tmp_path / str(twins), twins=twins, **SMALL) for twins in (False, True)]
    assert pixels(plates[0] / "Images") == pixels(plates[1] / "Images")


def test_several_plates_are_found_with_their_plate_map(tmp_path):
    demo = write_demo_plate(tmp_path / "demo", plates=2, twins=True, **SMALL)
    found = find_images(demo)
    assert set(found.table["Metadata_Plate"]) == {"plate1", "plate2"}
    assert (found.unmatched, found.unjoined) == ([], [])
    assert found.table["Metadata_Condition"].notna().all()
    first, second = (pixels(demo / name / "Images") for name in ("plate1", "plate2"))
    assert set(first) == set(second)
    assert all(first[name] != second[name] for name in first)
    assert (find_twins(demo)["TT"] / "plate2" / "Images" / "r02c02f01p01-ch2sk1fk1fl1.tiff").is_file()


def test_flawed_fields_are_told(tmp_path):
    demo = write_demo_plate(tmp_path / "demo", **SMALL | {"wells_per_class": 6}, empty=0.25)
    flawed = flawed_fields(demo)
    assert set(flawed["flaw"]) == {"empty"}
    table = find_images(demo).table
    key = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    empty = table.merge(flawed, on=key, how="left")["flaw"].notna()
    assert empty.sum() == 3
    peaks = [tifffile.imread(f"{row.PathName_DAPI}/{row.FileName_DAPI}").max() for row in table.itertuples()]
    assert np.max(np.array(peaks)[empty]) < np.min(np.array(peaks)[~empty])
    with pytest.raises(LeighError, match="is not a demo plate"):
        flawed_fields(tmp_path)


def test_the_illumination_is_written_when_asked_for(tmp_path):
    plain = write_demo_plate(tmp_path / "plain", **SMALL)
    assert not (plain / "Illumination").exists()
    demo = write_demo_plate(tmp_path / "demo", illumination_images=True, illumination=0.6, **SMALL)
    for channel in ("DAPI", "TMRM"):
        image = np.load(demo / "Illumination" / f"Illum{channel}.npy", allow_pickle=False)
        assert np.array_equal(image, uneven_illumination(32, 0.6))


def test_the_same_seed_draws_the_same_plate(tmp_path):
    plates = [write_demo_plate(tmp_path / str(i), seed=seed, **SMALL) for i, seed in enumerate([3, 3, 4])]
    first, same, other = (pixels(plate / "Images") for plate in plates)
    assert first == same
    assert first != other


def test_workers_draw_the_same_plate_and_tell_each_field(tmp_path):
    many = SMALL | {"wells_per_class": 4}
    told = []
    one = write_demo_plate(tmp_path / "one", DemoDesign(**many), workers=1, progress=lambda: told.append(1))
    assert len(told) == 8
    three = write_demo_plate(tmp_path / "three", workers=3, progress=lambda: told.append(1), **many)
    assert len(told) == 16
    assert pixels(one / "Images") == pixels(three / "Images")


def test_only_its_own_folder_is_replaced(tmp_path):
    write_demo_plate(tmp_path / "demo", twins=True, **SMALL)
    write_demo_plate(tmp_path / "demo", classes=("WT",), **SMALL)
    assert len(list((tmp_path / "demo" / "Images").glob("*.tiff"))) == 2
    assert find_twins(tmp_path / "demo") == {}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(LeighError, match="exists and is not a demo plate"):
        write_demo_plate(tmp_path / "mine", **SMALL)
    assert not is_demo(tmp_path / "mine")
    assert {path.name for path in tmp_path.iterdir()} == {"demo", "mine"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plate_that_is_stopped_leaves_nothing(tmp_path, workers):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_demo_plate(tmp_path / "demo", workers=workers, progress=stop, **SMALL)
    assert list(tmp_path.iterdir()) == []
