from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import assign_split, find_images, leaked_wells, read_table, write_table
from leigh_mlops.plates.picture_folders import find_pictures


def pictures(root: Path, *, classes: tuple[str, ...] = ("cat", "n01440764", "7"), count: int = 6) -> Path:
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            suffix = ("JPEG", "png", "jpg")[number % 3]
            (root / name / f"{name}_{number} (copy).{suffix}").write_bytes(b"")
    return root


def test_names_that_say_nothing_are_refused_with_the_remedy_and_read_by_the_preset(tmp_path: Path) -> None:
    root = pictures(tmp_path / "my pets")
    with pytest.raises(LeighError, match=r"none of the 18 .*ingest '.*my pets' --preset pictures --out pictures"):
        find_images(root)
    found = find_images(root, preset="pictures")
    assert found.channels == ("R", "G", "B")
    assert found.table["Metadata_Condition"].value_counts().to_dict() == {"cat": 6, "n01440764": 6, "7": 6}
    assert found.unmatched == []
    assert found.table["Metadata_Picture"].all()
    assert set(found.table["Metadata_Plate"]) == {"my pets-0001"}


def test_each_picture_is_a_well_of_its_own(tmp_path: Path) -> None:
    table = find_pictures(pictures(tmp_path / "p")).table
    assert not table.duplicated(["Metadata_Plate", "Metadata_Well"]).any()
    split = assign_split(table, seed=0)
    assert leaked_wells(table, split) == []
    assert split.value_counts().to_dict() == {"train": 12, "val": 3, "test": 3}


def test_the_order_is_that_of_the_paths_and_tells_no_class(tmp_path: Path) -> None:
    first = find_pictures(pictures(tmp_path / "a" / "p", count=20)).table
    again = find_pictures(pictures(tmp_path / "b" / "p", count=20)).table
    same = ["Metadata_Well", "Metadata_Condition", "FileName_R"]
    assert first[same].equals(again[same])
    conditions = first["Metadata_Condition"]
    changes = (conditions != conditions.shift()).sum()
    assert changes > 25  # 3 were they numbered class by class, 40 by chance


def test_more_pictures_than_a_plate_has_wells(tmp_path: Path) -> None:
    table = find_pictures(pictures(tmp_path / "p", classes=("a", "b"), count=800)).table
    assert table["Metadata_Plate"].value_counts().to_dict() == {"p-0001": 1536, "p-0002": 64}
    assert not table.duplicated(["Metadata_Plate", "Metadata_Well"]).any()


def test_folders_of_parts_are_the_split_and_deeper_folders_belong_to_the_class(tmp_path: Path) -> None:
    for name in ("Train/cat/indoors/1.jpg", "validation/cat/2.jpg", "test/dog/3.jpg", "4.jpg", "train/5.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find_images(tmp_path, preset="pictures")
    rows = found.table[["FileName_R", "Metadata_Split", "Metadata_Condition"]].itertuples(index=False)
    assert sorted(map(tuple, rows)) == [("1.jpg", "train", "cat"), ("2.jpg", "val", "cat"), ("3.jpg", "test", "dog")]
    assert {path.name: found.reasons[path] for path in found.unmatched} == dict.fromkeys(
        ("4.jpg", "5.jpg"), "it lies in no folder of a class"
    )


def test_pictures_of_which_no_folder_names_a_class_have_none(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (tmp_path / name).write_bytes(b"")
    found = find_images(tmp_path, preset="pictures")
    assert found.unmatched == []
    assert found.table["Metadata_Condition"].isna().all()
    assert set(assign_split(found.table, needs_labels=False)) == {"train", "val", "test"}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_keeps_that_these_are_pictures(tmp_path: Path, suffix: str) -> None:
    table = find_pictures(pictures(tmp_path / "p")).table
    write_table(table, tmp_path / f"t{suffix}")
    again = read_table(tmp_path / f"t{suffix}")
    assert again["Metadata_Picture"].all()
    assert again["Metadata_Well"].tolist() == table["Metadata_Well"].tolist()


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="holds no pictures; put the pictures of each class into a folder"):
        find_images(tmp_path, preset="pictures")
    with pytest.raises(LeighError, match="have no plate position; omit it"):
        find_images(tmp_path, tmp_path / "map.csv", preset="pictures")
