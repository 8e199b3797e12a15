import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.plates.confounds import (
    position_effects,
    probe_confounds,
    probe_features,
    probe_plate,
    probe_position,
)
from leigh_mlops.plates.find_images import find_images
from leigh_mlops.plates.names import well_name


def plate(n_rows, n_cols, condition, name="p", fields=1):
    return pd.DataFrame(
        [
            {
                "Metadata_Plate": name,
                "Metadata_Well": well_name(row, col),
                "Metadata_Site": site,
                "Metadata_Row": row,
                "Metadata_Col": col,
                "Metadata_Condition": condition(row, col),
            }
            for row in range(1, n_rows + 1)
            for col in range(1, n_cols + 1)
            for site in range(1, fields + 1)
        ]
    )


def alternate(row, col):
    return "DS" if col % 2 else "TT"


def test_blocks_are_given_away_and_columns_in_turn_are_not():
    assert probe_position(plate(8, 12, alternate))["auc"] < 0.65
    blocks = plate(8, 12, lambda _, col: "DS" if col <= 6 else "TT")
    assert probe_position(blocks)["auc"] > 0.95


def test_three_classes_and_edges():
    # Only a function of the edge distance tells the rim from the middle.
    rim = plate(8, 12, lambda row, col: "WT" if row in (1, 8) or col in (1, 12) else "DS" if col < 7 else "TT")
    scores = probe_position(rim)
    assert scores["auc"] > 0.95
    assert scores["accuracy"] > 0.9


@pytest.mark.parametrize("probe", [probe_position, probe_plate])
def test_too_few_wells_give_no_score(probe):
    assert probe(plate(1, 4, lambda *_: "DS")) == {}
    assert probe(plate(1, 4, lambda _, col: "TT" if col == 1 else "DS")) == {}
    assert probe(plate(1, 4, lambda *_: None).astype({"Metadata_Condition": "str"})) == {}
    scores = probe(plate(1, 4, lambda _, col: "TT" if col < 3 else "DS"))
    assert set(scores) == {"accuracy", "balanced_accuracy", "auc", "majority_share"}


def test_a_position_that_tells_nothing_is_as_accurate_as_the_share_of_the_largest_class():
    rng = np.random.default_rng(0)
    scores = probe_position(plate(8, 12, lambda *_: "DS" if rng.random() < 0.8 else "TT"))
    assert scores["accuracy"] > 0.7
    assert scores["accuracy"] == pytest.approx(scores["majority_share"], abs=0.03)
    assert scores["balanced_accuracy"] == pytest.approx(0.5, abs=0.05)


def test_folds_that_are_drawn_again_steady_a_small_plate():
    rng = np.random.default_rng(0)
    tables = [plate(4, 6, lambda *_: "DS" if rng.random() < 0.5 else "TT") for _ in range(5)]
    moved = [[probe_position(table, seed=seed)["auc"] for seed in range(4)] for table in tables]
    assert np.std(moved, axis=1).mean() < 0.06
    assert probe_position(tables[0], seed=1) == probe_position(tables[0], seed=1)


def test_plates_of_one_class_give_it_away_and_mixed_plates_do_not():
    mixed = pd.concat([plate(4, 6, alternate, name) for name in "abc"], ignore_index=True)
    assert probe_plate(mixed)["auc"] < 0.6
    apart = mixed.assign(Metadata_Condition=mixed["Metadata_Plate"].map({"a": "DS", "b": "TT", "c": "DS"}))
    assert probe_plate(apart)["auc"] == 1.0
    assert probe_plate(apart)["accuracy"] == 1.0
    # Half of the wells of TT are on a plate of their own.
    partly = pd.concat([plate(4, 6, lambda *_: "TT", "a"), plate(4, 12, alternate, "b")], ignore_index=True)
    assert 0.65 < probe_plate(partly)["auc"] < 0.85


def test_one_plate_says_nothing_of_the_class():
    table = plate(1, 10, lambda _, col: "DS" if col < 8 else "TT", fields=3)
    assert probe_plate(table) == {"accuracy": 0.7, "balanced_accuracy": 0.5, "auc": 0.5, "majority_share": 0.7}


def background(table, gap, seed=0):
    rng = np.random.default_rng(seed)
    shift = np.where(table["Metadata_Condition"] == "DS", gap, 0)
    level, spread = rng.normal(100, 1, len(table)) + shift, rng.normal(3, 1, len(table))
    return pd.DataFrame({"background_DAPI": level, "background_spread_DAPI": spread}, index=table.index)


def test_a_brighter_background_gives_the_class_away():
    table = plate(8, 12, alternate, fields=3)
    assert 0.3 < probe_features(table, background(table, 0))["auc"] < 0.65
    assert probe_features(table, background(table, 5))["auc"] > 0.99


def test_gaps_in_the_background_are_left_out():
    table = plate(4, 6, alternate, fields=2)
    features = background(table, 5).assign(background_TMRM=np.nan)
    features.iloc[::5, 0] = np.nan
    features.iloc[1, 1] = np.inf
    assert probe_features(table, features)["auc"] > 0.95
    assert probe_features(table, features * np.nan) == {}
    assert probe_features(table, features[[]]) == {}
    # Of the wells of TT, only the fields of one can be used.
    unusable = (table["Metadata_Condition"] == "TT") & (table["Metadata_Well"] != "A02")
    assert probe_features(table, features.mask(unusable)) == {}


def test_all_confounds():
    table = plate(4, 6, alternate)
    found = probe_confounds(table)
    assert list(found) == ["position", "plate", "background"]
    assert found["position"] == probe_position(table)
    assert found["plate"] == probe_plate(table)
    assert found["background"] == {}
    assert probe_confounds(table, {"background": {"DAPI": background(table, 5)}})["background"]["auc"] > 0.9


def effects(table, values):
    found = position_effects(table, pd.DataFrame({"m": values}, index=table.index))
    return found.set_index("effect")["explained"]


def test_noise_is_no_effect():
    table = plate(8, 12, alternate)
    found = [effects(table, np.random.default_rng(seed).normal(size=96)) for seed in range(30)]
    assert (pd.DataFrame(found).mean() < 0.03).all()


PLANTED = {
    "row": lambda row, col: row - 4.5,
    "column": lambda row, col: np.sin(2.0 * col),
    "edge": lambda row, col: np.isin(row, (1, 8)) | np.isin(col, (1, 12)),
}


@pytest.mark.parametrize("effect", PLANTED)
def test_a_planted_effect_is_found_with_its_size(effect):
    table = plate(8, 12, lambda row, col: "DS" if (row * 7 + col * 5) % 3 else "TT")
    planted = np.asarray(PLANTED[effect](table["Metadata_Row"], table["Metadata_Col"]), float)
    planted = (planted - planted.mean()) / planted.std()
    found = []
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(size=96)
        assert effects(table, noise)[effect] < 0.4
        found.append(effects(table, noise + 1.5 * planted)[effect])
    # The variance of the effect is 1.5², that of the noise 1.
    assert np.mean(found) == pytest.approx(1.5**2 / (1.5**2 + 1), abs=0.06)


def test_a_class_laid_out_by_column_is_no_effect():
    table = plate(8, 12, alternate)
    noise = np.random.default_rng(1).normal(size=96)
    classes = 50.0 * (table["Metadata_Condition"] == "DS")
    pd.testing.assert_series_equal(effects(table, noise + classes), effects(table, noise))
    # Without the classes, the same values are an effect of the column.
    assert effects(table.assign(Metadata_Condition=None), noise + classes)["column"] > 0.9


def test_what_class_and_row_share_is_left_out():
    table = plate(8, 12, lambda row, _: f"c{row}")
    assert set(effects(table, np.random.default_rng(0).normal(size=96)).index) == {"column", "edge"}


def test_wells_have_the_median_of_their_fields():
    table = plate(8, 12, alternate, fields=3)
    values = table["Metadata_Row"].astype(float) + np.random.default_rng(0).normal(0, 0.1, len(table))
    # One broken field of three, in some wells: it moves their means and not their medians.
    broken = (table["Metadata_Site"] == 1) & ((3 * table["Metadata_Row"] + 5 * table["Metadata_Col"]) % 7 < 3)
    values[broken] = 1e6
    found = position_effects(table, pd.DataFrame({"m": values}))
    assert found.set_index("effect").loc["row", "explained"] > 0.9
    assert (found["wells"] == 96).all()


def test_small_plates_of_noise_rarely_have_a_small_p():
    tables = [plate(3, 4, lambda row, col: "DS" if (row + col) % 2 else "TT", f"p{k:03d}") for k in range(150)]
    table = pd.concat(tables, ignore_index=True)
    noise = np.random.default_rng(0).normal(size=len(table))
    found = position_effects(table, pd.DataFrame({"m": noise}))
    assert (found["wells"] == 12).all()
    assert (found["p"] < 0.001).mean() < 0.005
    # Under noise alone, p is even.
    assert (found["p"] < 0.1).mean() == pytest.approx(0.1, abs=0.05)
    planted = position_effects(table, pd.DataFrame({"m": noise + 10.0 * table["Metadata_Row"]}))
    assert (planted.loc[planted["effect"] == "row", "p"] < 0.001).mean() > 0.95


def rim(table, n_rows, n_cols):
    return table["Metadata_Row"].isin([1, n_rows]) | table["Metadata_Col"].isin([1, n_cols])


def test_a_small_plate_has_its_own_edge_beside_a_large_one():
    small, large = plate(8, 12, alternate, "a"), plate(16, 24, alternate, "b")
    both = pd.concat([small, large], ignore_index=True)
    values = 2.0 * pd.concat([rim(small, 8, 12), rim(large, 16, 24)], ignore_index=True)
    values += np.random.default_rng(0).normal(size=len(both))
    alone = position_effects(small, pd.DataFrame({"m": values[:96]}))
    beside = position_effects(both, pd.DataFrame({"m": values}))
    pd.testing.assert_frame_equal(beside[beside["plate"] == "a"], alone)
    # A class that stands on the rim is given away, too.
    edges = pd.concat([rim(small, 8, 12), rim(large, 16, 24)], ignore_index=True)
    classes = both.assign(Metadata_Condition=edges.map({True: "WT", False: "DS"}))
    assert probe_position(classes)["auc"] > 0.98


def test_a_few_wells_that_alternate_fall_below_chance():
    # The neighbours of the well that is left out are of the other class; that is not flipped.
    assert probe_position(plate(1, 12, alternate))["auc"] < 0.45
    assert probe_position(plate(2, 6, alternate))["auc"] < 0.45


def test_the_long_table():
    table = pd.concat([plate(8, 12, alternate, name) for name in "ab"], ignore_index=True)
    rng = np.random.default_rng(0)
    values = pd.DataFrame({"x": rng.normal(size=192), "y": rng.normal(size=192), "constant": 3.0})
    values.loc[:9, "y"] = np.nan
    found = position_effects(table, values)
    assert list(found) == ["plate", "measure", "effect", "explained", "p", "wells"]
    assert len(found) == 2 * 2 * 3
    assert found["explained"].between(0, 1).all()
    wells = found.drop_duplicates(["plate", "measure"]).set_index(["plate", "measure"])["wells"]
    assert wells.to_dict() == {("a", "x"): 96, ("a", "y"): 86, ("b", "x"): 96, ("b", "y"): 96}
    # Alone, a plate has the same effects as beside another.
    alone = position_effects(table[:96], values[:96])
    pd.testing.assert_frame_equal(alone, found[found["plate"] == "a"].reset_index(drop=True))


def test_too_few_wells_have_no_effects():
    assert position_effects(plate(2, 3, alternate), pd.DataFrame({"m": range(6)})).empty
    assert position_effects(plate(2, 3, alternate), pd.DataFrame(index=range(6))).empty


@pytest.mark.skipif("LEIGH_DATA" not in os.environ, reason="LEIGH_DATA names no folder of real plates")
def test_real_plates():
    root = Path(os.environ.get("LEIGH_DATA", ""))
    columns = probe_confounds(find_images(root / "leigh_ds_tt").table)
    assert 0.35 < columns["position"]["auc"] < 0.6
    assert columns["plate"]["auc"] == 0.5
    assert probe_confounds(find_images(root / "leigh_ds_wt").table)["position"]["auc"] > 0.9


def test_features_by_chance_rarely_exceed_the_auc_of_chance() -> None:
    wells = pd.DataFrame(
        {
            "Metadata_Plate": "P", "Metadata_Well": [f"A{number:02d}" for number in range(16)],
            "Metadata_Condition": ["DS", "WT"] * 8,
        }
    )  # fmt: skip
    found = [
        probe_features(wells, pd.DataFrame(np.random.default_rng(seed).normal(size=(16, 3)))) for seed in range(25)
    ]
    assert sum(scores["auc"] > 0.8 for scores in found) > sum(scores["auc"] > scores["chance_auc"] for scores in found)
    assert sum(scores["auc"] > scores["chance_auc"] for scores in found) <= 1
