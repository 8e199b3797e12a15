import json

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage, load_package, save_model, save_package
from tests.models.compact import CLASSES, images, trained


@pytest.fixture
def package():
    model = trained("iresnet")
    means = {kind: torch.randn(len(CLASSES), 128, 8, 8) for kind in ("true", "predicted")}
    arrays = {"training_digests": np.array([2**64 - 1, 0], np.uint64), "position/weight": np.eye(2)}
    scale = {"transform": "log", "full_scale": 65535, "mean": [0.1] * 3, "std": [1.0] * 3}
    return ModelPackage(model, ("DAPI", "TMRM", "both"), scale, means, arrays, {"scores": {"val/log_loss": 0.1}})


def test_a_package_comes_back_as_it_was(package, tmp_path):
    save_package(package, tmp_path)
    names = {"arrays.safetensors", "model.json", "weights.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == names
    loaded = load_package(tmp_path)
    assert torch.equal(loaded.model(images(2)), package.model(images(2)))
    assert (loaded.channels, loaded.scale, loaded.about) == (package.channels, package.scale, package.about)
    assert all(torch.equal(loaded.class_means[kind], mean) for kind, mean in package.class_means.items())
    assert loaded.arrays.keys() == package.arrays.keys()
    assert all(np.array_equal(loaded.arrays[name], array) for name, array in package.arrays.items())
    assert loaded.arrays["training_digests"].dtype == np.uint64


def test_what_a_model_has_seen_is_one_list(package):
    assert package.seen_digests.tolist() == [0, 2**64 - 1]
    package.arrays["validation_digests"] = np.array([7, 0], np.uint64)
    assert package.seen_digests.tolist() == [0, 7, 2**64 - 1]
    assert package.seen_digests.dtype == np.uint64
    assert ModelPackage(package.model, package.channels, package.scale).seen_digests.tolist() == []


def test_a_package_without_means_or_arrays_comes_back(package, tmp_path):
    save_package(ModelPackage(package.model, package.channels, package.scale), tmp_path)
    loaded = load_package(tmp_path)
    assert loaded.class_means is None
    assert loaded.arrays == {}


def test_a_model_alone_is_no_package(package, tmp_path):
    save_model(package.model, tmp_path)
    with pytest.raises(LeighError, match="without its package"):
        load_package(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("channels", ["DAPI"], "names 1 channels for 3"),
        ("channels", [1, 2, 3], "channels without a name"),
        ("scale", None, "no valid scale"),
        ("about", [], "no valid about"),
    ],
)
def test_a_damaged_package_is_refused(package, tmp_path, key, value, text):
    save_package(package, tmp_path)
    path = tmp_path / "model.json"
    stored = json.loads(path.read_text())
    stored["package"][key] = value
    path.write_text(json.dumps(stored))
    with pytest.raises(LeighError, match=text):
        load_package(tmp_path)


def test_damaged_arrays_are_refused(package, tmp_path):
    save_package(package, tmp_path)
    (tmp_path / "arrays.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(LeighError, match=r"arrays\.safetensors can't be read"):
        load_package(tmp_path)


def test_channel_names_must_be_as_many_as_channels(package, tmp_path):
    package.channels = ("DAPI",)
    with pytest.raises(ValueError, match="the network takes 3"):
        save_package(package, tmp_path)
