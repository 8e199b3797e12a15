import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.platemap import join_platemap, read_platemap


def table(*wells, condition=None):
    return pd.DataFrame(
        {
            "Metadata_Plate": "p",
            "Metadata_Well": list(wells),
            "Metadata_Condition": pd.Series([condition] * len(wells), dtype="str"),
        }
    )


def save(tmp_path, text, name="platemap.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_columns_are_named_and_typed(tmp_path):
    text = "well_position\tcondition\tdonor\tmmoles_per_liter\tpert_type\tMetadata_Age\nB3\tNA\t1\t0.5\tnegcon\t7\n"
    platemap = read_platemap(save(tmp_path, text, "map.tsv"))
    assert platemap.to_dict("records") == [
        {
            "Metadata_Well": "B03",
            "Metadata_Condition": "NA",
            "Metadata_Donor": "1",
            "Metadata_mmoles_per_liter": 0.5,
            "Metadata_pert_type": "negcon",
            "Metadata_Age": 7,
        }
    ]


def test_wells_that_do_not_join_are_named(tmp_path):
    platemap = read_platemap(save(tmp_path, "well_position,condition\nB03,DS\nH12,WT\n"))
    joined, unjoined = join_platemap(table("B03", "B03"), platemap)
    assert joined["Metadata_Condition"].tolist() == ["DS", "DS"]
    assert unjoined == []
    joined, unjoined = join_platemap(table("B03", "C04", "C04"), platemap)
    assert joined["Metadata_Condition"].isna().tolist() == [False, True, True]
    assert unjoined == ["p/C04"]


@pytest.mark.parametrize("column", ["plate", "Assay_Plate_Barcode"])
def test_a_map_of_several_plates(tmp_path, column):
    platemap = read_platemap(save(tmp_path, f"{column},well_position,condition\np,B03,DS\nq,B03,WT\n"))
    joined, unjoined = join_platemap(table("B03"), platemap)
    assert joined["Metadata_Condition"].tolist() == ["DS"]
    assert unjoined == []


def test_a_map_of_another_plate_is_refused(tmp_path):
    platemap = read_platemap(save(tmp_path, "plate,well_position,condition\nq,B03,WT\n"))
    with pytest.raises(LeighError, match="no well of the images is in the plate map: it has q/B03, the images have p"):
        join_platemap(table("B03"), platemap)


def test_a_map_that_contradicts_the_folders_is_refused(tmp_path):
    platemap = read_platemap(save(tmp_path, "well_position,condition\nB03,WT\n"))
    assert join_platemap(table("B03", condition="WT"), platemap)[1] == []
    with pytest.raises(LeighError, match="well p/B03 is 'DS' by its images but 'WT' in the plate map"):
        join_platemap(table("B03", condition="DS"), platemap)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place,condition\nB03,DS\n", "has no column well_position but place, condition"),
        ("well_position\nB03\nB3\n", "names well B03 twice"),
        ("well_position\nZZ9\n", "'ZZ9' is no well"),
        ("", "cannot be read"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(LeighError, match=message):
        read_platemap(save(tmp_path, text))


def test_a_map_that_does_not_exist(tmp_path):
    with pytest.raises(LeighError, match="does not exist"):
        read_platemap(tmp_path / "none.csv")


def test_an_empty_map(tmp_path):
    with pytest.raises(LeighError, match="the plate map is empty"):
        join_platemap(table("B03"), read_platemap(save(tmp_path, "well_position,condition\n")))
