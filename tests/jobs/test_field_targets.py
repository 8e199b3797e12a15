from pathlib import Path

import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.field_targets import read_field_targets
from leigh_mlops.models import Network, build_model


@pytest.fixture(scope="module")
def clusters() -> Network:
    small = {"widths": [8] * 5, "hidden": 16, "stem_stride": 2}
    return build_model("deepcluster", classes=(), image_size=64, channels=1, clusters=12, **small)


@pytest.fixture(scope="module")
def classes() -> Network:
    return build_model("backbone", classes=("1", "4"), image_size=64, channels=1, backbone="squeezenet1_1")


@pytest.fixture
def table() -> pd.DataFrame:
    """Two fields of one well, and one of another with an image of the same name."""
    sites = [("P", "B03", 1, "a.tif"), ("P", "B03", 2, "b.tif"), ("P", "B04", 1, "two/a.tif")]
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "FileName_DAPI"]
    return pd.DataFrame(sites, columns=columns)


def write(folder: Path, *lines: str) -> Path:
    file = folder / "targets.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_fields_are_named_in_three_ways_and_clusters_in_two(
    table: pd.DataFrame, clusters: Network, tmp_path: Path
) -> None:
    file = write(tmp_path, "field,target", "P/B03/1,cluster 07", "b.tif, 12", "", "P_B04_f1,3")
    expected = {"P_B03_f1": "cluster 07", "P_B03_f2": "cluster 12", "P_B04_f1": "cluster 03"}
    assert read_field_targets(file, table, clusters) == expected


def test_classes_go_by_their_names_alone(table: pd.DataFrame, classes: Network, tmp_path: Path) -> None:
    assert read_field_targets(write(tmp_path, "field,target", "b.tif,4"), table, classes) == {"P_B03_f2": "4"}
    with pytest.raises(LeighError, match="line 2: '2' is unknown to the model; choose one of 1, 4"):
        read_field_targets(write(tmp_path, "field,target", "b.tif,2"), table, classes)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["field,target", "", "P/B05/1,1"],
            "line 3: 'P/B05/1' is no field of the images; write it as PLATE/WELL/SITE, such as P/B03/1",
        ),
        (["field,target", "a.tif,1"], "line 2: 'a.tif' is the name of 2 fields; write it as P_B03_f1"),
        (["field,target", "b.tif,13"], "line 2: '13' is unknown to the model; it has the clusters 1 to 12"),
        (["field,target", "b.tif,"], "line 2: '' is unknown to the model"),
        (["field,target", "b.tif,1", "P/B03/2,2"], "line 3: P/B03/2 has the target cluster 02, and cluster 01 before"),
        (["field,cluster", "b.tif,1"], "has no column target; give a CSV file with the columns field and target"),
        (["field,target"], "names no field"),
        ([""], "can't be read"),
    ],
)
def test_a_bad_file_is_refused(
    lines: list[str], message: str, table: pd.DataFrame, clusters: Network, tmp_path: Path
) -> None:
    with pytest.raises(LeighError, match=message):
        read_field_targets(write(tmp_path, *lines), table, clusters)
