from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import sobel

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, initialise, load_model, save_model
from leigh_mlops.models.clustering import fit_k_means, fit_reduction
from leigh_mlops.models.deep_cluster import DeepCluster, cluster_names, sobel_gradients
from tests.models.compact import compact, images


def network(**architecture: object) -> DeepCluster:
    model = compact("deepcluster", **architecture)
    assert isinstance(model, DeepCluster)
    return model


def test_gradients_are_those_of_scipy() -> None:
    x = images(2)
    for axis, found in ((3, sobel_gradients(x)[:, :3]), (2, sobel_gradients(x)[:, 3:])):
        expected = np.stack([[sobel(plane, axis - 2, mode="nearest") for plane in image] for image in x.numpy()])
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_gradients_do_not_depend_on_the_level_and_images_do() -> None:
    with torch.no_grad():
        for is_sobel in (False, True):
            model, x = network(sobel=is_sobel).eval(), images(2)
            assert torch.allclose(model.encode(x), model.encode(x + 3), atol=1e-4) == is_sobel


def test_classes_are_the_clusters_whatever_the_images_are() -> None:
    assert network().spec.classes == ("cluster 1", "cluster 2", "cluster 3", "cluster 4")
    assert cluster_names(100)[99] == "cluster 100"
    assert len(build_model("deepcluster", classes=[], image_size=32).spec.classes) == 100
    with pytest.raises(LeighError, match="clusters is 1; give a whole number from 2"):
        network(clusters=1)


def test_clustering_and_head_are_stored_together(tmp_path: Path) -> None:
    model = network().eval()
    features = model.encode(images(30)).detach().numpy()
    reduction = fit_reduction(features, 5)
    found = fit_k_means(reduction.apply(features), 4)
    assert not model.clustering()[1].centroids.any()
    before = model.head.weight.clone()
    model.start_head(reduction, found.centres, seed=3)
    assert not torch.equal(model.head.weight, before)
    assert float(model.head.weight.detach().std()) == pytest.approx(0.01, rel=0.5)
    save_model(model, tmp_path)
    stored = load_model(tmp_path)
    assert isinstance(stored, DeepCluster)
    again, centres = stored.clustering()
    np.testing.assert_array_equal(centres.assign(again.apply(features)), found.labels)
    assert torch.equal(stored.head.weight, model.head.weight)


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "convnext_tiny"])
def test_any_published_trunk_can_be_clustered(name: str, tmp_path: Path) -> None:
    model, called = network(backbone=name, sobel=True).eval(), []
    stages, x = model.stages(), images(2).requires_grad_()
    parameters = [id(each) for stage in stages for module in stage for each in module.parameters()]
    assert sorted(parameters) == sorted(map(id, model.parameters()))
    for number, stage in enumerate(stages):
        for module in stage:
            module.register_forward_hook(lambda *_, number=number: called.append(number))
    features = model.encode(x)
    assert features.shape == (2, model.head.in_features) == (2, len(model.reduction_mean))
    assert called == sorted(called)
    logits = model(x)
    assert torch.equal(logits, model.classify(features))
    logits.square().sum().backward()
    assert all(each.grad is not None for each in (x, *model.parameters()))
    save_model(model, tmp_path)
    assert torch.equal(load_model(tmp_path)(x), logits)
    assert network().published_trunk is network().stem is None
    with pytest.raises(LeighError, match="backbone is 'resnet'; choose a classifier of torchvision"):
        network(backbone="resnet")


def test_weights_for_three_colours_start_a_trunk_with_gradients(tmp_path: Path) -> None:
    source = compact("backbone")
    save_file({name: each.clone() for name, each in source.features.state_dict().items()}, tmp_path / "w.safetensors")
    model = network(backbone="shufflenet_v2_x0_5", sobel=True)
    report = initialise(model, tmp_path / "w.safetensors")
    assert model.stem in report.copied
    assert not any(name.startswith("features.") for name in report.left)


def test_the_last_map_is_that_of_the_last_convolution() -> None:
    model, shapes = network().eval(), []
    model.last_map().register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    model(images(1))
    assert shapes == [(1, 6, 4, 4)]
