import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from leigh_mlops.jobs.compounds import DOSES, Treated, compound_tables, on_compounds
from leigh_mlops.scores.rescue import no_effect_p

CONTROLS = {"P": {"source": np.array([-1.0, 0.0, 1.0, 0.0]), "target": np.array([9.0, 10.0, 11.0, 10.0])}}


def treated(**scores: list[float]) -> Treated:
    """Wells of each compound by their score; the way from disease to health is 10 long."""
    rows = [(name, score) for name, each in scores.items() for score in each]
    wells = pd.DataFrame(rows, columns=["compound", "score"]).assign(Metadata_Plate="P")
    return Treated(wells.assign(rescue=10 * wells["score"], robust_z=wells["score"] / 0.7413), CONTROLS)


def test_replicates_are_joined() -> None:
    hits, doses = compound_tables(treated(good=[5.0, 6.0, 7.0], inert=[0.5, -0.5]))
    good = hits.set_index("compound").loc["good"]
    assert good["rescue"] == pytest.approx(60)
    assert good["z"] == pytest.approx(6 / 0.7413)
    assert (good["wells"], good["plates"], good["interval"], bool(good["hit"])) == (3, 1, "t", True)
    assert good["reason"].startswith("rescue 60 % (")
    assert good["reason"].endswith("3 wells")
    assert doses.columns.tolist() == DOSES
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


def test_what_is_said_has_its_numbers() -> None:
    hits, _ = compound_tables(treated(good=[5.0, 6.0, 7.0], inert=[0.5, -0.5]))
    said = on_compounds(hits, None)
    assert said[0].startswith("1 of 2 compounds is a hit at a false discovery rate of 5%: good (rescue 60 % (")
    assert "2 compounds with two or three wells" in said[1]
