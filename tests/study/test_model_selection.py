from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.latent_map import LatentMap, PooledLatents
from leigh_mlops.models import Network, build_model, load_package, save_package
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.training import PreparedData
from tests.training.conftest import prepared

SMALL = {"autoencoder": {"widths": (4, 4)}, "iresnet": {"blocks": (1, 1), "widths": (8, 8)}}


@pytest.fixture
def data(class_folders: Path) -> PreparedData:
    return prepared(class_folders)


def build(family: str, data: PreparedData) -> Network:
    torch.manual_seed(0)
    return build_model(family, classes=data.classes, image_size=32, channels=3, **SMALL[family]).eval()


@pytest.mark.parametrize("family", ["autoencoder", "iresnet"])
def test_a_package_brings_the_latent_map_of_its_training_fields(
    family: str, data: PreparedData, tmp_path: Path
) -> None:
    model, scale = build(family, data), data.scale("linear")
    save_package(make_package(model, scale, data, fit_baselines(data), {}, references={}), tmp_path)
    stored = LatentMap.from_arrays(load_package(tmp_path).arrays)
    assert stored is not None
    assert len(stored.distances) == len(data.rows("train"))
    batches = data.batches("train", scale, 5)
    seen = PooledLatents()
    with torch.no_grad():
        for batch in batches:
            seen.update(model.encode(batch.images))
    own = seen.fit()
    np.testing.assert_allclose(stored.explained, own.explained, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(stored.mean, own.mean, atol=1e-4)


def test_means_and_map_share_one_pass(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    model, encoded = build("iresnet", data), []
    encode = type(model).encode

    def counting(self: nn.Module, images: Tensor) -> Tensor:
        encoded.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(type(model), "encode", counting)
    make_package(model, data.scale("linear"), data, fit_baselines(data), {}, references={})
    # Validation fields are seen once, for calibration and energies.
    assert sum(encoded) == len(data.rows("train")) + len(data.rows("val"))
