import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.pixel_sizes import differing_scales, require_one_scale, scale_phrases


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
    with pytest.raises(LeighError, match=r"differ in scale .*train on plates of one scale, or export"):
        require_one_scale(mixed)
    require_one_scale(mixed.assign(Metadata_Condition=["DS", "WT", None]))  # the other plate trains nothing
