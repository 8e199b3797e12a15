import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from leigh_mlops.scores.rescue import no_effect_p
from leigh_mlops.screening.compounds import (
    DOSE_COLUMNS,
    TreatedWells,
    compound_tables,
    describe_compounds,
    describe_unscored_wells,
)

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
    assert good["reason"].startswith("rescue 60 % (")
    assert good["reason"].endswith("3 wells")
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
    ("scores", "reason"),
    [
        ([9.0], "one well alone"),
        ([0.5, -0.5], "not told from the diseased controls"),
        ([-9.0, -8.0, -9.5], "away from health"),
        ([4.0, 8.0], "the interval of its rescue holds 0"),
    ],
)
def test_why_a_compound_is_no_hit(scores: list[float], reason: str) -> None:
    hits, _ = compound_tables(treated(it=scores))
    assert not hits["hit"].iloc[0]
    assert reason in hits["reason"].iloc[0]


def test_the_strongest_dose_pays_for_the_number_of_doses() -> None:
    one = treated(it=[0.0, 0.3, 0.1, 0.2, 4.0, 5.0])
    with_doses = one._replace(wells=one.wells.assign(dose=[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]))
    hits, doses = compound_tables(with_doses)
    assert doses["wells"].tolist() == [2, 2, 2]
    assert hits["dose"].iloc[0] == 3
    assert hits["p"].iloc[0] == pytest.approx(3 * doses["p"].min())
    assert "3 different doses" in hits["curve_note"].iloc[0]
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
    assert "at dose 2, q" in hits["reason"].iloc[0]
    single, _ = compound_tables(dosed([1.0, 2.0, 2.0], [9.0, 4.0, 4.4]))
    assert (single["dose"].iloc[0], single["wells"].iloc[0]) == (2, 2)
    nowhere, _ = compound_tables(dosed([1.0, 1.0, 2.0, 2.0], [-4.0, -4.1, -9.0, -9.1]))
    assert nowhere["dose"].iloc[0] == 2
    assert "away from health" in nowhere["reason"].iloc[0]


def test_the_reason_names_the_curve() -> None:
    doses = [0.1, 0.1, 1.0, 1.0, 10.0, 10.0, 100.0, 100.0, 1000.0, 1000.0]
    rising = [0.0, 0.1, 0.9, 1.0, 5.0, 5.1, 9.0, 9.1, 9.9, 10.0]
    reason = compound_tables(dosed(doses, rising))[0]["reason"].iloc[0]
    assert "; dose response with EC50 9.8 (" in reason
    flat = compound_tables(dosed(doses, [0.3, -0.3] * 5))[0]["reason"].iloc[0]
    assert "EC50" not in flat
    alone = compound_tables(dosed([*doses[::2], 0.3], [*rising[::2], 0.3]))[0]["reason"].iloc[0]
    assert alone.startswith("one well alone; repeat it; dose response with EC50")


def test_wells_without_a_dose_are_counted() -> None:
    both = dosed([3.0, 3.0], [4.0, 4.4])
    assert describe_unscored_wells(both) == []
    some = dosed([0.0, float("nan"), 3.0, 3.0], [9.0, 9.5, 4.0, 4.4], other=[4.0, 4.2])
    hits, doses = compound_tables(some)
    assert doses["dose"].tolist() == [3]
    assert hits.set_index("compound")["wells"].to_dict() == {"it": 2, "other": 2}
    assert hits.set_index("compound").loc["it", "p"] == pytest.approx(doses["p"].iloc[0])
    assert describe_unscored_wells(some)[0].startswith("2 wells of compounds with doses have none, or dose 0;")


def test_a_compound_without_a_rescue_has_a_row() -> None:
    found = treated(it=[5.0, 5.2], lost=[5.0, 6.0, 7.0])
    assert compound_tables(found)[0]["hit"].all()
    found.wells.loc[found.wells["compound"] == "lost", "rescue"] = float("nan")
    hits, _ = compound_tables(found)
    lost = hits.set_index("compound").loc["lost"]
    assert (lost["wells"], bool(lost["hit"])) == (0, False)
    assert lost["reason"].startswith("no well has a rescue")
    said = describe_compounds(hits, None)
    assert said[0].startswith("1 of 1 compound is a hit")
    assert said[1].startswith("1 further compound could not be judged")
    assert describe_unscored_wells(found)[0].startswith("No rescue for 3 treated wells")
    assert describe_compounds(hits[hits["compound"] == "lost"], None)[0].startswith("No compound could be judged")


def test_plates_whose_controls_are_new_count_before_others() -> None:
    found = treated(it=[5.0, 5.2, 0.0, 0.0], alone=[5.0, 5.2])
    wells = found.wells.assign(Metadata_Plate=["P", "P", "Q", "Q", "Q", "Q"])
    both = TreatedWells(wells, CONTROLS | {"Q": CONTROLS["P"]})
    assert compound_tables(both)[0].set_index("compound")["wells"].to_dict() == {"it": 4, "alone": 2}
    hits = compound_tables(both._replace(seen=frozenset("Q")))[0].set_index("compound")
    assert (hits.loc["it", "wells"], bool(hits.loc["it", "hit"])) == (2, True)
    assert "not judged" in hits.loc["alone", "reason"]
    assert "seen" not in hits


def test_what_is_said_has_its_numbers() -> None:
    hits, _ = compound_tables(treated(good=[5.0, 6.0, 7.0], inert=[0.5, -0.5]))
    said = describe_compounds(hits, None)
    assert said[0].startswith("1 of 2 compounds is a hit at a false discovery rate of 5%: good (rescue 60 % (")
    assert "2 compounds with two or three wells" in said[1]
