from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.latent_map import LatentMap, PooledLatents
from leigh_mlops.models import Network, build_model, load_package, save_package
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.evaluation import evaluate_package
from leigh_mlops.study.examples import explain_examples
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.score_figures import score_figures
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


def test_an_autoencoder_is_packaged_and_scored_without_classes(data: PreparedData, tmp_path: Path) -> None:
    labelled = make_package(build("autoencoder", data), data.scale("linear"), data, None, {}, references={})
    assert set(labelled.about["parts"]["train"]["wells"]) == {"DS", "TT"}
    nameless = replace(data, table=data.table.assign(Metadata_Condition=None), classes=(), needs_labels=False)
    model = build("autoencoder", nameless)
    save_package(make_package(model, nameless.scale("linear"), nameless, None, {}, references={}), tmp_path)
    package = load_package(tmp_path)
    assert package.about["parts"]["train"]["wells"] == {"no class": 8}
    assert package.class_means is not None
    assert len(package.class_means["true"]) == 0
    scored = evaluate_package(package, nameless, nameless.rows("test"))
    assert scored.scores["mse"] == evaluate_package(labelled, data, data.rows("test")).scores["mse"]
    assert scored.baseline["mse"] > 0
    assert set(score_figures("reconstruct", nameless, scored.outputs, scored.scores)) == {"errors"}
    assert explain_examples(package, nameless).rows[0].title.endswith("no class")


def test_fields_without_a_class_change_no_mean_of_a_class(data: PreparedData) -> None:
    model, scale = build("autoencoder", data), data.scale("linear")
    rows = data.rows("train")
    known = make_package(model, scale, data, None, {}, references={}).class_means
    partly = data.table["Metadata_Condition"].mask(data.table.index.isin(rows[data.labels[rows] == 0][:2]))
    mixed = replace(data, table=data.table.assign(Metadata_Condition=partly), needs_labels=False)
    means = make_package(model, scale, mixed, None, {}, references={}).class_means
    assert known is not None
    assert means is not None
    assert means["true_counts"].tolist() == [known["true_counts"][0] - 2, known["true_counts"][1]]
    assert torch.equal(means["true"][1], known["true"][1])
