from pathlib import Path

import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.find_images import find_images
from leigh_mlops.plates.table import read_table, write_table


def class_folders(root: Path) -> Path:
    for name in ("DS", "TT"):
        (root / name).mkdir(parents=True)
        for row in (1, 2):
            for site in (1, 2):
                (root / name / f"{name}00{row}003-{site}-001001combined.png".replace("TT00", "TT01")).touch()
    return root


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(LeighError, match="neither a folder nor a table"):
        find_images(tmp_path / "a.txt")


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


@pytest.mark.parametrize(("column", "value", "said"), [
    ("Metadata_Plate", None, "has rows without Metadata_Plate; name the plate"),
    ("Metadata_Split", "valid\n", r"has 'valid.*n' in Metadata_Split; write train, val, test, or leave it out"),
    ("Metadata_Split", 1, "has '1' in Metadata_Split"),
    ("Frame_DAPI", "|".join(["0"] * 100_000), "has a field of 100000 planes in Frame_DAPI, more than 2000"),
    ("FileName_DAPI", "|".join(["a.png"] * 2001), "has a field of 2001 planes in FileName_DAPI"),
])  # fmt: skip
def test_values_with_which_nothing_could_begin(tmp_path, column, value, said):
    table = find_images(class_folders(tmp_path / "study")).table
    write_table(table.assign(Metadata_Split="val"), tmp_path / "t.parquet")
    assert len(read_table(tmp_path / "t.parquet")) == len(table)
    write_table(table.assign(**{column: value}), tmp_path / "t.parquet")
    with pytest.raises(LeighError, match=said):
        read_table(tmp_path / "t.parquet")


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


def test_frames_illumination_and_flags_stay_text(tmp_path):
    table = find_images(class_folders(tmp_path / "study")).table
    table["Frame_DAPI"] = ["0|1", "1", None, "0", "0", "0", "0", "0"]
    table["Frame_TMRM"] = "0"
    table["Illumination_DAPI"] = "/flat/1.npy"
    table["Metadata_Flags"] = ["out of focus", *[""] * 7]
    table["Metadata_Control"] = ["negcon", *[None] * 7]
    write_table(table, tmp_path / "t.csv")
    write_table(table, tmp_path / "t.parquet")
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        read = read_table(path)
        assert read["Frame_DAPI"].fillna("-").tolist() == ["0|1", "1", "-", "0", "0", "0", "0", "0"]
        assert set(read["Frame_TMRM"]) == {"0"}
        assert read["Metadata_Flags"].fillna("").tolist() == table["Metadata_Flags"].tolist()
        assert read["Metadata_Control"].isna().sum() == 7


def test_files_that_a_table_names_and_that_are_not_there(tmp_path):
    root = class_folders(tmp_path / "study")
    write_table(find_images(root).table, tmp_path / "t.csv")
    assert find_images(tmp_path / "t.csv").absent == []
    (root / "DS" / "DS001003-2-001001combined.png").unlink()
    found = find_images(tmp_path / "t.csv")
    assert found.absent == [root / "DS" / "DS001003-2-001001combined.png"]
    assert len(found.table) == 8


def test_channels_of_a_table_are_picked_and_renamed(tmp_path):
    write_table(find_images(class_folders(tmp_path / "study")).table, tmp_path / "t.csv")
    found = find_images(tmp_path / "t.csv", channels={"mitochondria": "TMRM", "nuclei": 1})
    assert found.channels == ("mitochondria", "nuclei")
    assert found.table["FileName_mitochondria"].equals(find_images(tmp_path / "t.csv").table["FileName_TMRM"])
