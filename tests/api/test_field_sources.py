"""Arrays and tables that a notebook may not hand in."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.api.field_sources import check_arrays
from leigh_mlops.api.model import Model
from leigh_mlops.errors import LeighError

GOOD = np.ones((1, 2, 40, 40), np.uint16)


def test_good_arrays_are_predicted(model: Model) -> None:
    assert len(model.predict(GOOD)) == 1


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (GOOD[0], {}, r"have the shape \(2, 40, 40\); pass \(N, C, H, W\), a single image as image\[None\]"),
        (GOOD[:0], {}, "There are no images"),
        ([], {}, "There are no images"),
        ("plate", {}, r"have the shape \(\)"),
        ([GOOD[0, 0]], {}, r"images\[0\] has the shape \(40, 40\)"),
        (GOOD.astype(float), {}, r"images\[0\] is float64; pass the raw counts of the camera as uint8 or uint16"),
        (np.full(GOOD.shape, np.nan), {}, "float64, and not all values are finite; pass the raw counts"),
        (GOOD.astype(np.int32), {}, "is int32"),
        (GOOD.astype(np.uint8), {}, "reaches 255 where the model's images reach 65535"),
        (np.ones((1, 3, 40, 40), np.uint16), {}, r"images\[0\] has 3 channels, but the names are DAPI, TMRM; name the"),
        (GOOD, {"channels": ["DAPI", "GFP"]}, "has the channels DAPI, GFP, but the model needs DAPI, TMRM"),
        (np.ones((1, 3, 40, 40), np.uint16), {"channels": ["DAPI", "TMRM", "TMRM"]}, "names a channel twice"),
        (pd.DataFrame({"a": [1]}), {}, "lacks the columns Metadata_Plate, Metadata_Well, Metadata_Site"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_remedy(
    model: Model, images: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LeighError, match=sentence):
        model.predict(images, **options)


def test_tables_name_their_own_channels_and_have_rows(model: Model, table: pd.DataFrame) -> None:
    with pytest.raises(LeighError, match="a table names its channels; leave it out"):
        model.predict(table, channels=["DAPI", "TMRM"])
    with pytest.raises(LeighError, match="The table has no rows"):
        model.predict(table.head(0))
    with pytest.raises(LeighError, match="The table has the channels DAPI, but the model needs DAPI, TMRM"):
        model.predict(table.drop(columns=["FileName_TMRM", "PathName_TMRM"]))


def test_images_of_several_sizes_are_a_list() -> None:
    images = [np.ones((2, side, side), np.uint16) for side in (32, 48)]
    assert [image.shape for image in check_arrays(images)] == [(2, 32, 32), (2, 48, 48)]
