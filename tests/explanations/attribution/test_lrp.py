import torch

from leigh_mlops.explanations.attribution.captum_adapter import unroll
from leigh_mlops.explanations.attribution.lrp import deep_lift, layers_without_rule, lrp
from tests.explanations.tiny import Spot, pictures, tiny_iresnet, tiny_resnext

TARGET = torch.tensor([0, 1, 0, 1])
BLACK = torch.tensor([-1.0, -0.5], dtype=torch.float64)


def test_deep_lift_sums_to_the_difference_of_the_logits():
    for model in (tiny_resnext(), tiny_iresnet().double()):
        heat, whole = deep_lift(model, pictures(), TARGET, BLACK)
        dark = BLACK.view(1, 2, 1, 1).expand(4, 2, 32, 32)
        torch.testing.assert_close(whole, (model(pictures()) - model(dark)).gather(1, TARGET[:, None])[:, 0])
        torch.testing.assert_close(heat.sum(dim=(1, 2)), whole, rtol=1e-6, atol=1e-9)


def test_lrp_is_gradient_times_input_and_sums_to_the_logit_where_there_are_no_biases():
    """Ancona et al. 2018, proposition 1: for networks of ReLUs and the rule epsilon with an epsilon of 0."""
    chain, images = unroll(tiny_resnext()), pictures()
    for biases in (True, False):
        heat, whole = lrp(chain, images, TARGET, epsilon=1e-12)
        pixels = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(chain(pixels).gather(1, TARGET[:, None]).sum(), pixels)
        expected = (gradient * images).sum(dim=1)
        torch.testing.assert_close(heat, expected, rtol=1e-5, atol=1e-7 * expected.abs().max().item())
        assert torch.allclose(heat.sum(dim=(1, 2)), whole) != biases
        for name, weights in chain.named_parameters():
            if name.endswith("bias"):
                weights.data.zero_()


def test_lrp_leaves_the_network_as_it_was():
    model = tiny_resnext()
    before = model(pictures())
    heat, _ = lrp(model, pictures(), TARGET)
    assert torch.equal(model(pictures()), before)
    torch.testing.assert_close(lrp(model, pictures(), TARGET)[0], heat)
    assert not any(hasattr(layer, "rule") for layer in model.modules())


def test_layers_without_a_rule_are_named(flow):
    assert layers_without_rule(tiny_resnext()) == []
    assert layers_without_rule(Spot()) == []
    assert layers_without_rule(tiny_iresnet()) == ["Squeeze", "ActNorm", "LipschitzConv2d", "ELU", "Flatten"]
    assert layers_without_rule(flow) == ["Flow"]
