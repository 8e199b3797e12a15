"""The split of a study's data, and what is left out of it."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import is_treated, read_table, write_table
from leigh_mlops.study.prepare import DataSource, divided_table, find_data, prepare_data
from leigh_mlops.training import PARTS, PreparedData

RESCUED = ("B03", "B05")


def write_platemap(folder: Path, treated: tuple[str, ...] = RESCUED, control: str = "") -> None:
    lines = ["well_position,compound,control", *(f"{well},rescuer,{control}" for well in treated)]
    (folder / "platemap.csv").write_text("\n".join(lines) + "\n")


def prepared(folder: Path, **source: object) -> tuple[PreparedData, str]:
    """The data of a folder, and what is printed."""
    console = Console(file=io.StringIO(), width=500)
    chosen = DataSource(folder, **source)  # type: ignore[arg-type]
    data = prepare_data(chosen, *divided_table(chosen, console), 32, console)
    return data, console.file.getvalue()  # type: ignore[attr-defined]


def used_wells(data: PreparedData) -> set[str]:
    rows = np.concatenate([data.rows(part) for part in PARTS])
    return {well.partition("/")[2] for well in data.wells[rows]}


def test_treated_wells_are_in_no_class_and_no_part(class_folders: Path) -> None:
    write_platemap(class_folders)
    both, words = prepared(class_folders, train_on_compounds=True)
    assert set(RESCUED) <= used_wells(both)
    assert "2 wells (4 fields; labelled DS 2) carry a compound and count as labelled" in words
    data, words = prepared(class_folders)
    assert used_wells(data) == used_wells(both) - set(RESCUED)
    assert len(data.rows()) == len(both.rows()) - 4
    assert (data.labels[is_treated(data.table).to_numpy()] == -1).all()
    assert "2 wells (4 fields; labelled DS 2) carry a compound: they are in no class" in words


def test_without_compounds_nothing_is_said(class_folders: Path) -> None:
    data, words = prepared(class_folders)
    assert len(data.rows()) == 24
    assert "a compound" not in words


def test_controls_with_a_compound_keep_their_class(class_folders: Path) -> None:
    write_platemap(class_folders, control="poscon")
    data, words = prepared(class_folders)
    assert set(RESCUED) <= used_wells(data)
    assert "2 control wells with a compound count as labelled." in words


def test_a_class_of_treated_wells_alone_is_none(class_folders: Path) -> None:
    treated = tuple(
        f"{row}{column:02d}" for row, columns in (("B", (4, 6, 8, 10)), ("C", (4, 6))) for column in columns
    )
    write_platemap(class_folders, treated)
    assert used_wells(prepared(class_folders, train_on_compounds=True)[0]) >= set(treated)
    console = Console(file=io.StringIO(), width=500)
    with pytest.raises(LeighError, match="only the class 'DS'"):
        divided_table(DataSource(class_folders), console)
    assert "No class TT: all its wells carry a compound" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_job_sees_the_labels_of_treated_wells(class_folders: Path) -> None:
    write_platemap(class_folders)
    table, _, classes = find_data(DataSource(class_folders), Console(quiet=True))
    assert table.loc[is_treated(table), "Metadata_Condition"].tolist() == ["DS"] * 4
    assert classes == ("DS", "TT")


def parts(source: DataSource) -> dict[str, int]:
    table, _, _ = divided_table(source, Console(file=io.StringIO()))
    wells = table.drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    return {str(name): int(count) for name, count in wells["Metadata_Split"].value_counts().items()}


def test_shares_divide_the_wells(class_folders: Path) -> None:
    usual, small = parts(DataSource(class_folders)), parts(DataSource(class_folders, shares="40,20,40"))
    assert small["train"] < usual["train"]
    assert small["test"] > usual["test"]


def test_shares_need_a_validation_part_and_stand_alone(class_folders: Path, tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="leave no validation part"):
        parts(DataSource(class_folders, shares="70,0,30"))
    with pytest.raises(LeighError, match="--shares 60,20,20 with --fold 1/3"):
        parts(DataSource(class_folders, shares="60,20,20", fold="1/3"))
    divided, _, _ = divided_table(DataSource(class_folders), Console(file=io.StringIO()))
    write_table(divided, tmp_path / "split.parquet")
    assert "Metadata_Split" in read_table(tmp_path / "split.parquet")
    with pytest.raises(LeighError, match="come with a split; leave out --shares"):
        parts(DataSource(tmp_path / "split.parquet", shares="60,20,20"))


def test_plates_of_two_scales_train_no_network_together(class_folders: Path, tmp_path: Path) -> None:
    table = find_data(DataSource(class_folders), Console(quiet=True))[0]
    sizes = [0.65] * 12 + [0.325] * 12
    for path, scales in ((tmp_path / "one.parquet", sizes[:1] * 24), (tmp_path / "two.parquet", sizes)):
        write_table(table.assign(Metadata_PixelSize_um=scales), path)
    assert len(divided_table(DataSource(tmp_path / "one.parquet"), Console(quiet=True))[0]) == 24
    with pytest.raises(LeighError, match=r"plates differ in scale .*; train on plates of one scale"):
        divided_table(DataSource(tmp_path / "two.parquet"), Console(quiet=True))


def test_unlabelled_fields_are_used_where_no_labels_are_needed(class_folders: Path, tmp_path: Path) -> None:
    write_platemap(class_folders)
    table = find_data(DataSource(class_folders), Console(quiet=True))[0]
    write_table(table.assign(Metadata_Condition=None), tmp_path / "none.parquet")
    source, console = DataSource(tmp_path / "none.parquet"), Console(file=io.StringIO(), width=500)
    with pytest.raises(LeighError, match="the images have no class, and two are needed"):
        divided_table(source, console)
    divided = divided_table(source, console, needs_labels=False)
    data = prepare_data(source, *divided, 32, console, needs_labels=False)
    assert data.classes == ()
    assert sorted(np.concatenate([data.rows(part) for part in PARTS])) == list(range(24))
    assert len(data.labelled_data.rows()) == 0
    words = console.file.getvalue()  # type: ignore[attr-defined]
    assert "labelled without a class) carry a compound: they are in no class and are used like the others" in words
    data.save(tmp_path / "saved")
    assert not PreparedData.load(tmp_path / "saved").needs_labels


def test_treated_wells_are_used_beside_labelled_ones_where_no_labels_are_needed(class_folders: Path) -> None:
    write_platemap(class_folders)
    source, console = DataSource(class_folders), Console(quiet=True)
    divided = divided_table(source, console, needs_labels=False)
    data = prepare_data(source, *divided, 32, console, needs_labels=False)
    assert not set(RESCUED) & used_wells(data.labelled_data)
    assert set(RESCUED) <= used_wells(data)
    assert (data.labels == -1).sum() == 4
