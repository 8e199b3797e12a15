import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.reporting.plate_metrics import plate_metrics
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.scores import z_prime
from leigh_mlops.scores.dose_response import FitProblem
from leigh_mlops.scores.plate_effects import RefusalReason
from leigh_mlops.screening.compounds import CompoundOutcome
from leigh_mlops.screening.plate_quality import ControlCounts, ControlsFault, ControlsProblem, PlateFlags
from leigh_mlops.screening.screen import check_screen, screen

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # at their import both say what they will change
    from copairs import map as copairs_map
    from pycytominer import aggregate, normalize

DOSES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


@pytest.fixture
def package() -> ModelPackage:
    torch.manual_seed(0)
    model = build_model("iresnet", classes=["DS", "WT"], image_size=32, channels=2, blocks=(1, 1), widths=(8, 8))
    return ModelPackage(model, ("DAPI", "TMRM"), {})


def plate(name: str = "P", *, seed: int = 0, controls: int = 8, spread: float = 0.5, sites: int = 4) -> pd.DataFrame:
    """96 wells in random order, four fields each: controls, and compounds of which ``good`` rescues with its dose."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, place in enumerate(rng.permutation(96)):
        row, column = divmod(int(place), 12)
        what: dict[str, object] = {
            "Metadata_Control": None,
            "Metadata_Compound": None,
            "Metadata_mmoles_per_liter": math.nan,
        }
        kind = number // controls
        condition, level = ("WT", 3.0) if kind == 1 else ("DS", -3.0)
        if kind < 2:
            what["Metadata_Control"] = ("negcon", "poscon")[kind]
        else:
            dose = DOSES[number % 6]
            compound = ("good", "inert", "other")[number % 18 // 6]
            what |= {"Metadata_Compound": compound, "Metadata_mmoles_per_liter": dose}
            level += 6 / (1 + 1 / dose) if compound == "good" else 0.0
        well = level + rng.normal(0, spread)
        for site in range(sites):
            healthy = 1 / (1 + math.exp(-well - rng.normal(0, 0.3)))
            rows.append(
                {
                    "Metadata_Plate": name, "Metadata_Well": f"{'ABCDEFGH'[row]}{column + 1:02d}",
                    "Metadata_Site": site,
                    "Metadata_Row": row + 1, "Metadata_Col": column + 1, "Metadata_Condition": condition, **what,
                    "seen": False, "predicted": "DS", "probability_DS": 1 - healthy, "probability_WT": healthy,
                    "latent_1": well + rng.normal(0, 0.1), "latent_2": rng.normal(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def without_compounds(fields: pd.DataFrame) -> pd.DataFrame:
    return fields[fields["Metadata_Compound"].isna()].drop(columns="Metadata_Compound").reset_index(drop=True)


def test_the_compound_that_rescues_is_the_hit(package: ModelPackage) -> None:
    found = screen(pd.concat([plate("P"), plate("Q", seed=1)], ignore_index=True), package)
    hits = found.hits.set_index("compound")
    assert hits.index[0] == "good"
    assert hits["hit"].to_dict() == {"good": True, "inert": False, "other": False}
    good = hits.loc["good"]
    assert good["rescue_low"] < good["rescue"] < good["rescue_high"]
    assert 70 < good["rescue"] < 130
    assert good["ec50"] == pytest.approx(1, rel=0.7)
    assert good["ec50_low"] < 1 < good["ec50_high"]
    assert hits.loc["inert", "curve_refusal"].problem == FitProblem.FLAT
    assert hits["q"].is_monotonic_increasing
    assert found.doses.groupby("compound")["dose"].nunique().tolist() == [6, 6, 6]
    assert found.doses["plates"].max() == 2


def test_without_doses_replicates_are_joined_over_wells_and_plates(package: ModelPackage) -> None:
    both = pd.concat([plate("P"), plate("Q", seed=1)], ignore_index=True).drop(columns="Metadata_mmoles_per_liter")
    found = screen(both, package)
    wells = both.groupby("Metadata_Compound")[["Metadata_Plate", "Metadata_Well"]].apply(
        lambda each: len(each.drop_duplicates())
    )
    assert found.hits.set_index("compound")["wells"].to_dict() == wells.to_dict()
    assert set(found.hits["plates"]) == {2}
    assert "dose" not in found.hits
    assert found.doses.empty


def test_a_plate_without_an_effect_has_no_hit(package: ModelPackage) -> None:
    fields = plate()
    fields = fields[fields["Metadata_Compound"] != "good"].reset_index(drop=True)
    assert not screen(fields, package).hits["hit"].any()


def test_wells_lie_between_the_controls_of_their_plate(package: ModelPackage) -> None:
    low, high = plate("P", sites=6), plate("Q", seed=1, sites=6)
    # On the other plate every score is larger: a staining that shifts controls and compounds alike.
    odds = np.log(high["probability_WT"] / high["probability_DS"]) + 2
    high = high.assign(probability_WT=1 / (1 + np.exp(-odds)), probability_DS=1 / (1 + np.exp(odds)))
    wells = screen(pd.concat([low, high], ignore_index=True), package).wells
    controls = wells.groupby(["Metadata_Plate", "Metadata_Control"])
    np.testing.assert_allclose(controls["rescue"].mean(), [0, 100, 0, 100], atol=1e-9)
    assert controls["score"].mean()["Q", "negcon"] - controls["score"].mean()["P", "negcon"] > 1
    assert (wells["rescue_low"] <= wells["rescue"]).all()
    assert (wells["rescue"] <= wells["rescue_high"]).all()


def test_a_well_s_score_is_the_median_of_the_fields_that_count(package: ModelPackage) -> None:
    fields = plate()
    first = fields.index[fields["Metadata_Well"] == "A01"]
    odds = np.log(fields["probability_WT"] / fields["probability_DS"])
    before = screen(fields, package).wells.set_index("Metadata_Well").loc["A01"]
    assert before["score"] == pytest.approx(odds[first].median())
    assert (before["fields"], before["fields_left_out"]) == (4, 0)
    flags = pd.Series("", fields.index)
    flags[first[0]] = "out of focus; dim (40 % of the median)"
    out = pd.Series(False, fields.index)
    out[first[1]] = True
    found = screen(fields.assign(Metadata_Flags=flags, Metadata_Excluded=out), package)
    after = found.wells.set_index("Metadata_Well").loc["A01"]
    assert after["score"] == pytest.approx(odds[first[2:]].median())
    assert (after["fields"], after["fields_left_out"]) == (2, 2)
    healthy = odds[first[2:]].mean()
    assert after["probability_WT"] == pytest.approx(1 / (1 + math.exp(-healthy)))
    assert math.isnan(after["rescue_low"])
    assert found.fields["trust"].value_counts().to_dict() == {"": len(fields) - 1, "defocus": 1}
    assert found.out.sum() == 2


def test_a_new_plate_flags_none_of_its_fields(package: ModelPackage) -> None:
    known = replace(package, arrays=package.arrays | {"training_digests": np.array([1], np.uint64)})
    assert not screen(plate(), package).fields["unknown_plate"].any()
    found = screen(plate(), known).fields
    assert found["unknown_plate"].all()
    assert set(found["trust"]) == {""}


def test_plates_have_their_factors(package: ModelPackage) -> None:
    found = screen(plate(), package)
    scores = found.wells.groupby("Metadata_Control")["score"].apply(list)
    row = found.plates.iloc[0]
    assert row["z_prime_log_odds"] == pytest.approx(z_prime(scores["poscon"], scores["negcon"]))
    assert row["robust_z_prime_log_odds"] == pytest.approx(z_prime(scores["poscon"], scores["negcon"], robust=True))
    healthy, diseased = (1 / (1 + np.exp(-np.array(scores[role]))) for role in ("poscon", "negcon"))
    assert row["z_prime"] == pytest.approx(z_prime(healthy, diseased))
    assert (row["positive_wells"], row["negative_wells"]) == (8, 8)
    assert found.plate_flags == {"P": PlateFlags()}
    assert 0 <= row["row_share"] <= 1
    assert found.wells["b_score"].notna().all()


def test_controls_in_columns_refuse_a_b_score(package: ModelPackage) -> None:
    fields = plate()
    first = fields.groupby("Metadata_Well")[["Metadata_Control"]].first()
    # The same wells, sorted: controls fill the first columns.
    names = [f"{'ABCDEFGH'[place % 8]}{place // 8 + 1:02d}" for place in range(96)]
    order = dict(zip(first.sort_values("Metadata_Control", na_position="last").index, names, strict=True))
    moved = fields["Metadata_Well"].map(order)
    fields = fields.assign(
        Metadata_Well=moved,
        Metadata_Row=moved.str[0].map(lambda letter: "ABCDEFGH".index(letter) + 1),
        Metadata_Col=moved.str[1:].astype(int),
    )
    found = screen(fields, package)
    assert "b_score" not in found.wells
    refusal = found.plate_flags["P"].refusal
    assert refusal is not None
    assert (refusal.reason, refusal.line, refusal.group) == (RefusalReason.CONTROLS_FILL_LINES, "column", "source")


def test_too_few_controls_are_no_yardstick(package: ModelPackage) -> None:
    fields = plate()
    positive = fields["Metadata_Control"] == "poscon"
    one = fields.loc[positive, "Metadata_Well"].iloc[0]
    found = screen(fields[~positive | (fields["Metadata_Well"] == one)].reset_index(drop=True), package)
    assert found.wells["rescue"].isna().all()
    assert found.wells["robust_z"].notna().all()
    assert set(found.hits["compound"]) == {"good", "inert", "other"}
    assert set(found.hits["wells"]) == {0}
    assert set(found.hits["outcome"]) == {CompoundOutcome.NO_RESCUE}
    assert math.isnan(found.plates["z_prime_log_odds"].iloc[0])
    assert found.plate_flags["P"].problem == ControlsProblem(ControlsFault.FEW, 8, 1)
    assert found.unscored.lost == 80


def test_calibrated_probabilities_stand_beside_the_plain_ones(package: ModelPackage) -> None:
    assert "calibrated_WT" not in screen(plate(), package).wells
    package.about["calibration"] = {"temperature": 2.0, "ece_before": 0.1, "ece_after": 0.02, "wells": 30}
    found = screen(plate(), package)
    odds = np.log(found.wells["probability_WT"] / found.wells["probability_DS"])
    np.testing.assert_allclose(found.wells["calibrated_WT"], 1 / (1 + np.exp(-odds / 2)))
    assert found.calibration == package.about["calibration"]


def test_without_compounds_hits_are_wells_that_look_otherwise(package: ModelPackage) -> None:
    fields = without_compounds(plate())
    assert screen(fields, package).hits.empty
    odd = fields.loc[fields["Metadata_Control"] == "negcon", "Metadata_Well"].iloc[0]
    there = fields["Metadata_Well"] == odd
    fields.loc[there, ["probability_DS", "probability_WT"]] = [0.1, 0.9]
    hits = screen(fields, package).hits
    assert hits["Metadata_Well"].tolist() == [odd]
    assert {"rescue", "robust_z"} <= set(hits)


def test_wells_without_fields_that_count_take_part_in_nothing(package: ModelPackage) -> None:
    fields = without_compounds(plate())
    odd = fields.loc[fields["Metadata_Control"] == "negcon", "Metadata_Well"].iloc[0]
    there = fields["Metadata_Well"] == odd
    fields.loc[there, ["probability_DS", "probability_WT"]] = [0.1, 0.9]
    before = screen(fields, package)
    assert before.hits["Metadata_Well"].tolist() == [odd]
    after = screen(fields.assign(Metadata_Excluded=there), package)
    assert after.hits.empty
    assert pd.isna(after.wells.set_index("Metadata_Well").loc[odd, "predicted"])
    assert before.confounds["model"]["accuracy"] < after.confounds["model"]["accuracy"] == 1
    assert after.confounds["model"]["wells"] == before.confounds["model"]["wells"] - 1
    assert after.confounds["position"]["wells"] == before.confounds["position"]["wells"] - 1
    nothing = screen(fields.assign(Metadata_Excluded=True), package)
    assert nothing.hits.empty
    assert nothing.confounds == {}


def surer(fields: pd.DataFrame, there: "pd.Series[bool]") -> pd.DataFrame:
    """The same, with some fields that the model was trained on: their scores are pushed outward."""
    odds = np.log(fields["probability_WT"] / fields["probability_DS"])
    odds = odds.where(~there, 2 * odds)
    return fields.assign(seen=there, probability_WT=1 / (1 + np.exp(-odds)), probability_DS=1 / (1 + np.exp(odds)))


def test_controls_that_the_model_has_seen_do_not_make_compounds_look_rescued(package: ModelPackage) -> None:
    fields = plate()
    clean = screen(fields, package)
    assert clean.controls == ControlCounts(others=16)
    controls = fields["Metadata_Control"].notna()
    found = screen(surer(fields, controls), package)
    inert = found.hits.set_index("compound").loc["inert"]
    assert inert["rescue"] > 20
    assert not found.hits["hit"].any()
    assert set(found.hits["outcome"]) == {CompoundOutcome.SEEN_CONTROLS}
    assert found.hits["p"].isna().all()
    assert found.doses["p"].isna().all()
    assert found.controls == ControlCounts(("P",), used=16, seen=16)
    assert found.plate_flags["P"].seen


def test_controls_that_the_model_has_not_seen_are_the_yardstick(package: ModelPackage) -> None:
    fields = plate()
    places = {kind: rows["Metadata_Well"].unique() for kind, rows in fields.groupby("Metadata_Control")}
    trained = fields["Metadata_Well"].isin(np.concatenate([each[:4] for each in places.values()]))
    found = screen(surer(fields, trained), package)
    hits = found.hits.set_index("compound")
    assert hits["hit"].to_dict() == {"good": True, "inert": False, "other": False}
    assert abs(hits.loc["inert", "rescue"]) < 15
    assert (found.plates["positive_wells"].iloc[0], found.plates["negative_wells"].iloc[0]) == (4, 4)
    assert found.controls == ControlCounts(others=16, left_out=8)


def test_a_job_without_fields_or_classes_has_no_screen(package: ModelPackage) -> None:
    assert screen(plate().iloc[:0], package).wells.empty
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=["DS", "WT"], image_size=32, channels=2, widths=(4, 4))
    fields = plate().drop(columns=["predicted", "probability_DS", "probability_WT"])
    found = screen(fields, ModelPackage(model, ("DAPI", "TMRM"), {}))
    assert len(found.wells) == 96
    assert found.hits.empty
    assert found.plates.empty
    assert not found.wells["flagged"].any()
    limit = {"error_limit": {"limit": 1.0, "fields": 100, "full_colour": 4.0}}
    errors = np.where(fields["Metadata_Well"] == "A01", 2.0, 0.1)
    found = screen(fields.assign(reconstruction_mse=errors), ModelPackage(model, ("DAPI", "TMRM"), {}, about=limit))
    assert found.wells.loc[found.wells["flagged"] > 0, "Metadata_Well"].tolist() == ["A01"]
    assert plate_metrics({str(name): found.wells[name].tolist() for name in found.wells}, [])[-1].high == 2


def test_what_does_not_exist_is_refused_beforehand() -> None:
    table = plate()
    check_screen(table, ("DS", "WT"), source=None, target=None, doses=None)
    with pytest.raises(LeighError, match="--rescue-from 'KO'"):
        check_screen(table, ("DS", "WT"), source="KO", target=None, doses=None)
    with pytest.raises(LeighError, match="--doses 'uM'"):
        check_screen(table, ("DS", "WT"), source=None, target=None, doses="uM")


def test_pycytominer_reads_the_tables_and_agrees(package: ModelPackage) -> None:
    found = screen(plate(), package)
    normalized = normalize(
        found.wells, features=["score"], meta_features=["Metadata_Well"], samples="Metadata_Control == 'negcon'",
        method="mad_robustize",
    )  # fmt: skip
    np.testing.assert_allclose(normalized["score"], found.wells["robust_z"], rtol=1e-9)
    fields = found.fields.assign(odds=np.log(found.fields["probability_WT"] / found.fields["probability_DS"]))
    medians = aggregate(fields, strata=["Metadata_Plate", "Metadata_Well"], features=["odds"], operation="median")
    np.testing.assert_allclose(medians.sort_values("Metadata_Well")["odds"], found.wells["score"])


@pytest.mark.filterwarnings("ignore")
def test_copairs_reads_the_wells(package: ModelPackage) -> None:
    wells = screen(plate(spread=0.2), package).wells
    wells = wells[wells["Metadata_Control"].notna()].reset_index(drop=True)
    meta = wells[[name for name in wells if str(name).startswith("Metadata_")]]
    features = wells[["score", "latent_1"]].to_numpy()
    same = ["Metadata_Control"]
    precision = copairs_map.average_precision(meta, features, same, [], [], same, distance="euclidean")
    assert len(precision) == 16
    assert precision["average_precision"].mean() == pytest.approx(1)


def test_the_effect_of_the_position_is_taken_from_scores_by_choice(package: ModelPackage) -> None:
    fields = plate(spread=0.2)
    edge = fields["Metadata_Row"].isin([1, 8]) | fields["Metadata_Col"].isin([1, 12])
    odds = np.log(fields["probability_WT"] / fields["probability_DS"]) + 3.0 * edge
    fields = fields.assign(probability_WT=1 / (1 + np.exp(-odds)), probability_DS=1 / (1 + np.exp(odds)))
    plain, corrected = (screen(fields, package, correct_position=choice) for choice in (False, True))
    assert "position_trend" not in plain.wells
    assert plain.trends == {}
    assert corrected.trends["P"].share > 0.2
    inert = (plain.wells["Metadata_Compound"] == "inert").to_numpy()
    assert corrected.wells["rescue"][inert].std() < 0.9 * plain.wells["rescue"][inert].std()
    np.testing.assert_allclose(
        corrected.wells["score"] + corrected.wells["position_trend"], plain.wells["score"], atol=1e-9
    )
