from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from leigh_mlops.api.montage import show
from leigh_mlops.errors import LeighError
from leigh_mlops.report.rendering import composite
from tests.api.conftest import read_arrays


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.texts)


def pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_a_montage_draws_fields_on_one_scale_that_it_states(table: pd.DataFrame) -> None:
    figure = show(table.head(5), limits=[(0, 1000), (0, 500)])
    drawn = pictures(figure)
    assert len(drawn) == 5
    for picture, image in zip(drawn, read_arrays(table.head(5)), strict=True):
        np.testing.assert_array_equal(picture, composite(image, ["DAPI", "TMRM"], [(0, 1000), (0, 500)]))
    said = texts(figure)
    assert "5 fields of plate" in said
    assert "Raw intensity from black to full colour: DAPI 0 to 1000, TMRM 0 to 500. One scale." in said
    for _, row in table.head(5).iterrows():
        assert f"{row['Metadata_Well']}, field {row['Metadata_Site']}, {row['Metadata_Condition']}" in said


def test_the_scale_is_that_of_all_images(table: pd.DataFrame) -> None:
    images = read_arrays(table.head(4))
    alone, together = show(images[:1]), show(images * np.array([1, 2, 3, 4], np.uint16)[:, None, None, None])
    assert pictures(alone)[0].sum() > 1.5 * pictures(together)[0].sum()


def test_channels_are_chosen_by_name(table: pd.DataFrame) -> None:
    (blue,) = pictures(show(table.head(1), channels=["DAPI"]))
    (green,) = pictures(show(table.head(1), channels=["TMRM"]))
    assert blue[..., 2].sum() > 2 * blue[..., 1].sum()
    assert green[..., 1].sum() > 2 * green[..., 2].sum()


def test_a_notebook_gets_a_picture(table: pd.DataFrame) -> None:
    assert show(table.head(1))._repr_png_().startswith(b"\x89PNG")


def test_large_images_are_shrunk_and_long_lists_are_cut(table: pd.DataFrame) -> None:
    large = np.ones((1, 1, 900, 450), np.float32)
    large[:, :, 0, 0] = 2
    assert pictures(show(large))[0].shape[:2] == (448, 224)
    figure = show(np.tile(large[:, :, :8, :8], (30, 1, 1, 1)), columns=2)
    assert len(pictures(figure)) == 24
    assert "6 more images not shown" in texts(figure)


def test_a_field_that_cannot_be_read_is_black_and_says_so(table: pd.DataFrame) -> None:
    broken = table.head(2).copy()
    broken.loc[1, "FileName_TMRM"] = "absent.tiff"
    figure = show(broken)
    assert "B03, field 1, TT, unreadable" in texts(figure)
    first, second = pictures(figure)
    assert first.any()
    assert not second.any()
    with pytest.raises(LeighError, match=r"absent\.tiff"):
        show(broken.iloc[[1]])


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (np.ones((2, 8, 8)), {}, r"pass \(N, C, H, W\), one image as image\[None\]"),
        ([], {}, "There are no images"),
        ([np.ones((8, 8))], {}, r"pass numbers of shape \(C, H, W\)"),
        (np.array([[[["a"]]]]), {}, r"pass numbers of shape \(C, H, W\)"),
        (np.ones((1, 2, 8, 8)), {"channels": ["DAPI"]}, "has 2 channels, but the names are DAPI"),
        (np.ones((1, 1, 8, 8)), {"limits": [(2, 1)]}, "limits="),
        (np.ones((1, 1, 8, 8)), {"titles": ["a", "b"]}, "There are 2 titles for 1 images"),
    ],
)
def test_what_cannot_be_drawn_is_refused(images: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LeighError, match=sentence):
        show(images, **options)


def test_a_channel_that_the_table_lacks_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(LeighError, match="The table has no channel 'GFP'; choose from DAPI, TMRM"):
        show(table, channels=["GFP"])
