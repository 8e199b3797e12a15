from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.reporting.card_sections import (
    card_sections,
    card_table,
    describe_cards,
    draw_mean_maps,
    read_cluster_names,
    sort_cluster_pictures,
)
from leigh_mlops.report.table_columns import Columns
from leigh_mlops.screening.cluster_cards import describe_members
from leigh_mlops.screening.map_clusters import MeanMap
from tests.screening.test_cluster_cards import job


def columns(table: pd.DataFrame) -> Columns:
    return {str(name): values.tolist() for name, values in table.items()}


CLUSTERS = ("cluster 01", "cluster 02", "cluster 03")


def test_sentences_say_first_whether_clusters_follow_the_position() -> None:
    clean = describe_cards(describe_members(job(by="class")))
    assert clean[0].startswith("Clusters follow no position more than shuffled wells do")
    placed = describe_cards(describe_members(job(by="column")))
    assert placed[0].startswith("Clusters follow the column of the plate rather than cells alone")
    apart = describe_cards(describe_members(job(by="block")))
    assert apart[0].startswith(
        "Clusters follow the position on the plate: their normalised mutual information with its"
    )
    assert not any("follow no position" in each for each in apart)
    assert any("by the sharpness of the images" in each for each in describe_cards(describe_members(job(by="focus"))))
    assert not any("sharpness" in each for each in clean)


def test_a_card_begins_with_the_position_and_bears_the_given_name() -> None:
    fields = job(by="column")
    found = describe_members(fields)
    cards = {card.title: card for card in card_sections(found, columns(fields), {"cluster 1": "edge"})}
    assert cards["edge (cluster 1)"].sentences[0].startswith("It follows the position: column ")
    table = card_table(found, {"cluster 1": "edge"}).set_index("cluster")
    assert table["name"].tolist().count("edge") == 1
    assert bool(table.loc["cluster 1", "follows_position"])
    clean = describe_members(job(by="class"))
    assert not any(
        "follows the position" in each
        for card in card_sections(clean, columns(job(by="class")), {})
        for each in card.sentences
    )


def test_clusters_without_a_field_are_counted_and_a_single_one_is_said_first() -> None:
    fields = job(by="class")
    assert "no field of these images" not in " ".join(describe_cards(describe_members(fields)))
    two = fields[fields["predicted"] != "cluster 3"]
    assert "1 of the 3 clusters has no field of these images." in describe_cards(describe_members(two))
    one = describe_cards(describe_members(fields[fields["predicted"] == "cluster 3"]))
    assert one[0].startswith("All fields are in one of the 3 clusters, so that the model tells none of them apart")


def test_the_mean_map_stands_first_on_its_card(tmp_path: Path) -> None:
    heat = np.zeros((16, 16))
    heat[:8, :8] = 2.0
    drawn = draw_mean_maps(tmp_path, {"cluster 2": MeanMap(heat, 40)}, method="grad_cam", epoch=7, size=64, limit=2.0)
    picture = drawn["cluster 2"]
    assert picture.path == "images/7/cluster_2/mean-grad_cam.png"
    pixels = np.asarray(Image.open(tmp_path / picture.path)).astype(int)
    assert pixels.shape == (64, 64, 3)
    assert pixels[16, 16, 0] > pixels[16, 16, 2] + 50  # red where it supports the cluster
    assert pixels[48, 48].max() < 50
    assert "Mean of 40 maps (Grad-CAM)" in picture.caption
    fields = job(by="class")
    cards = card_sections(describe_members(fields), columns(fields), {}, drawn)
    examples = {card.title: card.examples for card in cards}["cluster 2"]
    assert list(examples[0].pictures) == [picture]
    assert examples[0].title == "mean map"
    assert examples[1].title.startswith("typical: P, well ")


def test_maps_lie_in_a_folder_of_epoch_and_cluster(tmp_path: Path) -> None:
    fields = job(by="class").head(4)
    paths = [f"images/{field}/grad_cam.png" for field in fields["field"]]
    for number, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.fromarray(np.full((2, 2), number, np.uint8)).save(tmp_path / path)
    drawn = columns(fields.assign(picture_grad_cam=paths))
    for _ in range(2):  # a job that is started again
        assert sort_cluster_pictures(tmp_path, drawn, 12) == 4
    first = fields.iloc[0]
    copied = tmp_path / "images" / "12" / first["predicted"].replace(" ", "_") / f"{first['field']}-grad_cam.png"
    assert copied.read_bytes() == (tmp_path / paths[0]).read_bytes()
    assert len(list((tmp_path / "images" / "12").rglob("*.png"))) == 4


def test_names_are_read_by_number_or_name(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text("cluster,name\n1,round\ncluster 03, spread out\n2,\n")
    assert read_cluster_names(file, CLUSTERS) == {"cluster 01": "round", "cluster 03": "spread out"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cluster,name\n4,round\n", "names '4', which is no cluster of the model; it has 3"),
        ("cluster,title\n1,round\n", "has no column name"),
        ("", "can't be read"),
    ],
)
def test_names_of_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "names.csv"
    file.write_text(text)
    with pytest.raises(LeighError, match=message):
        read_cluster_names(file, CLUSTERS)
