import torch
from torch import nn

from leigh_mlops.explanations.attribution.captum_adapter import UnrolledResNeXt, feature_layer, unroll
from tests.explanations.tiny import Spot, pictures, tiny_iresnet, tiny_resnext


def test_an_unrolled_resnext_computes_the_same():
    model, images = tiny_resnext(), pictures()
    for by_relus in (False, True):
        torch.testing.assert_close(unroll(model, max_by_relus=by_relus)(images), model(images))


def test_its_activations_are_used_once_and_its_weights_are_its_own():
    model = tiny_resnext()
    before, chain = model(pictures()), unroll(model)
    assert isinstance(chain, UnrolledResNeXt)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in chain.modules())
    assert all(not layer.inplace for layer in chain.modules() if isinstance(layer, nn.ReLU))
    with torch.no_grad():
        for weights in chain.parameters():
            weights.zero_()
    torch.testing.assert_close(model(pictures()), before)


def test_other_networks_are_themselves():
    model = tiny_iresnet()
    assert unroll(model) is model


def test_the_feature_layer_is_what_the_head_pools(flow):
    for model in (tiny_resnext(), unroll(tiny_resnext()), tiny_iresnet().double(), Spot()):
        images = pictures(size=8 if isinstance(model, Spot) else 32)
        seen = []
        handle = feature_layer(model).register_forward_hook(lambda module, args, out, seen=seen: seen.append(out))
        model(images)
        handle.remove()
        (features,) = seen
        assert features.ndim == 4
    assert feature_layer(flow) is None
