"""Table of counterfactuals beside references and real fields."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.screening.counterfactual_table import counterfactual_table
from leigh_mlops.screening.field_flags import OWN_FLAGS, TRUST_FLAGS, downgrade_flagged

FIELDS = 40


def package() -> Any:
    """A model of two classes with two competent oracles."""
    ceiling = {"cnn": np.array([0.9, 1.0]), "forest": np.array([0.8, 0.7]), "resnet": np.array([0.5, 0.5])}
    oracles = SimpleNamespace(competent=("cnn", "forest"), ceiling=ceiling)
    typicality = {1: SimpleNamespace(scale=np.full(4, 2.0))}
    spec = SimpleNamespace(classes=("DS", "WT"))
    return SimpleNamespace(model=SimpleNamespace(spec=spec), oracles=oracles, typicality=typicality)


def table(**changed: Any) -> pd.DataFrame:
    """Half of the fields are DS and lead to WT; the cnn sees WT in all, the forest in every second one."""
    half = FIELDS // 2
    typical = {
        "status": ["green"] * half + [None] * half, "reasons": [""] * half + [None] * half,
        "class": ["WT"] * half + [None] * half, "oracles": [2.0, 1.0] * (half // 2) + [np.nan] * half,
        "oracles_asked": [2.0] * half + [np.nan] * half, "oracle_cnn_class": ["WT"] * half + [None] * half,
        "oracle_forest_class": ["WT", "DS"] * (half // 2) + [None] * half,
    }  # fmt: skip
    nothing = {"class": ["DS"] * FIELDS, "oracles": [0.0] * FIELDS, "oracles_asked": [2.0] * FIELDS}
    columns = {
        "Metadata_Plate": "P", "Metadata_Well": [f"B{number // 2:02d}" for number in range(FIELDS)],
        "Metadata_Condition": ["DS"] * half + ["WT"] * half, "field": [f"f{number}" for number in range(FIELDS)],
        "seen": [True] * FIELDS, "predicted": ["DS"] * half + ["WT"] * (half - 1) + ["DS"],
        "counterfactual_target": ["WT"] * half + [None] * half,
        **{f"counterfactual_typical_{name}": values for name, values in typical.items()},
        **{f"reference_nothing_{name}": values for name, values in nothing.items()},
    }  # fmt: skip
    return pd.DataFrame(columns | changed)


def textures(shift: float) -> dict[str, dict[str, list[float]]]:
    """Texture of every field, and of counterfactuals that differ from real fields by a shift."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(FIELDS, 2, 4))
    return {
        f"f{number}": {"image": drawn[number, 0].tolist(), "typical": (drawn[number, 1] + shift).tolist()}
        for number in range(FIELDS)
    }


def row(found: pd.DataFrame, images: str) -> Any:
    """The row of one kind of image."""
    (only,) = found[found["images"] == images].to_dict("records")
    return only


def test_shares_are_of_the_fields_that_hold_cells() -> None:
    found = counterfactual_table(table(), {}, package())
    assert found["target"].unique().tolist() == ["WT"]
    assert found["images"].tolist() == ["real fields", "nothing", "typical"]
    typical = row(found, "typical")
    assert (typical["fields"], typical["empty_fields"]) == (20, 0)
    assert (typical["network"], typical["oracle_cnn"], typical["oracle_forest"]) == (1.0, 1.0, 0.5)
    assert typical["most_oracles"] == 0.5
    assert row(found, "nothing")["network"] == row(found, "nothing")["most_oracles"] == 0
    empty = ["", "no cells; oracles"] * 10 + [None] * 20
    without = row(counterfactual_table(table(counterfactual_typical_reasons=empty), {}, package()), "typical")
    assert (without["fields"], without["empty_fields"], without["oracle_forest"]) == (10, 10, 1.0)


def test_unseen_fields_alone_count_where_there_are_enough() -> None:
    few, enough = ([number % each > 0 for number in range(FIELDS)] for each in (4, 2))
    assert not row(counterfactual_table(table(seen=few), {}, package()), "typical")["unseen"]
    found = counterfactual_table(table(seen=enough), {}, package())
    typical = row(found, "typical")
    assert (typical["unseen"], typical["fields"], typical["oracle_forest"]) == (True, 10, 1.0)
    assert (row(found, "real fields")["unseen"], row(found, "real fields")["fields"]) == (True, 10)


def test_areas_of_structures_stand_beside_each_other() -> None:
    before = {"image_mitochondria_area": [0.1] * 20 + [0.4] * 20, "image_intensity_TMRM": [1.0] * FIELDS}
    after = {"counterfactual_typical_after_mitochondria_area": [0.2, 0.4] * 10 + [np.nan] * 20}
    assert not any(name.startswith("area_") for name in counterfactual_table(table(), {}, package()))
    found = counterfactual_table(table(**before, **after), {}, package())
    areas = {images: row(found, images)["area_mitochondria"] for images in ("real fields", "nothing", "typical")}
    assert areas == pytest.approx({"real fields": 0.4, "nothing": 0.1, "typical": 0.3})
    assert [name for name in found if name.startswith("area_")] == ["area_mitochondria"]


def test_real_fields_have_the_ceiling_of_each_oracle() -> None:
    real = row(counterfactual_table(table(), {}, package()), "real fields")
    assert (real["oracle_cnn"], real["oracle_forest"]) == (1.0, 0.7)
    assert "oracle_resnet" not in real
    assert real["network"] == pytest.approx(19 / 20)
    assert real["fields"] == 20


def test_realism_compares_with_real_fields_of_the_target() -> None:
    near, far = (row(counterfactual_table(table(), textures(shift), package()), "typical") for shift in (0.0, 9.0))
    assert near["realism_auc"] < 0.8
    assert far["realism_auc"] > 0.99
    assert near["frechet"] < 1
    assert far["frechet"] == pytest.approx(4 * 4.5**2, rel=0.2)  # four features, each 9 apart and divided by 2
    assert np.isnan(row(counterfactual_table(table(), {}, package()), "typical")["realism_auc"])


def test_unlabelled_plates_take_the_prediction_of_the_model() -> None:
    unlabelled = table().drop(columns="Metadata_Condition")
    real = row(counterfactual_table(unlabelled, {}, package()), "real fields")
    assert (real["fields"], real["network"]) == (19, 1.0)


def test_a_job_that_asked_no_oracle_has_no_table() -> None:
    assert counterfactual_table(table().drop(columns="counterfactual_typical_oracles_asked"), {}, package()).empty


def test_a_counterfactual_of_a_flagged_field_is_not_green() -> None:
    fields = pd.DataFrame(
        {
            "counterfactual_typical_status": ["green", "green", "red", None, "green"],
            "counterfactual_typical_reasons": ["", "", "oracles", None, ""],
            "counterfactual_boundary_status": ["green"] * 5,
        }
    )
    flags = pd.DataFrame(False, fields.index, list(TRUST_FLAGS))
    flags.loc[1:3, OWN_FLAGS[0]] = True
    flags.loc[4, [name for name in TRUST_FLAGS if name not in OWN_FLAGS]] = True
    found = downgrade_flagged(fields, flags)
    assert found["counterfactual_typical_status"].fillna("-").tolist() == ["green", "amber", "red", "-", "green"]
    assert found["counterfactual_typical_reasons"].fillna("-").tolist() == ["", "flagged", "oracles; flagged", "-", ""]
    assert found["counterfactual_boundary_status"].tolist() == ["green"] * 5
