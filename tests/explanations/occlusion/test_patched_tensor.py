"""A network on patches answers as on whole images."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from leigh_mlops.explanations.occlusion.losses import Cover, cover_boxes
from leigh_mlops.explanations.occlusion.patched_tensor import PatchedMaps
from leigh_mlops.models import build_model

COMPACT = {
    "resnext": {"layers": [2, 1, 1, 1], "groups": 2, "width_per_group": 4},
    "iresnet": {"blocks": [1, 2], "widths": [6, 8]},
}
CORNERS = [(0, 0), (0, 31), (3, 10), (16, 17), (29, 30), (61, 59), (63, 63), (60, 0)]
BOXES = torch.tensor([(top, left, min(top + 5, 64), min(left + 4, 64)) for top, left in CORNERS])


def network(family, channels):
    torch.manual_seed(0)
    model = build_model(family, classes=["DS", "WT"], image_size=64, channels=channels, **COMPACT[family])
    return randomised(model.double())


def randomised(model):
    """In eval mode, with running statistics that are not those of the start."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.eval()


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variants(image, boxes=BOXES, value=2.0, channels=None):
    """The same images as patches and whole, covered by a loop."""
    count = image.shape[1]
    chosen = [True] * count if channels is None else [c in channels for c in range(count)]
    cover = Cover(torch.full((count, 1, 1), value, dtype=image.dtype), torch.tensor(chosen).view(-1, 1, 1))
    whole = image.repeat(len(boxes), 1, 1, 1)
    for each, (top, left, bottom, right) in zip(whole, boxes.tolist(), strict=True):
        each[torch.tensor(chosen), top:bottom, left:right] = value
    return cover_boxes(image, boxes, cover), whole


@pytest.mark.parametrize("channels", [None, [1]])
def test_covered_images_are_those_of_a_loop(channels):
    patches, whole = variants(drawn(1, 2, 64, 64), channels=channels)
    assert patches.shape == whole.shape
    assert patches.dtype == torch.float64
    assert torch.equal(patches.to_tensor(), whole)


@pytest.mark.parametrize(("family", "channels"), [("resnext", 2), ("resnext", 3), ("iresnet", 2)])
def test_logits_are_those_of_whole_images(family, channels):
    model, image = network(family, channels), drawn(1, channels, 64, 64)
    patches, whole = variants(image)
    with torch.no_grad():
        expected = model(whole)
        assert (expected - model(image)).abs().amin() > 1e-8
        torch.testing.assert_close(model(patches), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", COMPACT)
def test_a_patch_that_changes_nothing_changes_no_logit(family):
    model, image = network(family, 2), drawn(1, 2, 64, 64)
    patches, _ = variants(image, channels=[])
    with torch.no_grad():
        torch.testing.assert_close(model(patches), model(image).expand(len(BOXES), -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("family", "deepest"), [("resnext", "features.layer1.1"), ("iresnet", "trunk.2")])
def test_early_layers_see_patches_only(family, deepest):
    model, seen = network(family, 2), []
    model.get_submodule(deepest).register_forward_hook(lambda _, __, result: seen.append(result))
    box = torch.tensor([(30, 30, 32, 32)])
    with torch.no_grad():
        model(variants(drawn(1, 2, 64, 64), box)[1])
        model(variants(drawn(1, 2, 64, 64), box)[0])
    assert not isinstance(seen[0], PatchedMaps)
    assert isinstance(seen[1], PatchedMaps)
    assert seen[1].patches.shape[2] < seen[1].shape[2]


LAYERS = {
    f"conv of {k}, stride {s}, padding {p}, dilation {d}": nn.Conv2d(2, 3, k, s, p, d)
    for k, s, p, d in product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2))
    if p < k
}
LAYERS |= {f"pooling by {k}, stride {s}": nn.MaxPool2d(k, s, k // 2) for k, s in product((2, 3), (1, 2, 3))}
LAYERS |= {
    "uneven convolution": nn.Conv2d(2, 3, (3, 1), (1, 2), (1, 0)),
    "same": nn.Conv2d(2, 3, 3, padding="same"),
    "circular": nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
    "ceiling": nn.MaxPool2d(2, 3, ceil_mode=True),
    "mean": nn.AvgPool2d(3, 1, 1),
    "group norm": nn.GroupNorm(1, 2),
    "instance norm": nn.InstanceNorm2d(2),
    "in place": nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(inplace=True), nn.ELU(inplace=True)),
    "unshuffle": nn.PixelUnshuffle(2),
    "shuffle": nn.PixelShuffle(1),
    "upsampling": nn.Upsample(scale_factor=2),
    "dropout": nn.Dropout(0.5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name):
    layer, image = LAYERS[name].double().eval(), drawn(1, 2, 64, 64)
    patches, whole = variants(image)
    with torch.no_grad():
        result, expected = layer(patches), layer(whole)
    assert result.shape == expected.shape
    torch.testing.assert_close(result.to_tensor() if isinstance(result, PatchedMaps) else result, expected)


def added_in_place(x):
    y = F.conv2d(x, drawn(2, 2, 3, 3), padding=1)
    y += x
    return y


def changed_in_place(x):
    y = F.conv2d(x, drawn(2, 2, 3, 3), padding=1)
    y.clamp_(min=0)
    y[:, 0] = 1
    F.relu(y, inplace=True)
    return y.mul_(2)


OPERATIONS = {
    "add in place": added_in_place,
    "change in place": changed_in_place,
    "numbers": lambda x: 1 - (2 * x + 1) / 3,
    "channels": lambda x: (x - drawn(2, 1, 1)) * drawn(1, 2, 1, 1),
    "rows": lambda x: x + drawn(64),
    "images": lambda x: x * drawn(len(BOXES), 1, 1, 1),
    "own maps": lambda x: x + F.conv2d(x, drawn(2, 2, 5, 5), padding=2) * x,
    "joined": lambda x: torch.cat([x, x[:, :1]], dim=1),
    "more channels": lambda x: F.pad(x, (0, 0, 0, 0, 0, 2)),
    "more pixels": lambda x: F.pad(x, (1, 1, 0, 0)),
    "statistics of the batch": lambda x: F.batch_norm(x, None, None, training=True),
    "mean": lambda x: x.mean(dim=(2, 3)),
    "flat": lambda x: torch.flatten(x, 1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation(name):
    patches, whole = variants(drawn(1, 2, 64, 64))
    result, expected = OPERATIONS[name](patches), OPERATIONS[name](whole)
    assert result.shape == expected.shape
    torch.testing.assert_close(result.to_tensor() if isinstance(result, PatchedMaps) else result, expected)


def test_the_image_outlives_a_network_that_changes_its_input():
    image = drawn(1, 2, 64, 64)
    before = image.clone()
    patches, whole = variants(image)
    torch.testing.assert_close(patches.relu_().to_tensor(), whole.relu_())
    assert torch.equal(image, before)
