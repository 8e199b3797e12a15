import numpy as np
import pandas as pd

from leigh_mlops.plates import well_name
from leigh_mlops.screening.cluster_cards import ClusterCards, describe_members


def job(*, by: str) -> pd.DataFrame:
    """Sixty wells of two fields in three clusters by class, column, block of wells or focus, or by nothing."""
    rng, rows = np.random.default_rng(0), []
    for place in range(60):
        row, column = place // 10 + 1, place % 10 + 1
        drawn = int(rng.integers(3))
        apart = 0 if row <= 3 else 1 + (column > 5)
        cluster = {"class": place % 3, "column": 0 if column <= 2 else 1 + place % 2, "block": apart}.get(by, drawn)
        for site in (1, 2):
            probability = rng.uniform(0.5, 1)
            others = [(1 - probability) / 2] * 3
            others[cluster] = probability
            rows.append(
                {
                    "Metadata_Plate": "P",
                    "Metadata_Well": well_name(row, column),
                    "Metadata_Site": site,
                    "Metadata_Row": row,
                    "Metadata_Col": column,
                    "Metadata_Condition": "ABC"[cluster] if by in ("class", "block") else "AB"[place % 2],
                    "field": f"P_{row}_{column}_{site}",
                    "predicted": f"cluster {cluster + 1}",
                    **{f"probability_cluster {number + 1}": value for number, value in enumerate(others)},
                    **{f"latent_{axis + 1}": 8 * (axis == cluster) + rng.normal() for axis in range(3)},
                    "quality_focus_DAPI": rng.normal() + 4 * (cluster == 1) * (by == "focus"),
                    "quality_foreground_DAPI": rng.normal(),
                    "quality_max_DAPI": 9.0 * cluster,
                }
            )
    return pd.DataFrame(rows)


def card(found: ClusterCards, name: str) -> int:
    return [each.name for each in found.cards].index(name)


def test_clusters_that_follow_nothing_have_plain_cards() -> None:
    found = describe_members(job(by="nothing"))
    assert sum(each.fields for each in found.cards) == 120
    assert sum(each.wells for each in found.cards) == 60
    assert not any(each.places or each.groups or each.differences for each in found.cards)
    assert found.agreements["row"].is_by_chance
    assert found.agreements["column"].is_by_chance
    assert found.rand > 0.9
    assert min(each.stability for each in found.cards) > 0.9


def test_clusters_of_classes_are_named_by_them() -> None:
    found = describe_members(job(by="class"))
    first = found.cards[card(found, "cluster 1")]
    assert [each.group for each in first.groups] == ["class A"]
    assert (first.groups[0].inside, first.groups[0].wells) == (20, 20)
    assert found.agreements["column"].is_by_chance


def test_a_cluster_that_lies_in_columns_is_found_there() -> None:
    found = describe_members(job(by="column"))
    assert {each.group for each in found.cards[card(found, "cluster 1")].places} >= {"column 1", "column 2"}
    assert not found.agreements["column"].is_by_chance


def test_classes_that_stand_apart_are_no_evidence_against_the_position() -> None:
    for by in ("nothing", "class"):
        alternating = describe_members(job(by=by))
        assert not alternating.follows_quarters
    apart = describe_members(job(by="block"))
    assert all(each.is_by_chance for each in apart.agreements.values())
    assert apart.follows_quarters
    assert apart.follows_position
    assert describe_members(job(by="block").drop(columns=["Metadata_Row", "Metadata_Col"])).quarters is None


def test_a_cluster_of_sharp_fields_follows_the_focus() -> None:
    found = describe_members(job(by="focus"))
    second = found.cards[card(found, "cluster 2")]
    assert second.follows_focus
    assert second.differences[0].effect > 1
    assert not describe_members(job(by="class")).cards[0].follows_focus


def test_examples_are_the_surest_and_the_least_certain() -> None:
    fields = job(by="class")
    first = describe_members(fields).cards[0]
    own = fields[fields["predicted"] == first.name].set_index("field")[f"probability_{first.name}"]
    assert first.typical[0] == own.idxmax()
    assert first.uncertain[0] == own.idxmin()
    assert len(first.typical) == len(first.uncertain) == 6


def test_a_job_without_predictions_has_no_cards() -> None:
    assert describe_members(job(by="class").drop(columns="predicted")).cards == ()
    few = describe_members(job(by="class")[:2])
    assert len(few.cards) == 1
    assert np.isnan(few.rand)
