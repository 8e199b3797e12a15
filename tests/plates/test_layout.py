import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.layout import plate_shape, position_features, probe_position
from leigh_mlops.plates.names import well_name
from leigh_mlops.plates.table import find_images


def plate(n_rows, n_cols, condition):
    places = [(row, col) for row in range(1, n_rows + 1) for col in range(1, n_cols + 1)]
    return pd.DataFrame(
        {
            "Metadata_Plate": "p",
            "Metadata_Well": [well_name(*place) for place in places],
            "Metadata_Row": [row for row, _ in places],
            "Metadata_Col": [col for _, col in places],
            "Metadata_Condition": [condition(row, col) for row, col in places],
        }
    )


@pytest.mark.parametrize(
    ("place", "shape"),
    [((2, 3), (2, 3)), ((3, 3), (3, 4)), ((8, 12), (8, 12)), ((9, 2), (16, 24)), ((32, 48), (32, 48))],
)
def test_the_smallest_plate_that_holds_all(place, shape):
    assert plate_shape(pd.DataFrame({"Metadata_Row": [1, place[0]], "Metadata_Col": [1, place[1]]})) == shape


def test_wells_off_every_plate():
    with pytest.raises(LeighError, match="row 33, column 1 is on no plate"):
        plate_shape(pd.DataFrame({"Metadata_Row": [33], "Metadata_Col": [1]}))


def test_features_by_hand():
    # Row 2 of 3 is the middle, column 5 of 5 the right edge; the plate's middle is 1 from all edges.
    features = position_features([2, 2], [5, 3], 3, 5)
    np.testing.assert_allclose(features[0], [0, 1, 0, 0, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(features[1], [0, 0, 1, 0, 0, 1, 0, 0, 0])


def test_a_mirrored_plate_has_mirrored_features():
    rows, cols = np.array([1, 4, 8]), np.array([2, 6, 12])
    signs = [-1, 1, 1, 1, 1, 1, -1, -1, 1]
    np.testing.assert_allclose(position_features(9 - rows, cols, 8, 12), position_features(rows, cols, 8, 12) * signs)


def test_blocks_are_given_away_and_columns_in_turn_are_not():
    alternate = plate(8, 12, lambda _, col: "DS" if col % 2 else "TT")
    assert probe_position(alternate)["auc"] < 0.65
    blocks = plate(8, 12, lambda _, col: "DS" if col <= 6 else "TT")
    assert probe_position(blocks)["auc"] > 0.95


def test_three_classes_and_edges():
    # Only a function of the edge distance tells the rim from the middle.
    rim = plate(8, 12, lambda row, col: "WT" if row in (1, 8) or col in (1, 12) else "DS" if col < 7 else "TT")
    scores = probe_position(rim)
    assert scores["auc"] > 0.95
    assert scores["accuracy"] > 0.9


def test_too_few_wells_give_no_score():
    assert probe_position(plate(1, 4, lambda *_: "DS")) == {}
    assert probe_position(plate(1, 4, lambda _, col: "TT" if col == 1 else "DS")) == {}
    assert probe_position(plate(1, 4, lambda *_: None).astype({"Metadata_Condition": "str"})) == {}
    assert set(probe_position(plate(1, 4, lambda _, col: "TT" if col < 3 else "DS"))) == {"accuracy", "auc"}


@pytest.mark.skipif("LEIGH_DATA" not in os.environ, reason="LEIGH_DATA names no folder of real plates")
def test_real_plates():
    root = Path(os.environ.get("LEIGH_DATA", ""))
    assert 0.35 < probe_position(find_images(root / "leigh_ds_tt").table)["auc"] < 0.65
    assert probe_position(find_images(root / "leigh_ds_wt").table)["auc"] > 0.9
