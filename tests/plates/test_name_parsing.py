import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.name_parsing import read_names, read_with_pattern
from leigh_mlops.plates.names import compile_pattern


def wells(names, *args):
    return [field and (field.plate, field.row, field.col) for field in read_names(names, *args).fields]


def test_the_preset_that_knows_most_names_is_taken_and_said():
    names = ["r02c03f01p01-ch1sk1fk1fl1.tiff", "r02c04f01p01-ch1sk1fk1fl1.tiff", "B03.tif", "cat.tif"]
    read = read_names(names)
    assert read.preset == "harmony"
    assert read.why == "harmony reads 2 of 4 names, generic 1"
    assert [field is None for field in read.fields] == [False, False, True, True]
    named = read_names(names, "generic")
    assert named.why == "the preset generic was named and reads 1 of 4 names"


def test_an_unknown_preset():
    with pytest.raises(LeighError, match=r"'zen' is not a preset.*ome-zarr"):
        read_names(["B03.tif"], "zen")


def test_a_plate_called_like_a_well_is_known_by_its_neighbours():
    assert wells(["P1_C01.tif"]) == [(None, 16, 1)]  # well P1, channel 1, for all that one name says
    assert wells(["P1_C01.tif", "P1_B03.tif", "P12_F02.tif"]) == [("P1", 3, 1), ("P1", 2, 3), ("P12", 6, 2)]
    assert wells(["B03_C1.tif", "B03_C2.tif", "B04_C1.tif"]) == [(None, 2, 3), (None, 2, 3), (None, 2, 4)]


def scanr(*numbers):
    return [f"--W{number:05d}--P00001--Z00000--T00000--DAPI.tif" for number in numbers]


def test_numbered_wells_stand_on_the_smallest_plate_that_holds_all_of_them():
    assert wells(scanr(13)) == [(None, 2, 1)]
    assert wells(scanr(13, 97)) == [(None, 1, 13), (None, 5, 1)]
    assert wells(scanr(13, 385)) == [(None, 1, 13), (None, 9, 1)]
    assert (
        "row by row on a plate of 384 wells (the smallest that has the largest number, 97)" in read_names(scanr(97)).why
    )


def test_the_size_of_the_plate_can_be_said():
    assert wells(scanr(13), "scanr", 384) == [(None, 1, 13)]
    read = read_names(scanr(13, 97), "scanr", 96)
    assert read.fields[1] is None
    assert read.reasons == {1: "its well is on no plate of 96 wells"}
    assert "96 wells (as requested)" in read.why
    with pytest.raises(LeighError, match="plates of 100 wells are not supported; choose 6, 12, 24, 48, 96, 384, 1536"):
        read_names(scanr(1), "scanr", 100)


def test_a_well_that_is_named_beside_its_number_is_not_counted():
    read = read_names(["B03--W00001--P00001--Z00000--T00000--DAPI.tif"])
    assert (read.fields[0].row, read.fields[0].col) == (2, 3)
    assert "row by row" not in read.why


def test_a_pattern_says_what_it_could_not_read():
    pattern = compile_pattern(r"(?P<well>\w+)-(?P<site>\w+)\.tif")
    read = read_with_pattern(["B03-1.tif", "B03-x.tif", "Q99-1.tif", "B03.tif"], pattern)
    assert [field is not None for field in read.fields] == [True, False, False, False]
    assert "takes for a number what is none" in read.reasons[1]
    assert "no well of a plate" in read.reasons[2]
    assert 3 not in read.reasons
    assert read.why == "the pattern that was given reads 1 of 4 names"


def test_channels_of_one_name_are_told_apart_by_their_wavelength():
    names = [f"C - 07(fld 1 wv UV - {channel} wix {number}).tif" for number, channel in enumerate(("DAPI", "Cy5"))]
    assert [field.channel for field in read_names(names).fields] == ["DAPI", "Cy5"]
    names.append("C - 07(fld 1 wv UV - DAPI wix 2).tif")
    assert [field.channel for field in read_names(names).fields] == ["DAPI wix 0", "Cy5", "DAPI wix 2"]


def test_small_letters_of_fields_and_channels_alone_are_no_wells():
    assert wells(["x_f1_c2.tif", "x_f2_c2.tif"]) == [None, None]
    assert wells(["x_f1_c2.tif", "x_b2_c2.tif"]) == [("x", 6, 1), ("x", 2, 2)]


def test_a_folder_counts_where_a_preset_reads_it():
    names = ["Hoechst - n000004.tif"]
    assert wells(names) == [None]
    read = read_names(names, folders=["Well C007"])
    assert (read.fields[0].row, read.fields[0].col, read.in_folder) == (3, 7, {0})
