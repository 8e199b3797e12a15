from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from leigh_mlops.errors import LeighError
from leigh_mlops.scores.control_cloud import ControlCloud
from leigh_mlops.scores.dose_response import FitProblem
from leigh_mlops.scores.rescue import no_effect_p
from leigh_mlops.screening.compounds import (
    DOSE_COLUMNS,
    CompoundOutcome,
    TreatedWells,
    compound_tables,
    count_unscored_wells,
    dose_column,
)
from leigh_mlops.screening.treatment_activity import TreatmentActivity

CONTROLS = {"P": {"source": np.array([-1.0, 0.0, 1.0, 0.0]), "target": np.array([9.0, 10.0, 11.0, 10.0])}}


def treated(**scores: list[float]) -> TreatedWells:
    """Wells of each compound by their score; the way from disease to health is 10 long."""
    rows = [(name, score) for name, each in scores.items() for score in each]
    wells = pd.DataFrame(rows, columns=["compound", "score"]).assign(Metadata_Plate="P")
    return TreatedWells(wells.assign(rescue=10 * wells["score"], robust_z=wells["score"] / 0.7413), CONTROLS)


def test_replicates_are_joined() -> None:
    hits, doses = compound_tables(treated(good=[5.0, 6.0, 7.0], inert=[0.5, -0.5]))
    good = hits.set_index("compound").loc["good"]
    assert good["rescue"] == pytest.approx(60)
    assert good["z"] == pytest.approx(6 / 0.7413)
    assert (good["wells"], good["plates"], good["interval"], bool(good["hit"])) == (3, 1, "t", True)
    assert good["outcome"] == CompoundOutcome.HIT
    assert doses.columns.tolist() == DOSE_COLUMNS
    assert doses.empty


def test_q_is_that_of_statsmodels() -> None:
    found = treated(a=[5.0, 6.0], b=[1.0, 2.0], c=[0.0, 0.2], d=[-2.0, -3.0])
    hits, _ = compound_tables(found)
    ps = [
        no_effect_p([10 * rows["score"]], [10 * CONTROLS["P"]["source"]]) for _, rows in found.wells.groupby("compound")
    ]
    table = hits.sort_values("compound")
    np.testing.assert_allclose(table["p"], ps)
    np.testing.assert_allclose(table["q"], multipletests(ps, method="fdr_bh")[1])


@pytest.mark.parametrize(
    ("scores", "outcome"),
    [
        ([9.0], CompoundOutcome.ONE_WELL),
        ([0.5, -0.5], CompoundOutcome.NO_DIFFERENCE),
        ([-9.0, -8.0, -9.5], CompoundOutcome.WORSENED),
        ([4.0, 8.0], CompoundOutcome.UNSURE),
    ],
)
def test_why_a_compound_is_no_hit(scores: list[float], outcome: CompoundOutcome) -> None:
    hits, _ = compound_tables(treated(it=scores))
    assert not hits["hit"].iloc[0]
    assert hits["outcome"].tolist() == [outcome]


def test_the_strongest_dose_pays_for_the_number_of_doses() -> None:
    one = treated(it=[0.0, 0.3, 0.1, 0.2, 4.0, 5.0])
    with_doses = one._replace(wells=one.wells.assign(dose=[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]))
    hits, doses = compound_tables(with_doses)
    assert doses["wells"].tolist() == [2, 2, 2]
    assert hits["dose"].iloc[0] == 3
    assert hits["p"].iloc[0] == pytest.approx(3 * doses["p"].min())
    refusal = hits["curve_refusal"].iloc[0]
    assert (refusal.problem, refusal.doses) == (FitProblem.FEW_DOSES, 3)
    assert hits["ec50"].isna().all()


def dosed(doses: list[float], scores: list[float], **others: list[float]) -> TreatedWells:
    plain = treated(it=scores, **others)
    given = [*doses, *(float("nan") for each in others.values() for _ in each)]
    return plain._replace(wells=plain.wells.assign(dose=given))


def test_the_strongest_dose_rescues_in_two_wells() -> None:
    away = dosed([1.0, 1.0, 2.0, 2.0], [-9.0, -9.1, 4.0, 4.4])
    hits, doses = compound_tables(away)
    assert doses["p"].idxmin() == 0
    assert hits["dose"].iloc[0] == 2
    assert hits["p"].iloc[0] == pytest.approx(2 * doses["p"][1])
    assert hits["hit"].iloc[0]
    single, _ = compound_tables(dosed([1.0, 2.0, 2.0], [9.0, 4.0, 4.4]))
    assert (single["dose"].iloc[0], single["wells"].iloc[0]) == (2, 2)
    nowhere, _ = compound_tables(dosed([1.0, 1.0, 2.0, 2.0], [-4.0, -4.1, -9.0, -9.1]))
    assert nowhere["dose"].iloc[0] == 2
    assert nowhere["outcome"].tolist() == [CompoundOutcome.WORSENED]


def test_a_compound_has_its_curve_beside_its_outcome() -> None:
    doses = [0.1, 0.1, 1.0, 1.0, 10.0, 10.0, 100.0, 100.0, 1000.0, 1000.0]
    rising = [0.0, 0.1, 0.9, 1.0, 5.0, 5.1, 9.0, 9.1, 9.9, 10.0]
    row = compound_tables(dosed(doses, rising))[0].iloc[0]
    assert row["ec50"] == pytest.approx(9.8, abs=0.05)
    assert row["curve_refusal"] is None
    flat = compound_tables(dosed(doses, [0.3, -0.3] * 5))[0].iloc[0]
    assert np.isnan(flat["ec50"])
    assert flat["curve_refusal"].problem == FitProblem.FLAT
    alone = compound_tables(dosed([*doses[::2], 0.3], [*rising[::2], 0.3]))[0].iloc[0]
    assert alone["outcome"] == CompoundOutcome.ONE_WELL
    assert np.isfinite(alone["ec50"])


def test_wells_without_a_dose_are_counted() -> None:
    both = dosed([3.0, 3.0], [4.0, 4.4])
    assert count_unscored_wells(both) == (0, 0)
    some = dosed([0.0, float("nan"), 3.0, 3.0], [9.0, 9.5, 4.0, 4.4], other=[4.0, 4.2])
    hits, doses = compound_tables(some)
    assert doses["dose"].tolist() == [3]
    assert hits.set_index("compound")["wells"].to_dict() == {"it": 2, "other": 2}
    assert hits.set_index("compound").loc["it", "p"] == pytest.approx(doses["p"].iloc[0])
    assert count_unscored_wells(some) == (0, 2)


def test_a_compound_without_a_rescue_has_a_row() -> None:
    found = treated(it=[5.0, 5.2], lost=[5.0, 6.0, 7.0])
    assert compound_tables(found)[0]["hit"].all()
    found.wells.loc[found.wells["compound"] == "lost", "rescue"] = float("nan")
    hits, _ = compound_tables(found)
    lost = hits.set_index("compound").loc["lost"]
    assert (lost["wells"], bool(lost["hit"])) == (0, False)
    assert lost["outcome"] == CompoundOutcome.NO_RESCUE
    assert count_unscored_wells(found) == (3, 0)


def test_plates_whose_controls_are_new_count_before_others() -> None:
    found = treated(it=[5.0, 5.2, 0.0, 0.0], alone=[5.0, 5.2])
    wells = found.wells.assign(Metadata_Plate=["P", "P", "Q", "Q", "Q", "Q"])
    both = TreatedWells(wells, CONTROLS | {"Q": CONTROLS["P"]})
    assert compound_tables(both)[0].set_index("compound")["wells"].to_dict() == {"it": 4, "alone": 2}
    hits = compound_tables(both._replace(seen=frozenset("Q")))[0].set_index("compound")
    assert (hits.loc["it", "wells"], bool(hits.loc["it", "hit"])) == (2, True)
    assert hits.loc["alone", "outcome"] == CompoundOutcome.SEEN_CONTROLS
    assert "seen" not in hits


TABLE = pd.DataFrame(
    {"Metadata_Row": [1, 2], "Metadata_mmoles_per_liter": [0.1, 1.0], "Metadata_Compound": ["a", "b"], "energy": [1, 2]}
)


def test_the_unit_in_the_name_says_what_a_dose_is() -> None:
    assert dose_column(TABLE) == ("Metadata_mmoles_per_liter", ())
    for name in ("Metadata_dose", "Metadata_Concentration_uM", "Metadata_drug_nM", "Metadata_mg_per_ml"):
        assert dose_column(TABLE.rename(columns={"Metadata_mmoles_per_liter": name})) == (name, ())
    assert dose_column(TABLE.rename(columns={"Metadata_mmoles_per_liter": "Metadata_Donor"})) == (None, ())


def test_one_dose_for_all_is_no_series() -> None:
    assert dose_column(TABLE.assign(Metadata_mmoles_per_liter=[0.0, 1.0])) == (None, ())


def test_several_must_be_named() -> None:
    both = TABLE.assign(Metadata_dose=[1.0, 2.0])
    assert dose_column(both) == (None, ("Metadata_mmoles_per_liter", "Metadata_dose"))
    assert dose_column(both, "dose") == ("Metadata_dose", ())
    assert dose_column(both, "Metadata_Row") == ("Metadata_Row", ())


def test_what_is_no_dose_is_refused() -> None:
    with pytest.raises(LeighError, match="is not a column of the data"):
        dose_column(TABLE, "uM")
    with pytest.raises(LeighError, match="values that are not numbers"):
        dose_column(TABLE, "Compound")


def active(treated_wells: TreatedWells, cells: dict[str, float], away: dict[str, float]) -> TreatedWells:
    """The same, with cells and movement off the axis, beside controls that have neither."""
    wells = treated_wells.wells
    rng, controls = np.random.default_rng(0), 8
    names = [*wells["compound"], *["control"] * controls]
    profiles = rng.normal(size=(len(names), 4))
    profiles[:, 0] += [*wells["score"], *[0] * controls]
    profiles[:, 1] += [away.get(name, 0) for name in names]
    places = np.arange(len(names))
    is_control = places >= len(wells)
    activity = TreatmentActivity(
        plates=np.array(["P"] * len(names), object),
        cell_shares=np.array([cells.get(name, 1) for name in names]) * rng.uniform(0.9, 1.1, len(names)),
        clouds={"P": ControlCloud(profiles, np.eye(4)[0], 3.0, controls)},
        rows=places,
        source=is_control,
        counted=is_control,
        features="latent",
    )
    return treated_wells._replace(activity=activity)


def test_a_compound_that_empties_its_wells_or_moves_them_elsewhere_is_no_hit() -> None:
    plain = treated(good=[5.0, 6.0, 7.0], toxic=[5.0, 6.0, 7.0], odd=[5.0, 6.0, 7.0])
    assert compound_tables(plain)[0]["hit"].all()
    hits, _ = compound_tables(active(plain, {"toxic": 0.2}, {"odd": 20.0}))
    found = hits.set_index("compound")["outcome"].to_dict()
    assert found == {
        "good": CompoundOutcome.HIT, "toxic": CompoundOutcome.FEW_CELLS, "odd": CompoundOutcome.ELSEWHERE
    }  # fmt: skip


@pytest.mark.parametrize("has_doses", [False, True])
def test_wells_that_a_compound_empties_count_among_its_cells(has_doses: bool) -> None:
    plain = treated(it=[6.0, 6.1, 6.2, 6.3])
    given = plain._replace(wells=plain.wells.assign(dose=3.0)) if has_doses else plain
    whole = active(given, {}, {})
    assert compound_tables(whole)[0]["outcome"].tolist() == [CompoundOutcome.HIT]
    assert whole.activity is not None
    shares = whole.activity.cell_shares.copy()
    shares[:4] = [0.0, 0.02, 0.9, 0.94]
    emptied = whole._replace(
        wells=whole.wells.assign(**{name: [np.nan, np.nan, 6.2, 6.3] for name in ("score", "rescue", "robust_z")}),
        activity=replace(whole.activity, cell_shares=shares),
    )
    hits, doses = compound_tables(emptied)
    assert hits["cell_share"].tolist() == pytest.approx([0.465])
    assert (hits["wells"].tolist(), hits["outcome"].tolist()) == ([2], [CompoundOutcome.FEW_CELLS])
    assert doses["cell_share"].tolist() == pytest.approx([0.465] * has_doses)


def test_a_harmless_dose_is_preferred() -> None:
    doses = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    plain = dosed(doses, [3.0, 3.4, 3.2, 6.0, 6.1, 6.2])
    assert compound_tables(plain)[0]["dose"].tolist() == [2.0]
    wells = plain.wells
    given = active(plain, {}, {})
    assert given.activity is not None
    shares = given.activity.cell_shares.copy()
    shares[: len(wells)][wells["dose"].to_numpy() == 2.0] = [0.1, 0.12, 0.15]
    harmful = given._replace(activity=replace(given.activity, cell_shares=shares))
    hits, by_dose = compound_tables(harmful)
    assert hits["dose"].tolist() == [1.0]
    assert by_dose["cell_share"].tolist() == pytest.approx([1.0, 0.123], abs=0.1)


def test_on_three_plates_the_plate_is_a_random_effect() -> None:
    one = treated(it=[5.0, 6.0, 7.0])
    assert compound_tables(one)[0]["interval"].tolist() == ["t"]
    plates = one._replace(
        wells=one.wells.assign(Metadata_Plate=["P", "Q", "R"]), controls=dict.fromkeys("PQR", CONTROLS["P"])
    )
    row = compound_tables(plates)[0].iloc[0]
    assert (row["interval"], row["plates"]) == ("plates", 3)
    assert row["rescue_low"] < row["rescue"] < row["rescue_high"]
    assert row["plate_sd"] >= 0
