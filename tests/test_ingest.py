import json
import subprocess
import sys

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from leigh_mlops.command_line import command_line
from leigh_mlops.errors import LeighError
from leigh_mlops.ingest import ingest
from leigh_mlops.plates import read_table, write_table
from leigh_mlops.synthesize import synthesize
from tests.plates.vendors.test_ome_zarr import write_plate


def call(function, *arguments):
    app = typer.Typer()
    app.command()(function)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def class_folders(root, place):
    """Ten wells of each of two classes; ``place`` says where the k-th of a class stands."""
    for name in ("DS", "WT"):
        (root / name).mkdir(parents=True)
        for k in range(10):
            row, col = place(name, k)
            (root / name / f"1{name}r{row:02d}c{col:02d}f01p01-combined-sk1fk1fl1.png").touch()
    return root


def alternate(name, k):
    return 2 + k // 5, 2 + 2 * (k % 5) + (name == "WT")


def blocks(name, k):
    return 2 + k // 5 + 4 * (name == "WT"), 2 + k % 5


def test_a_drawn_plate_is_ingested(tmp_path):
    demo, table, summary = tmp_path / "demo", tmp_path / "t.parquet", tmp_path / "s.json"
    output = call(synthesize, demo, "--wells-per-class", 3, "--fields", 2, "--size", 32, "--classes", "WT,DS")
    assert "Wrote 6 wells, 12 fields of WT, DS" in output
    (demo / "Images" / "r02c02f01p01-ch2sk1fk1fl1.tiff").unlink()
    (demo / "Images" / "overview.png").touch()
    output = call(ingest, demo, "--out", table, "--json", summary)
    assert "Found 12 fields in 6 wells; plates: 1; file names: harmony; channels: DAPI, TMRM." in output
    assert "Reason for harmony: Index.idx.xml lists" in output
    assert "Image files not used: 1 (overview.png (not in Index.idx.xml))." in output
    assert "Listed files that do not exist: 1 (r02c02f01p01-ch2sk1fk1fl1.tiff)." in output
    assert "Bit depth of plate demo: 12 bits in 16-bit files." in output
    assert f"Next: {command_line('tune', '--data', str(table))}" in output.splitlines()[-1]
    assert len(read_table(table)) == 12
    values = json.loads(summary.read_text())
    assert (values["fields"], values["wells"]) == (12, 6)
    assert values["classes"] == {"DS": {"wells": 3, "fields": 6}, "WT": {"wells": 3, "fields": 6}}
    assert values["flags"]["unreadable"] == values["flags"]["excluded"] == 1
    assert "r02c02f01p01-ch2sk1fk1fl1.tiff" in values["failures"][0]["reason"]
    assert len(values["unmatched"]) == len(values["absent"]) == 1
    scores = {"accuracy", "balanced_accuracy", "auc", "majority_share"}
    assert all(set(values["confounds"][kind]) == scores for kind in ("position", "plate"))
    assert set(values["confounds"]["background"]) == scores | {"chance_auc"}
    assert table.with_suffix(".layout.png").exists()
    assert table.with_suffix(".classes.png").exists()
    kept = read_table(table)
    assert kept["Metadata_Excluded"].sum() == 1
    assert kept.loc[kept["Metadata_Excluded"], "Metadata_Flags"].tolist() == ["unreadable"]
    assert "Metadata_Quality_focus_TMRM" in kept


def test_a_layout_that_misleads_is_told_first(tmp_path):
    warning = "The position on the plate alone predicts the class (AUC 1.00)"
    good = call(ingest, class_folders(tmp_path / "good", alternate), "--names-only")
    assert warning not in good
    assert "alternate by column" in good
    assert call(ingest, class_folders(tmp_path / "bad", blocks), "--names-only").startswith(warning)


def test_treated_wells_are_counted_beside_the_classes(tmp_path):
    root, summary, table = class_folders(tmp_path / "study", alternate), tmp_path / "s.json", tmp_path / "t.parquet"
    output = call(ingest, root, "--names-only", "--json", summary)
    assert "a compound" not in output
    assert json.loads(summary.read_text())["classes"]["DS"]["wells"] == 10
    (root / "platemap.csv").write_text("well_position,compound\nB02,rescuer\nB04,DMSO\n")
    output = call(ingest, root, "--names-only", "--json", summary, "--out", table)
    assert "1 well (1 field; labelled DS 1) carries a compound: it is in no class" in output
    values = json.loads(summary.read_text())
    assert values["classes"]["DS"]["wells"] == 9
    assert values["treated"]["by_class"] == {"DS": 1}
    assert (read_table(table)["Metadata_Condition"] == "DS").sum() == 10


def test_the_next_command_has_the_shares(tmp_path):
    root = class_folders(tmp_path / "plate", alternate)
    assert "--shares" not in call(ingest, root, "--names-only")
    assert "--shares 50,20,30" in call(ingest, root, "--names-only", "--shares", "50,20,30").splitlines()[-1]


def test_images_that_cannot_be_read_are_counted_and_end_nothing(tmp_path):
    root = class_folders(tmp_path / "study", alternate)
    assert "Fields that cannot be read" not in call(ingest, root, "--names-only")
    output = call(ingest, root)
    assert "Fields that cannot be read: 20" in output
    assert "unreadable" in output


def test_channels_are_chosen_and_stay_chosen(tmp_path):
    demo, table = tmp_path / "demo", tmp_path / "t.csv"
    call(synthesize, demo, "--wells-per-class", 3, "--fields", 1, "--size", 32)
    output = call(ingest, demo, "--channels", "mito=2", "--out", table)
    assert "channels: mito." in output
    assert [name for name in read_table(table) if name.startswith("FileName_")] == ["FileName_mito"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--channels", "DAPI", "write it as DAPI=1,TMRM=2"),
        ("--channels", "A=1,A=2", "gives one name to two channels"),
        ("--z", "middle", "pass max or a number"),
        ("--exclude", "ugly", "'ugly' is not a flaw"),
        ("--preset", "phenix", "phenix"),
        ("--pattern", "(", "pattern"),
        ("--shares", "70,0,30", "no validation part"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(tmp_path, option, value, said):
    demo = tmp_path / "demo"
    call(synthesize, demo, "--wells-per-class", 3, "--fields", 1, "--size", 32)
    with pytest.raises(LeighError, match=said):
        call(ingest, demo, option, value)


def test_wells_that_a_plate_map_lacks_are_named(tmp_path):
    root = class_folders(tmp_path / "study", alternate)
    (tmp_path / "map.csv").write_text("well_position,donor,pert_type\nB02,1,negcn\nH12,1,trt\n")
    output = call(ingest, root, "--platemap", tmp_path / "map.csv", "--names-only")
    assert "Wells missing from the plate map: 19 (1/B03, 1/B04, 1/B05, …; --json lists all)." in output
    assert "Wells of the plate map without an image: 1 (H12)." in output
    assert "Unknown control types, treated as no control: 1 (negcn)." in output


def test_without_classes_a_search_trains_what_needs_none(tmp_path):
    (tmp_path / "r02c02f01p01-ch1sk1fk1fl1.tiff").touch()
    assert "No field can be read" in call(ingest, tmp_path).splitlines()[-1]
    output = call(ingest, tmp_path, "--names-only")
    assert "There are no classes: only families that need no labels (autoencoder, deepcluster) can be trained" in output
    assert "platemap.csv" in output
    assert "A search cannot use these images: the images are of 1 well, and 3 are needed" in output
    for column in (3, 4, 5):
        (tmp_path / f"r02c{column:02d}f01p01-ch1sk1fk1fl1.tiff").touch()
    summary = tmp_path / "s.json"
    output = call(ingest, tmp_path, "--names-only", "--json", summary)
    assert "cannot use" not in output
    assert "excluded from training" not in output
    assert json.loads(summary.read_text())["uses"] == {"training": 2, "validation": 1, "test": 1}
    assert f"leigh_mlops.tune --data {tmp_path}" in output.splitlines()[-1]
    (tmp_path / "platemap.csv").write_text("well_position;zustnd\nB02;krank\n")
    output = call(ingest, tmp_path, "--names-only")
    assert f"Plate map: {tmp_path / 'platemap.csv'}." in output
    assert "zustnd: not understood, the nearest known name is zustand" in output
    assert f"in the column condition of {tmp_path / 'platemap.csv'}" in output


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(LeighError, match="does not exist"):
        call(ingest, tmp_path / "nowhere")


def test_an_error_is_one_sentence_and_exit_code_one(tmp_path):
    command = [sys.executable, "-m", "leigh_mlops.ingest", str(tmp_path / "nowhere")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.stderr


def test_choices_that_a_search_would_not_know_are_to_be_kept_in_a_table(tmp_path):
    root = class_folders(tmp_path / "study", alternate)
    assert "leigh_mlops.tune --data" in call(ingest, root, "--names-only").splitlines()[-1]
    output = call(ingest, root, "--names-only", "--channels", "TMRM=2,DAPI=1")
    assert output.splitlines()[-1] == (
        "Next: run the same command with --out plate.parquet, which saves these options for a search."
    )


@pytest.mark.parametrize(
    ("out", "said"), [("t.xlsx", "end it in .parquet or .csv"), ("d.csv", "is a folder"), ("f/t.csv", "is a file")]
)
def test_a_place_where_no_table_can_be_written_is_refused_before_anything_is_read(tmp_path, out, said):
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "f").touch()
    with pytest.raises(LeighError, match=said):
        call(ingest, tmp_path / "nowhere", "--out", tmp_path / out)


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "s.json").mkdir()
    root = class_folders(tmp_path / "study", alternate)
    command = [
        sys.executable,
        "-m",
        "leigh_mlops.ingest",
        str(root),
        "--names-only",
        "--json",
        str(tmp_path / "s.json"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "cannot be used" in result.stderr
    assert "Traceback" not in result.stderr


def test_too_few_wells_are_said_before_a_search(tmp_path):
    root = class_folders(tmp_path / "study", alternate)
    assert "cannot use" not in call(ingest, root, "--names-only")
    for path in sorted((root / "WT").iterdir())[2:]:
        path.unlink()
    assert "A search cannot use these images: class 'WT' has 2 wells" in call(ingest, root, "--names-only")


def test_columns_and_damaged_cells_of_a_plate_map_are_listed(tmp_path):
    root, summary = class_folders(tmp_path / "study", alternate), tmp_path / "s.json"
    cells = "Vertiefung;Substanz;Konzentration (nM)\nB02;;\nB04;abc;{}\nB06;abc;2,5\n"
    (root / "platemap.csv").write_text(cells.format("1,5"), encoding="utf-8")
    output = call(ingest, root, "--names-only")
    said = "Columns of the plate map: Vertiefung: well; Substanz: compound; Konzentration (nM): dose in nM."
    assert said in output
    assert "not what was expected" not in output
    (root / "platemap.csv").write_text(cells.format("07. Mai"), encoding="utf-8")
    output = call(ingest, root, "--names-only", "--json", summary)
    assert "B04, column Konzentration (nM): '07. Mai' is lost; expected a number, perhaps 7.5, which" in output
    assert json.loads(summary.read_text())["platemap"]["cells"][0]["value"] == "07. Mai"


def test_leaks_of_a_given_split_and_the_use_of_each_well_are_said(tmp_path):
    root, summary, table = class_folders(tmp_path / "study", alternate), tmp_path / "s.json", tmp_path / "t.csv"
    output = call(ingest, root, "--names-only", "--out", table)
    assert "Wells in a search with its defaults: training: 12; validation: 4; test: 4." in output
    assert "Leak" not in output
    assert table.with_suffix(".wells.png").exists()
    given = read_table(table)
    given["Metadata_Split"] = ["train", "val", "test", "train"] * 5
    twin = given.iloc[[0]].assign(Metadata_Site=2, Metadata_Split="test")
    write_table(pd.concat([given, twin]), table)
    output = call(ingest, table, "--names-only", "--json", summary)
    assert "Leak: 1 wells are in more than one part of the given split (for example 1/B02)." in output
    values = json.loads(summary.read_text())
    assert values["leaked"] == ["1/B02"]
    assert values["use_of_wells"]["1/B02"] == "several parts"
    assert values["uses"] == {"training": 9, "validation": 5, "test": 5, "several parts": 1}


def test_plates_of_two_scales_are_told_before_a_search(tmp_path):
    root, table = class_folders(tmp_path / "study", alternate), tmp_path / "t.csv"
    call(ingest, root, "--names-only", "--out", table)
    given = read_table(table)
    assert "differ in scale" not in call(ingest, table, "--names-only")
    write_table(given.assign(Metadata_PixelSize_um=[0.3] * 10 + [0.6] * 10), table)
    output = call(ingest, table, "--names-only")
    assert "Warning: plates differ in scale (0.3 and 0.6 µm per pixel: 1)" in output
    assert "A search cannot use these images: plates differ in scale" in output
    cut = tmp_path / "cut.csv"
    output = call(ingest, table, "--names-only", "--field-um", 200, "--out", cut)
    assert "plates differ in scale" not in output
    assert "cannot use" not in output
    assert set(read_table(cut)["Metadata_Field_um"]) == {200.0}


def test_what_a_plate_holds_and_cannot_be_read_is_named(tmp_path):
    plate, summary = write_plate(tmp_path / "Q.zarr", wells=("C/05", "C/06")), tmp_path / "s.json"
    assert "cannot be read" not in call(ingest, plate, "--names-only")
    file = plate / "C/06/zarr.json"
    file.write_text(file.read_text()[:30])
    output = call(ingest, plate, "--names-only", "--json", summary)
    assert "Parts of the plate that cannot be read: 1 (Q.zarr/C/06 (zarr.json is damaged" in output
    values = json.loads(summary.read_text())
    assert values["refused"] == [str(plate / "C/06")]
    assert "damaged" in values["reasons"][str(plate / "C/06")]
