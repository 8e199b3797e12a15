import pandas as pd
import pytest
from rich.console import Console

from leigh_mlops.plates import parse_well
from leigh_mlops.report.layout_picture import MAX_PLATES, layout_letters, layout_picture


def plate_of(conditions, plate="P", **more):
    rows = []
    for well, condition in conditions.items():
        row, col = parse_well(well)
        place = {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Row": row, "Metadata_Col": col}
        rows.append(place | {"Metadata_Condition": condition} | more)
    return pd.DataFrame(rows)


def lines(table, plate="P"):
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(layout_letters(table, plate))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_letters_stand_where_the_wells_are():
    table = plate_of({"B02": "DS", "B04": "WT", "D03": None})
    assert lines(table) == ["     2  3  4", "  B  D  .  W", "  C  .  .  .", "  D  .  ?  ."]


def test_classes_with_one_beginning_get_longer_marks():
    table = plate_of({"A01": "control", "A02": "compound"})
    assert lines(table)[1].split() == ["A", "con", "com"]


def test_a_class_that_begins_like_the_whole_of_another():
    assert lines(plate_of({"A01": "WT", "A02": "WT2"}))[1].split() == ["A", "WT", "WT2"]


def points(figure):
    return [collection for axes in figure.axes for collection in axes.collections]


def test_the_picture_has_a_mark_for_every_well_and_a_cross_for_excluded_ones():
    table = plate_of({"B02": "DS", "B03": "WT"})
    plain = layout_picture(table, "A sentence.")
    assert plain.get_suptitle() == "A sentence."
    crossed = layout_picture(table.assign(Metadata_Excluded=[True, False]))
    assert len(points(plain)[2].get_offsets()) == 0
    assert points(crossed)[2].get_offsets().tolist() == [[2, 2]]


def test_a_well_is_crossed_out_only_when_all_its_fields_are_excluded():
    table = pd.concat([plate_of({"B02": "DS"}, Metadata_Excluded=flag) for flag in (True, False)], ignore_index=True)
    assert len(points(layout_picture(table))[2].get_offsets()) == 0


def test_many_plates_are_not_all_drawn_and_the_picture_says_so():
    table = pd.concat([plate_of({"A01": "DS"}, f"P{n:02d}") for n in range(MAX_PLATES + 2)], ignore_index=True)
    figure = layout_picture(table)
    assert sum(axes.get_visible() for axes in figure.axes) == MAX_PLATES
    assert "2 more plates are not drawn" in figure.get_suptitle()


def test_no_plate_no_picture():
    with pytest.raises(ValueError, match="no row"):
        layout_picture(plate_of({"A01": "DS"}).iloc[:0])
