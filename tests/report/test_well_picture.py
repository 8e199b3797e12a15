import pytest

from leigh_mlops.plates import WellUse, parse_platemap, well_uses
from leigh_mlops.report.well_picture import MAX_DRAWN_PLATES, platemap_picture, use_picture
from tests.plates.test_well_uses import TABLE


def texts(figure):
    panels = [axes for axes in figure.axes if axes.get_visible()]
    return [text.get_text() for axes in panels for text in axes.texts]


def legend(figure):
    return {text.get_text() for one in figure.subfigs[0].legends for text in one.get_texts()}


def lines(figure):
    return " ".join(text.get_text() for text in figure.subfigs[1].texts).replace("\n", " ")


def test_uses_have_signs_and_a_legend():
    parts = TABLE["Metadata_Condition"].map({"DS": "train", "WT": "val"})
    figure = use_picture(well_uses(TABLE, parts), "headline")
    assert texts(figure) == ["V"]
    assert {"DS (3 wells)", "no class (1)", "validation (1)", "treated, in no class (1)"} <= legend(figure)
    leaked = use_picture(well_uses(TABLE, parts.mask(TABLE.index == 6, "test")))
    assert texts(leaked) == ["V", "!"]
    assert f"{WellUse.LEAK} (1)" in legend(leaked)


def test_a_plate_map_is_drawn_with_its_columns_and_damaged_cells(tmp_path):
    path = tmp_path / "m.csv"
    text = "well;Klasse;Substanz;Dosis (nM);pert_type\nC2;KO;;;negcon\nC3;KO;abc;{};trt\nC4;KO;abc;0,5;trt\n"
    path.write_text(text.format("2,5"))
    figure = platemap_picture(parse_platemap(path), "m.csv")
    assert texts(figure) == ["N"]
    assert "with a compound (dot: dose) (2)" in legend(figure)
    assert "with a damaged cell (1)" not in legend(figure)
    assert "Klasse: class" in lines(figure)
    path.write_text(text.format("Mai 25"))
    figure = platemap_picture(parse_platemap(path), "m.csv")
    assert "with a damaged cell (1)" in legend(figure)
    assert "C03, column Dosis (nM): 'Mai 25' is lost" in lines(figure)


def test_plates_that_are_too_many_are_counted(tmp_path):
    rows = [f"p{number:02d},C2,KO" for number in range(MAX_DRAWN_PLATES + 3)]
    (tmp_path / "m.csv").write_text("\n".join(["plate,well,class", *rows]))
    figure = platemap_picture(parse_platemap(tmp_path / "m.csv"), "m")
    assert "3 more plates are not drawn" in figure.subfigs[0].get_suptitle()


def test_no_well_is_no_picture():
    with pytest.raises(ValueError, match="no well"):
        use_picture(well_uses(TABLE, None)[:0])
