"""Scores of drawn profiles of a screen whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.study.profile_scores import consistency_table, find_roles, score_profiles, treatment_table
from leigh_mlops.study.profiles import Profiles

EFFECTS = {"a1": 0, "a2": 0, "b1": 1, "b2": 1, "dud": None}
"""Axis along which each compound moves the profile of its wells."""


def screen(plate_effect: float = 0.0, wells: int = 3) -> Profiles:
    """Two plates with 8 negative controls and some wells of each compound."""
    rng = np.random.default_rng(0)
    rows, features = [], []
    for plate in ("P1", "P2"):
        contents = ["DMSO"] * 8 + [name for name in EFFECTS for _ in range(wells)]
        for place, compound in enumerate(contents):
            axis = EFFECTS.get(compound)
            features.append(rng.normal(size=6) + (0 if axis is None else 6 * np.eye(6)[axis]))
            features[-1][5] += plate_effect * (plate == "P2")
            rows.append({
                "Metadata_Plate": plate, "Metadata_Well": f"A{place + 1:02d}", "Metadata_compound": compound,
                "Metadata_Control": "negcon" if compound == "DMSO" else None,
                "Metadata_moa": None if compound in ("DMSO", "dud") else compound[0],
            })  # fmt: skip
    return Profiles(pd.DataFrame(rows), np.array(features), tuple(f"Image_Embedding_{n}" for n in range(6)))


def test_active_compounds_are_found_and_inert_ones_not() -> None:
    wells = screen()
    table = treatment_table(wells, find_roles(wells.metadata)).set_index("compound")
    assert (table["wells"] == 6).all()
    assert (table["plates"] == 2).all()
    assert set(table.index[table["activity_q"] < 0.05]) == {"a1", "a2", "b1", "b2"}
    assert table["activity"]["a1"] > 0.95
    assert table.index[-1] == "dud"


def test_compounds_of_one_mechanism_find_each_other() -> None:
    wells = screen()
    roles = find_roles(wells.metadata)
    assert roles.annotation == "Metadata_moa"
    found = consistency_table(wells, roles).set_index("annotation")
    assert found["compounds"].to_dict() == {"a": 2, "b": 2}
    assert (found["consistency"] == 1).all()
    mixed = wells.metadata.assign(Metadata_moa=wells.metadata["Metadata_compound"].str[1].where(roles.annotated >= 0))
    assert (consistency_table(wells, find_roles(mixed))["consistency"] < 0.6).all()


def test_doses_are_treatments_of_one_compound() -> None:
    wells = screen(wells=4)
    doses = np.where(np.arange(len(wells.metadata)) % 2, 1.0, 10.0)
    metadata = wells.metadata.assign(
        Metadata_dose_uM=np.where(wells.metadata["Metadata_Control"].isna(), doses, np.nan)
    )
    roles = find_roles(metadata)
    table = treatment_table(wells, roles)
    assert list(table)[:3] == ["compound", "dose", "wells"]
    assert len(table) == 10
    assert len(np.unique(roles.compound[roles.compound >= 0])) == 5
    assert (consistency_table(wells, roles)["compounds"] == 2).all()


def test_the_share_of_the_plate_is_that_of_the_variance() -> None:
    scores = [score_profiles("embedding", "none", wells, wells, find_roles(wells.metadata)) for wells in
              (screen(), screen(plate_effect=20.0))]  # fmt: skip
    assert scores[0].plate_share < 0.05
    assert scores[1].plate_share > 0.7
    assert scores[0].replicate_map > scores[1].replicate_map > scores[0].replicate_chance
    assert (scores[0].treatments, scores[0].active) == (5, 4)
    one = screen()
    one = Profiles(one.metadata.assign(Metadata_Plate="P").drop(columns="Metadata_moa"), one.features, one.names)
    alone = score_profiles("embedding", "none", one, one, find_roles(one.metadata)).to_json()
    assert alone["plate_share"] is None
    assert alone["consistency_map"] is None


def test_without_compounds_replicates_are_classes_or_fields() -> None:
    wells = screen()
    metadata = wells.metadata.drop(columns=["Metadata_compound", "Metadata_moa"])
    classes = np.where(np.argmax(wells.features, axis=1) == 0, "DS", "WT")
    assert find_roles(wells.metadata).replicates == "treatment"
    assert find_roles(metadata.assign(Metadata_Condition=classes)).replicates == "class"
    roles = find_roles(metadata)
    assert roles.replicates == "well"
    twice = Profiles(pd.concat([metadata, metadata], ignore_index=True), np.tile(wells.features, (2, 1)), wells.names)
    assert score_profiles("embedding", "none", wells, twice, roles).replicate_map == pytest.approx(1)
    nothing = score_profiles("embedding", "none", wells, wells, roles).to_json()
    assert nothing["replicate_map"] is None
    assert nothing["activity_map"] is None


def test_a_column_that_does_not_exist_is_named() -> None:
    with pytest.raises(
        LeighError, match="--consistency 'gene' is no column of the wells; choose from Metadata_Control"
    ):
        find_roles(screen().metadata, annotation="gene")
    assert find_roles(screen().metadata, annotation="Control").annotation == "Metadata_Control"
