import numpy as np
import pandas as pd

from leigh_mlops.screening.plate_quality import add_b_scores, describe_plate_quality, plate_table
from leigh_mlops.screening.reference_classes import ReferenceClasses

WAY = ReferenceClasses("DS", "WT", "")


def plate(row_effect: float = 0.0) -> pd.DataFrame:
    """Wells in random order, of which 20 are controls of each kind."""
    rng = np.random.default_rng(0)
    row, column = np.meshgrid(np.arange(1, 9), np.arange(1, 13), indexing="ij")
    roles = rng.permutation(np.repeat(["source", "target", ""], [20, 20, 56]))
    score = rng.normal(0, 0.1, 96) + 5.0 * (roles == "target") + row_effect * row.ravel()
    return pd.DataFrame(
        {
            "Metadata_Plate": "P",
            "Metadata_Well": [f"{r}/{c}" for r, c in zip(row.ravel(), column.ravel(), strict=True)],
            "Metadata_Row": row.ravel(), "Metadata_Col": column.ravel(),
            "Metadata_Condition": np.where(roles == "target", "WT", "DS"), "role": roles, "score": score,
        }
    )  # fmt: skip


def table(wells: pd.DataFrame) -> pd.DataFrame:
    controls = {"P": {role: wells.loc[wells["role"] == role, "score"].to_numpy() for role in ("source", "target")}}
    return plate_table(wells.drop(columns=["role", "score"]), wells["score"], controls, {}, WAY)


def test_rows_take_their_share() -> None:
    assert table(plate())["row_share"].iloc[0] < 0.15
    tilted = table(plate(row_effect=1.0)).iloc[0]
    assert tilted["row_share"] > 0.9
    assert tilted["z_prime"] < table(plate())["z_prime"].iloc[0]


def test_plates_without_controls_say_so() -> None:
    wells = plate().assign(role="")
    found = table(wells).iloc[0]
    assert np.isnan(found["z_prime"])
    assert found["note"].startswith("It has 0 control wells of DS and 0 of WT")
    turned = plate()
    turned["score"] *= -1
    assert "score no higher" in table(turned)["note"].iloc[0]


def test_only_screens_have_b_scores() -> None:
    wells = plate(row_effect=1.0)
    roles = wells["role"]
    found, reasons = add_b_scores(wells, roles, roles == "")
    assert reasons == {}
    samples = found.loc[roles == "", ["b_score", "Metadata_Row"]]
    assert abs(samples.corr().iloc[0, 1]) < 0.3
    nothing, reasons = add_b_scores(wells, roles, pd.Series(False, wells.index))
    assert reasons == {}
    assert "b_score" not in nothing


def test_many_plates_do_not_fill_the_page() -> None:
    one = table(plate())
    many = pd.concat([one.assign(Metadata_Plate=f"P{number}", z_prime=number / 10) for number in range(9)])
    warned, said = describe_plate_quality(many, WAY)
    assert warned == []
    assert len(said) == 5
    assert said[0].startswith("Plate P0: Z' 0.00")
    assert "their bands of three standard deviations overlap." in said[0]
    assert "SSMD" in said[0]
    _, said = describe_plate_quality(many.assign(ssmd=np.nan), WAY)
    assert not any("SSMD" in line for line in said)
    assert said[-1] == "On 5 further plates see plates.csv."


def test_controls_that_do_not_differ_are_no_yardstick() -> None:
    wells = plate()
    assert table(wells)["note"].iloc[0] == ""
    source = np.linspace(-1, 1, 20)
    controls = {"P": {"source": source, "target": source + 0.01}}
    found = plate_table(wells.drop(columns=["role", "score"]), wells["score"], controls, {}, WAY).iloc[0]
    assert "20 control wells of DS and 20 of WT do not differ (Welch's t test, p 0.9" in found["note"]
