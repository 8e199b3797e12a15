from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from leigh_mlops.explanations import LatentMap, PooledLatents
from leigh_mlops.jobs.reporting.latent_report import map_neighbours, write_latents
from leigh_mlops.models import ModelPackage, build_model
from tests.report.test_latent_picture import columns, fields


@pytest.fixture
def latent_map() -> LatentMap:
    seen = PooledLatents()
    seen.update(torch.from_numpy(np.random.default_rng(0).normal(size=(90, 4)) * np.array([9, 4, 1, 1])))
    return seen.fit()


def package(latent_map: LatentMap | None) -> ModelPackage:
    model = build_model("autoencoder", classes=["DS", "TT"], image_size=32, channels=2)
    return ModelPackage(model, ("DAPI", "TMRM"), {}, arrays={} if latent_map is None else latent_map.to_arrays())


def test_a_model_without_a_map_writes_none(tmp_path: Path, latent_map: LatentMap) -> None:
    assert write_latents(tmp_path, columns(fields()), package(None)) == []
    assert write_latents(tmp_path, columns(fields().drop(columns="latent_1")), package(latent_map)) == []
    assert write_latents(tmp_path, columns(fields()[:0]), package(latent_map)) == []
    assert not list(tmp_path.iterdir())


def test_picture_and_sentences(tmp_path: Path, latent_map: LatentMap) -> None:
    table = fields()
    components, outliers = write_latents(tmp_path, columns(table), package(latent_map))
    with Image.open(tmp_path / "latents.png") as picture:
        assert picture.width > 1000
    one, two = latent_map.explained[:2]
    assert f"component 1 holds {one:.0%} and component 2 holds {two:.0%}" in components
    assert "% with the class" in components
    assert "plate" not in components
    assert outliers == "No field lies farther from the middle of the latent map than 99% of the 90 training fields."
    table.loc[[4, 8], "latent_distance"] = [50.0, 60.0]
    _, outliers = write_latents(tmp_path, columns(table), package(latent_map))
    assert outliers.startswith("2 of 72 fields (2.8%) lie farther")
    assert outliers.endswith(f"are expected: {table['field'][8]}, {table['field'][4]}.")


def test_a_table_of_another_set_of_columns_still_has_its_map(tmp_path: Path, latent_map: LatentMap) -> None:
    table: pd.DataFrame = fields().drop(columns=["Metadata_Condition", "seen"])
    components, _ = write_latents(tmp_path, columns(table), package(latent_map))
    assert "class" not in components


def test_neighbours_need_two_components_and_some_fields() -> None:
    table = fields()
    assert map_neighbours(columns(table.drop(columns="latent_2"))) is None
    assert map_neighbours(columns(table[:6])) is None
    table.loc[3, "latent_2"] = np.nan
    found = map_neighbours(columns(table))
    assert found is not None
    assert {len(values) for values in found.fields.values()} == {len(table) - 1}
    assert found.fields["Metadata_Well"] == table["Metadata_Well"].drop(3).tolist()
