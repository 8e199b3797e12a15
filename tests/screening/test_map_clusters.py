import numpy as np
import pandas as pd

from leigh_mlops.jobs.reporting.cluster_sentences import describe_clusters
from leigh_mlops.plates import well_name
from leigh_mlops.screening.map_clusters import CLUSTER_COLUMNS, cluster_table, mean_maps


def plate(*, planted: bool) -> tuple[pd.DataFrame, dict[str, list[list[float]]]]:
    """Sixty wells, whose heatmaps lie in a corner on the edge of the plate, or nowhere in particular."""
    rng, rows, maps = np.random.default_rng(0), [], {}
    y, x = np.indices((16, 16))
    for place in range(60):
        row, column = place // 10 + 2, place % 10 + 2
        second = column == 2 if planted else rng.random() < 0.2
        cy, cx = (2, 2) if second else (9, 9)
        for site in (1, 2):
            name = f"P_{row}_{column}_{site}"
            heat = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / rng.uniform(6, 10)) + rng.normal(0, 0.02, (16, 16))
            maps[name] = heat.tolist()
            rows.append(
                {
                    "Metadata_Plate": "P", "Metadata_Well": f"{'ABCDEFGH'[row - 1]}{column:02d}",
                    "Metadata_Row": row, "Metadata_Col": column, "field": name, "predicted": "DS",
                }
            )  # fmt: skip
    return pd.DataFrame(rows), maps


def test_a_cluster_that_lies_in_a_column_is_found_there() -> None:
    fields, maps = plate(planted=False)
    nowhere = cluster_table(fields, maps)
    assert nowhere["cluster"].nunique() == 2
    assert nowhere["position"].isna().all()
    assert "No cluster is enriched" in " ".join(describe_clusters(nowhere.to_dict("list"), "Occlusion"))
    found = cluster_table(*plate(planted=True))
    placed = found[found["position"].notna()]
    assert placed["position"].tolist()[0] == "column 2"
    assert placed["wells_there"].iloc[0] == placed["of_wells_there"].iloc[0] == 6
    sentences = " ".join(describe_clusters(found.to_dict("list"), "Occlusion"))
    assert "Cluster 2 of DS is enriched in column 2: 6 of 6 wells there belong to it" in sentences


def test_mean_maps_leave_out_those_that_explain_another_class() -> None:
    fields = pd.DataFrame({"field": list("abcd"), "predicted": ["one", "one", "one", "two"]})
    maps = {name: [[float(number)]] for number, name in enumerate("abc")}
    found = mean_maps(fields, maps, "grad_cam")
    assert {name: (float(each.heat[0, 0]), each.fields) for name, each in found.items()} == {"one": (1.0, 3)}
    elsewhere = mean_maps(fields.assign(grad_cam_target=["one", "two", "one", "two"]), maps, "grad_cam")
    assert (elsewhere["one"].heat.tolist(), elsewhere["one"].fields) == ([[1.0]], 2)
    assert mean_maps(fields, {}, "") == mean_maps(fields.drop(columns="predicted"), maps, "grad_cam") == {}


def test_without_maps_there_is_no_table() -> None:
    fields, maps = plate(planted=True)
    assert cluster_table(fields, {}).columns.tolist() == CLUSTER_COLUMNS
    assert cluster_table(fields, {}).empty
    assert cluster_table(fields.drop(columns="predicted"), maps).empty
    assert describe_clusters({}, "") == []


def rim_plates() -> tuple[pd.DataFrame, dict[str, list[list[float]]]]:
    """Fields of one 384-well and one 1536-well plate, whose heatmaps lie in a corner on the rim of the former.

    The last two columns of the former are of another class, and have no heatmaps.
    """
    rng, rows, maps = np.random.default_rng(0), [], {}
    y, x = np.indices((16, 16))
    for name, row, column in (
        *(("P", row, column) for row in (8, 16) for column in range(3, 23)),
        *(("Q", row, column) for row in (16, 28) for column in range(3, 23)),
    ):
        field, rim = f"{name}_{row}_{column}", name == "P" and row == 16
        cy, cx = (2, 2) if rim else (9, 9)
        heat = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / rng.uniform(6, 10)) + rng.normal(0, 0.02, (16, 16))
        maps[field] = heat.tolist()
        rows.append((name, well_name(row, column), row, column, field, "DS"))
    others = [("P", well_name(row, 24), row, 24, f"P_{row}_24", "WT") for row in (1, 2)]
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_Row", "Metadata_Col", "field", "predicted"]
    return pd.DataFrame([*rows, *others], columns=names), maps


def test_the_rim_is_that_of_each_plate() -> None:
    fields, maps = rim_plates()
    positions = cluster_table(fields, maps).set_index("position")
    assert positions.loc["edge", "wells_there"] == positions.loc["edge", "of_wells_there"] == 20
    assert "row P" in positions.index
    within = fields[~fields["Metadata_Row"].isin([16])].assign(predicted="DS")
    assert cluster_table(within, maps)["position"].isna().all()


def test_rows_beyond_z_have_two_letters() -> None:
    fields, maps = rim_plates()
    moved = fields.replace({"Metadata_Row": {8: 1, 16: 27}}).assign(Metadata_Plate="Q")
    assert "row AA" in cluster_table(moved[moved["field"].str.startswith("P")], maps)["position"].tolist()
