import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.platemap_file import find_platemap, parse_platemap, read_platemap
from leigh_mlops.plates.platemap_join import join_platemap


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
    joined = join_platemap(table("B03", "B03", "H12"), platemap)
    assert joined.table["Metadata_Condition"].tolist() == ["DS", "DS", "WT"]
    assert (joined.unjoined, joined.unused) == ([], [])
    joined = join_platemap(table("B03", "C04", "C04"), platemap)
    assert joined.table["Metadata_Condition"].isna().tolist() == [False, True, True]
    assert (joined.unjoined, joined.unused) == (["p/C04"], ["H12"])


@pytest.mark.parametrize("column", ["plate", "Assay_Plate_Barcode"])
def test_a_map_of_several_plates(tmp_path, column):
    platemap = read_platemap(save(tmp_path, f"{column},well_position,condition\np,B03,DS\nq,B03,WT\n"))
    joined = join_platemap(table("B03"), platemap)
    assert joined.table["Metadata_Condition"].tolist() == ["DS"]
    assert (joined.unjoined, joined.unused) == ([], ["q/B03"])


def test_a_map_of_another_plate_is_refused(tmp_path):
    platemap = read_platemap(save(tmp_path, "plate,well_position,condition\nq,B03,WT\n"))
    with pytest.raises(LeighError, match="no well of the images is in the plate map: it has q/B03, the images have p"):
        join_platemap(table("B03"), platemap)


def test_a_map_that_contradicts_the_folders_is_refused(tmp_path):
    platemap = read_platemap(save(tmp_path, "well_position,condition\nB03,WT\n"))
    assert join_platemap(table("B03", condition="WT"), platemap).unjoined == []
    with pytest.raises(LeighError, match="well p/B03 is 'DS' by its images but 'WT' in the plate map"):
        join_platemap(table("B03", condition="DS"), platemap)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place,condition\nB03,DS\n", "has no column well_position, only place, condition"),
        ("well_position\nB03\nB3\n", "lists well B03 twice"),
        ("well_position\nZZ9\n", "'ZZ9' is not a well"),
        ("", "cannot be read"),
        ("plate,Assay_Plate_Barcode,well_position\n", "several columns for Metadata_Plate, plate, Assay_Plate_Barcode"),
        ("plate,well_position\np,B03\n,B04\n", "gives a plate for other wells but none for B04"),
        ("well_position,time\nB03,24\n", "has a column Time, which is reserved for the images; rename it"),
        ("well_position,condition\nB03,DS,7\nB04,DS,7\n", "has rows longer than its header"),
        ("well_position,a\0\nB03,DS\n", "cannot be read .it is not text.; save it as CSV in UTF-8"),
        ("Assay_Plate_Barcode,Plate_Map_Name\np,../m\n", "names the map '../m', which is not a plain file name"),
        ("Assay_Plate_Barcode,Plate_Map_Name\np,..\n", "names the map '..', which is not a plain file name"),
        ("Assay_Plate_Barcode,Plate_Map_Name\np,/etc/passwd\n", "which is not a plain file name"),
        ("Assay_Plate_Barcode,Plate_Map_Name\np,m\n", "names the map 'm', but there is no .*m.csv; add it"),
        ("Assay_Plate_Barcode,Plate_Map_Name\np,m\np,m\n", "lists plate p twice"),
        ("Assay_Plate_Barcode,Plate_Map_Name\np,\n", "must name a plate and its map in each row"),
        ("Plate_Map_Name\nm\n", "must name a plate and its map in each row"),
        ("Assay_Plate_Barcode,Plate_Map_Name\n", "lists no plates"),
        ("row,column,condition\n" + "9" * 5000 + ",1,DS\n", "is not a well"),
        ("row,column,condition\n1," + "9" * 15 + ",DS\n", "is not a well"),
        ("well_position," + ",".join(f"c{each}" for each in range(50_000)) + "\n", "has 50001 columns, more than 1000"),
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


TEXT = "well_position;condition;dose;donor;add\nB03;DS;0,5;007;Büchner µM\nB04;WT;1;8;\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_tables_as_spreadsheets_save_them(tmp_path, encoding, suffix):
    path = tmp_path / f"map.{suffix}"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode(encoding))
    platemap = read_platemap(path)
    assert list(platemap) == [f"Metadata_{name}" for name in ("Well", "Condition", "Dose", "Donor", "Add")]
    assert platemap.iloc[0].tolist() == ["B03", "DS", 0.5, "007", "Büchner µM"]
    assert platemap["Metadata_Add"].isna().tolist() == [False, True]


def test_names_of_digits_stay_text(tmp_path):
    text = "well_position,condition,patient,mM,row,\nB03,1,007,07,B,\nB04,2,12,1,B,\n,,,,,\n"
    platemap = read_platemap(save(tmp_path, text))
    assert platemap.to_dict("list") == {
        "Metadata_Well": ["B03", "B04"],
        "Metadata_Condition": ["1", "2"],
        "Metadata_Donor": ["007", "12"],
        "Metadata_mM": ["07", "1"],
    }


def test_controls_are_named_in_one_way(tmp_path):
    text = "well_position,pert_type,control_type\nB03,control,poscon_cp\nB04,trt,\nB05,ctl,\n"
    joined = join_platemap(table("B03", "B04", "B05"), read_platemap(save(tmp_path, text)))
    assert joined.table["Metadata_Control"].fillna("-").tolist() == ["poscon", "-", "-"]
    assert joined.table["Metadata_control_type"].tolist()[0] == "poscon_cp"
    assert joined.unknown_controls == ["ctl"]
    plain = join_platemap(table("B03"), read_platemap(save(tmp_path, "well_position,donor\nB03,1\n")))
    assert "Metadata_Control" not in plain.table


@pytest.mark.parametrize(
    ("name", "file"), [("m", "platemap/m.txt"), ("m", "m.csv"), ("m.csv", "platemap/m.csv"), ("m", "platemap/m.tsv")]
)
def test_a_list_of_plates_with_the_map_of_each(tmp_path, name, file):
    plates = save(tmp_path, f"Assay_Plate_Barcode,Plate_Map_Name\np,{name}\n002,{name}\n", "barcode_platemap.csv")
    (tmp_path / "platemap").mkdir()
    separator = "," if file.endswith(".csv") else "\t"
    save(tmp_path, f"well_position{separator}pert_type\nB03{separator}negcon\n", file)
    platemap = read_platemap(plates)
    assert platemap["Metadata_Plate"].tolist() == ["p", "002"]
    assert platemap["Metadata_Plate_Map_Name"].tolist() == [name, name]
    joined = join_platemap(table("B03", "B04"), platemap)
    assert joined.table["Metadata_Control"].fillna("-").tolist() == ["negcon", "-"]
    assert (joined.unjoined, joined.unused) == (["p/B04"], ["002/B03"])


def test_a_list_of_plates_may_name_itself_as_a_map(tmp_path):
    plates = save(tmp_path, "Assay_Plate_Barcode,Plate_Map_Name\np,barcode_platemap\n", "barcode_platemap.csv")
    with pytest.raises(LeighError, match="but there is no"):
        read_platemap(plates)


def test_a_map_is_no_list_of_plates_again(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        save(tmp_path, f"Assay_Plate_Barcode,Plate_Map_Name\np,{other}\n", f"{one}.csv")
    with pytest.raises(LeighError, match="has no column well_position, only Assay_Plate_Barcode, Plate_Map_Name"):
        read_platemap(tmp_path / "a.csv")


def test_a_column_is_of_numbers_in_all_maps_or_in_none(tmp_path):
    plates = save(tmp_path, "Assay_Plate_Barcode,Plate_Map_Name\np,a\nq,b\n")
    save(tmp_path, "well_position,stage,age,dose\nB03,1,2,1\n", "a.csv")
    save(tmp_path, "well_position,stage,age,dose\nB03,high,3,high\n", "b.csv")
    platemap = read_platemap(plates)
    assert platemap["Metadata_Stage"].tolist() == ["1", "high"]
    assert platemap["Metadata_Dose"].fillna(-1).tolist() == [1, -1]
    assert platemap["Metadata_Age"].tolist() == [2, 3]


def test_a_map_is_found_in_the_data_folder_or_above(tmp_path):
    folder = tmp_path / "Images"
    folder.mkdir()
    assert find_platemap(folder) is None
    above = save(tmp_path, "", "barcode_platemap.csv")
    assert find_platemap(folder) == above
    beside = save(folder, "", "platemap.tsv")
    assert find_platemap(folder) == beside
    assert find_platemap(beside) is None


def test_a_map_that_says_nothing_of_a_well_leaves_what_was_known(tmp_path):
    table = pd.DataFrame(
        {"Metadata_Plate": "P", "Metadata_Well": ["A01", "A02"], "Metadata_Condition": ["DS", "WT"],
         "Metadata_Donor": ["d1", "d2"]}
    )  # fmt: skip
    (tmp_path / "map.csv").write_text("well_position,donor,condition\nA01,d9,DS\n")
    joined = join_platemap(table, read_platemap(tmp_path / "map.csv")).table
    assert joined["Metadata_Donor"].tolist() == ["d9", "d2"]
    assert joined["Metadata_Condition"].tolist() == ["DS", "WT"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Barcode;Well;Genotyp;Wirkstoff;Konz. (nM)\nQ;c4;KO;abc;1,5\n", ["Q", "C04", "KO", "abc", 1.5]),
        ("Plaque\tPuits\tClasse\tComposé\tDose (µg/mL)\nQ\tC4\tKO\tabc\t0.2\n", ["Q", "C04", "KO", "abc", 0.2]),
        ("Assay Plate,Well ID,Class,Drug,Final conc. [uM]\nQ,C-04,KO,abc,1E-3\n", ["Q", "C04", "KO", "abc", 0.001]),
    ],
)
def test_headers_in_usual_spellings_and_languages(tmp_path, text, first):
    platemap = read_platemap(save(tmp_path, text))
    assert platemap.iloc[0].tolist() == first
    assert list(platemap)[:4] == [f"Metadata_{name}" for name in ("Plate", "Well", "Condition", "Compound")]
    assert list(platemap)[4] in {"Metadata_Concentration_nM", "Metadata_Dose_ug_ml", "Metadata_Concentration_uM"}


def test_each_header_is_listed_with_its_meaning_or_the_nearest_name(tmp_path):
    text = "Well,Klase,genotype,class,remarks,mmoles_per_liter,Doner\nC4,a,b,KO,x,1,d\n"
    read = {header.header: header for header in parse_platemap(save(tmp_path, text)).headers}
    assert {name: (header.column, header.meaning) for name, header in read.items()} == {
        "Well": ("Metadata_Well", "well"),
        "Klase": ("Metadata_Klase", ""),
        "genotype": ("Metadata_Genotype", "second class"),
        "class": ("Metadata_Condition", "class"),
        "remarks": ("Metadata_Remarks", ""),
        "mmoles_per_liter": ("Metadata_mmoles_per_liter", "dose"),
        "Doner": ("Metadata_Doner", ""),
    }
    assert [read[name].nearest for name in ("Klase", "remarks", "Doner")] == ["klasse", "", "donor"]


def test_rows_and_columns_are_wells_too(tmp_path):
    for rows in ("B,7,KO\nC,12,WT\n", "2,7,KO\n3,12,WT\n"):
        platemap = read_platemap(save(tmp_path, f"Zeile,Spalte,Klasse\n{rows}"))
        assert platemap["Metadata_Well"].tolist() == ["B07", "C12"]
        assert platemap["Metadata_Condition"].tolist() == ["KO", "WT"]
        assert len(platemap.columns) == 2


def test_the_escapes_of_a_spreadsheet_are_no_part_of_a_cell(tmp_path):
    plain = read_platemap(save(tmp_path, "well|condition\nC4|KO\n".replace("|", ";")))
    for text in (
        "sep=|\nwell|condition\nC4|KO\n",
        'sep=;\n"=""well""";condition\n"=""C4""";\'KO\n'.replace("'KO", "KO"),
    ):
        pd.testing.assert_frame_equal(read_platemap(save(tmp_path, text)), plain)


@pytest.mark.parametrize(
    ("value", "expected", "reading"),
    [
        ("Mär 12", "a number, perhaps 3.12, which a spreadsheet has turned into a date", None),
        ("03. Okt", "a number, perhaps 3.10, which a spreadsheet has turned into a date", None),
        ("11.10.2021", "a number, which a spreadsheet has turned into a date", None),
        ("#WERT!", "a number, not the error value of a formula", None),
        ("high", "a number", None),
        ("2.500,75", "a number without groups of thousands", 2500.75),
        ("2,500.75", "a number without groups of thousands", 2500.75),
        ("4 mg/ml", "a dose in uM", None),
    ],
)
def test_a_damaged_cell_costs_itself_alone(tmp_path, value, expected, reading):
    text = "well;compound;conc (µM)\nC4;abc;0,5\nC5;abc;{}\nC6;abc;2,25\nC7;abc;7 nM\n"
    assert parse_platemap(save(tmp_path, text.format("1,5"))).problems == []
    read = parse_platemap(save(tmp_path, text.format(value)))
    assert read.problems == [("C05", "conc (µM)", value, expected, reading)]
    doses = read.table["Metadata_Concentration_uM"]
    assert doses.drop(1).tolist() == [0.5, 2.25, 0.007]
    assert doses[1] == reading if reading else pd.isna(doses[1])


def test_error_values_are_named_in_any_column(tmp_path):
    text = "well,compound,class,age\nC4,#NV,KO,7\nC5,abc,#NV,#REF!\n"
    read = parse_platemap(save(tmp_path, text))
    assert [problem[:3] for problem in read.problems] == [
        ("C04", "compound", "#NV"), ("C05", "class", "#NV"), ("C05", "age", "#REF!")
    ]  # fmt: skip
    assert read.table["Metadata_Compound"].tolist() == ["#NV", "abc"]  # without one it would be untreated
    assert read.table["Metadata_Condition"].isna().tolist() == [False, True]
    assert read.table["Metadata_Age"].fillna(-1).tolist() == [7, -1]


def test_doses_with_units_have_one_unit(tmp_path):
    text = "well,compound,dose\nC4,a,20 nM\nC5,a,{}\nC6,a,3 µM\nC7,a,\nC8,a,40 nM\nC9,a,0\n"
    read = parse_platemap(save(tmp_path, text.format("5 pM")))
    assert read.table["Metadata_Dose_nM"].fillna(-1).tolist() == [20, 0.005, 3000, -1, 40, 0]
    assert read.problems == []
    read = parse_platemap(save(tmp_path, text.format("5")))
    assert [problem.well for problem in read.problems] == ["C05"]
    assert "a dose with its unit" in read.problems[0].expected


def test_two_rows_for_a_well_say_which_column_may_be_the_plate(tmp_path):
    with pytest.raises(LeighError, match="lists well C04 twice; keep one row per well, or add a column plate"):
        read_platemap(save(tmp_path, "well,class\nC4,KO\nC4,WT\n"))
    with pytest.raises(LeighError, match="if Träger names the plates, call that column plate"):
        read_platemap(save(tmp_path, "Träger,well,class\nS1,C4,KO\nS2,C4,WT\n"))
    assert len(read_platemap(save(tmp_path, "Platte,well,class\nS1,C4,KO\nS2,C4,WT\n"))) == 2


def test_empty_columns_are_read_too(tmp_path):
    read = parse_platemap(save(tmp_path, "well;dose;remarks;class\nC4;;;KO\nC5;;;WT\n"))
    assert read.problems == []
    assert read.table[["Metadata_Dose", "Metadata_Remarks"]].isna().all(axis=None)
