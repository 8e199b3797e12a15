import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.pixel_sizes import (
    chosen_width,
    differing_scales,
    require_one_scale,
    scale_phrases,
    set_field_width,
    widths_differ,
)


def table(**columns):
    return pd.DataFrame({"Metadata_Plate": ["a", "a", "b"], "Metadata_Condition": ["DS", "WT", "DS"]} | columns)


def test_plates_of_one_scale(tmp_path):
    for sizes in ([0.65, 0.65, 0.651], [0.65, None, 0.65], [None] * 3):
        assert differing_scales(table(Metadata_PixelSize_um=pd.Series(sizes, dtype=float))) == {}
    require_one_scale(table())


def test_plates_whose_scales_differ_are_named_and_refused():
    mixed = table(Metadata_PixelSize_um=[0.65, 0.65, 0.325], Metadata_Magnification=[10.0, 10.0, 20.0])
    assert differing_scales(mixed) == {
        "Metadata_PixelSize_um": {"a": [0.65], "b": [0.325]},
        "Metadata_Magnification": {"a": [10.0], "b": [20.0]},
    }
    assert scale_phrases(differing_scales(mixed))[0] == (
        "plates differ in scale (0.65 µm per pixel: a; 0.325 µm per pixel: b)"
    )
    with pytest.raises(LeighError, match=r"differ in scale .*train on plates of one scale, or cut .*--field-um"):
        require_one_scale(mixed)
    require_one_scale(mixed.assign(Metadata_Condition=["DS", "WT", None]))  # the other plate trains nothing


def test_one_width_of_all_fields_is_one_scale():
    mixed = table(Metadata_PixelSize_um=[0.65, 0.65, 0.325], Metadata_Magnification=[10.0, 10.0, 20.0])
    assert (chosen_width(mixed), bool(differing_scales(mixed))) == (None, True)
    cut = set_field_width(mixed, 300)
    require_one_scale(cut)
    assert (chosen_width(cut), differing_scales(cut)) == (300.0, {})
    assert chosen_width(set_field_width(cut, 302)) == 302.0
    for asked, width, said in (
        (cut, 250, "cuts squares of 300 µm out of its fields where 250 µm are asked for"),
        (mixed, 0, "0 µm can't be cut"),
        (mixed.assign(Metadata_PixelSize_um=[0.65, 0.65, None]), 300, "pixel size of plate b is not known"),
        (table(), 300, "pixel size of plate a is not known"),
    ):
        with pytest.raises(LeighError, match=said):
            set_field_width(asked, width)
    with pytest.raises(LeighError, match=r"several widths in Metadata_Field_um \(300, nan\)"):
        chosen_width(cut.assign(Metadata_Field_um=[300, 300, None]))


def test_widths_of_one_calibration():
    assert not widths_differ(0.65, 0.66)
    assert widths_differ(0.65, 0.67)
    assert widths_differ(0.67, 0.65)
