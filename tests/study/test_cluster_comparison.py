from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.plates import write_demo_plate
from leigh_mlops.scores.cluster_agreement import PositionAgreement
from leigh_mlops.study.cluster_comparison import ClusterComparison, compare_clusters
from leigh_mlops.study.cluster_summary import comparison_lines, comparison_table, write_clusters
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profiles import UsableFields, find_usable_fields
from tests.models.compact import COMPACT

QUIET = Console(quiet=True)


def package() -> ModelPackage:
    torch.manual_seed(0)
    model = build_model("deepcluster", classes=(), image_size=32, channels=2, **COMPACT["deepcluster"]).eval()
    scale = IntensityScale("linear", 65535, (0.01, 0.01), (0.01, 0.01)).to_json()
    return ModelPackage(model, ("DAPI", "TMRM"), scale, arrays={"training_digests": np.zeros(0, np.uint64)})


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> UsableFields:
    folder = tmp_path_factory.mktemp("comparison") / "plate"
    write_demo_plate(folder, classes=("WT", "TT"), wells_per_class=8, fields_per_well=2, image_size_px=32, seed=1)
    return find_usable_fields(package(), DataSource(folder), QUIET)


@pytest.fixture(scope="module")
def found(fields: UsableFields) -> ClusterComparison:
    return compare_clusters(package(), fields, 2, ("k-means", "turtle"), QUIET)


def test_all_ways_stand_beside_each_other(found: ClusterComparison) -> None:
    assert [(each.features, each.way) for each in found.ways] == [
        ("embedding", "k-means"),
        ("embedding", "turtle"),
        ("intensity", "k-means"),
        ("intensity", "turtle"),
        ("embedding and intensity", "turtle"),
        ("embedding", "network"),
    ]
    assert all(each.labels.shape == (len(found.wells),) for each in found.ways)
    assert found.retrievals.keys() == {"embedding", "intensity"}
    assert all({"row", "column"} <= each.positions.keys() for each in found.ways)
    assert np.isfinite([each.stability for each in found.ways]).tolist() == [True, False, True, False, False, False]


def test_labels_take_no_part(fields: UsableFields, found: ClusterComparison) -> None:
    table = fields.data.table.copy()
    fields.data.table["Metadata_Condition"] = table["Metadata_Condition"].iloc[::-1].to_numpy()
    again = compare_clusters(package(), fields, 2, ("k-means",), QUIET)
    fields.data.table["Metadata_Condition"] = table["Metadata_Condition"]
    np.testing.assert_array_equal(again.ways[0].labels, found.ways[0].labels)
    assert again.wells["Metadata_Condition"].tolist() != found.wells["Metadata_Condition"].tolist()


def test_the_summary_begins_with_the_position_and_the_file_has_each_way(
    found: ClusterComparison, tmp_path: Path
) -> None:
    first, *others = comparison_lines(found)
    assert "position on the plate" in first or "No clusters follow row, column" in first
    assert "by embedding with a score of" in " ".join(others)
    ways = [way._replace(positions={"row": PositionAgreement(0.1, 0.0, 0.2)}, quarters=None) for way in found.ways]
    assert comparison_lines(found._replace(ways=ways))[0].startswith("No clusters follow")
    ways[1] = ways[1]._replace(quarters=PositionAgreement(0.51, 0.0, 0.2))
    assert "quarters 0.510 (shuffled wells at most 0.200)" in comparison_lines(found._replace(ways=ways))[0]
    write_clusters(found, tmp_path / "new" / "clusters.csv")
    table = pd.read_csv(tmp_path / "new" / "clusters.csv")
    assert len(table) == len(found.wells)
    assert set(table["intensity_k-means"]) == {1, 2}
    named = [str(column.header) for column in comparison_table(found.ways).columns]
    assert named[:3] == ["features", "way", "clusters"]
    assert "wells in none" not in named


def test_wells_whose_class_the_model_has_seen_are_said_first(fields: UsableFields, found: ClusterComparison) -> None:
    classifier = build_model("resnext", classes=("TT", "WT"), image_size=32, channels=2, **COMPACT["resnext"])
    digests = fields.data.cache.digests[fields.rows[:3]]
    source = DataSource(Path(fields.data.table["PathName_DAPI"].iloc[0]).parent)
    seen = {}
    for name, model in (("classifier", classifier), ("clusters", package().model)):
        trained = replace(package(), model=model, arrays={"training_digests": digests})
        seen[name] = find_usable_fields(trained, source, QUIET).seen
    assert seen == {"classifier": 2, "clusters": 0}
    first, second, *_ = comparison_lines(found._replace(seen=2))
    assert first.startswith("The model was trained or chosen by the class of 2 of 16 wells")
    assert second == comparison_lines(found)[0]


def test_what_cannot_be_is_refused(fields: UsableFields) -> None:
    with pytest.raises(LeighError, match="--ways 'ward' is unknown; choose some of k-means"):
        compare_clusters(package(), fields, 2, ("ward",), QUIET)
    with pytest.raises(LeighError, match=r"--clusters is 99, and there are \d+ wells"):
        compare_clusters(package(), fields, 99, ("k-means",), QUIET)
