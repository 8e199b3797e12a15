import pytest
from hypothesis import given
from hypothesis import strategies as st

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import PRESETS, FieldName, parse_name, parse_well, well_name

# Each preset with a template to write its names, so that a new preset is tested by being added.
TEMPLATES = {
    "leigh_ds_tt": "DS{row:03d}{col:03d}-{site}-001001combined_224_pixel.png",
    "leigh_ds_wt": "1DSr{row:02d}c{col:02d}f{site:02d}p01-combined-sk1fk1fl1_224_pixel.png",
    "harmony": "r{row:02d}c{col:02d}f{site:02d}p01-ch2sk1fk1fl1.tiff",
    "generic": "plate7_{well}_s{site}_w2.tif",
}
ROWS, COLS = st.integers(1, 32), st.integers(1, 48)


@given(row=ROWS, col=COLS)
def test_well_names_round_trip(row, col):
    assert parse_well(well_name(row, col)) == (row, col)


@pytest.mark.parametrize("preset", PRESETS)
@given(row=ROWS, col=COLS, site=st.integers(1, 999))
def test_every_preset_reads_what_it_writes(preset, row, col, site):
    name = TEMPLATES[preset].format(row=row, col=col, site=site, well=well_name(row, col))
    field = parse_name(name, preset)
    assert field is not None
    assert (field.row, field.col, field.site) == (row, col, site)
    assert parse_name(name) == field  # no other preset takes it first


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DS001003-2-001001combined_224_pixel.png", FieldName(None, 1, 3, 2, 1, None, "DS", 1)),
        ("TT016024-5-001001combined.BMP", FieldName(None, 16, 24, 5, 1, None, "TT", 1)),
        ("1DSr02c03f04p01-combined-sk1fk1fl1_224_pixel.png", FieldName("1", 2, 3, 4, 1, None, "DS")),
        ("12WTr02c03f144p01-combined-sk1fk1fl1.Tif", FieldName("12", 2, 3, 144, 1, None, "WT")),
        ("r02c03f01p01-ch10sk1fk1fl1.tiff", FieldName(None, 2, 3, 1, 1, "10", None, 1)),
        ("r02c03f144p01-ch1t03.tiff", FieldName(None, 2, 3, 144, 1, "1", None, 3)),
        ("r32c48f01p01rc2-ch1sk1fk1fl1.tiff", FieldName(None, 32, 48, 1, 1, "1", None, 1)),
        ("B03.png", FieldName(None, 2, 3, 1, None, None, None)),
        ("AF48_s2.bmp", FieldName(None, 32, 48, 2, None, None, None)),
        ("B3_F2_C1.ome.tif", FieldName(None, 2, 3, 2, None, "1", None)),
        ("B03_C1.tif", FieldName(None, 2, 3, 1, None, "1", None)),
        ("2024-01-15_run_P24_site3_TMRM.tiff", FieldName("2024-01-15_run", 16, 24, 3, None, "TMRM", None)),
    ],
)
def test_names_that_occur(name, expected):
    assert parse_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "thumbnail.png",
        "r00c03f01p01-ch1sk1fk1fl1.tiff",
        "r33c03f01p01-ch1sk1fk1fl1.tiff",
        "DS001049-2-001001combined.png",
        "B49.png",
        "AG01.png",
        "B03_s1.txt",
        "P1_B01_s1.png",  # a plate called like a well would make rows C and F ambiguous
    ],
)
def test_names_that_say_nothing(name):
    assert parse_name(name) is None


@pytest.mark.parametrize("name", ["", "B0", "3B", "B49", "AG1", "B003", "B03x"])
def test_what_is_no_well_is_refused(name):
    with pytest.raises(LeighError, match="is no well; write letter and number"):
        parse_well(name)


@pytest.mark.parametrize("place", [(0, 1), (33, 1), (1, 0), (1, 49)])
def test_places_off_the_plate_are_refused(place):
    with pytest.raises(LeighError, match="is no well; rows go to 32, columns to 48"):
        well_name(*place)


def test_an_unknown_preset_is_answered_with_the_known_ones():
    with pytest.raises(LeighError, match=r"'incell' is no preset.*harmony, generic"):
        parse_name("B03.png", "incell")
