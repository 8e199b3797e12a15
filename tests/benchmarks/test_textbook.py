import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, svds
from torch.nn import functional as F

from benchmarks.textbook import TextbookResNet, largest_difference, power_vectors
from leigh_mlops.models import build_model

LABELS = torch.tensor([0, 1, 1, 0])


@pytest.fixture
def model():
    """Float64, initialised, and with weights so large that most are divided."""
    torch.manual_seed(0)
    network = build_model("iresnet", classes=["DS", "TT"], image_size=32, blocks=(1, 2), widths=(6, 8), dropout=0)
    network.double().train()(images())
    with torch.no_grad():
        for block in network.trunk.children():
            for conv in getattr(block, "branch", ())[::2]:
                conv.weight *= 2
    return network


def images(seed=1):
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(network, parameters):
    return torch.autograd.grad(F.cross_entropy(network(images()), LABELS), parameters)


def test_gradients_are_ours_at_equal_sigma(model):
    textbook, parameters = TextbookResNet(model), list(model.parameters())
    loss = F.cross_entropy(model(images()), LABELS)
    vectors = power_vectors(model)
    ours = torch.autograd.grad(loss, parameters)
    assert largest_difference(ours, gradients(textbook, parameters)) > 1e-2
    textbook.follow(vectors)
    assert largest_difference(ours, gradients(textbook, parameters)) < 1e-9


def test_latents_are_ours_at_equal_sigma(model):
    textbook, x = TextbookResNet(model), images()
    with torch.no_grad():
        z = model.encode(x)
        assert (textbook.encode(x) - z).abs().max() > 1e-2
        textbook.follow(power_vectors(model))
        torch.testing.assert_close(textbook.encode(x), z, rtol=1e-10, atol=1e-10)


def test_power_iteration_finds_the_norm_of_the_operator(model):
    conv = TextbookResNet(model).convolutions[0]
    size = conv.v.shape[-1]
    weight, shape = conv.weight.detach(), conv.v.shape[1:]
    out = torch.Size((len(weight), size, size))

    def apply(v):
        return F.conv2d(torch.from_numpy(v).view(1, *shape), weight, padding=1).numpy().ravel()

    def apply_transposed(u):
        return F.conv_transpose2d(torch.from_numpy(u).view(1, *out), weight, padding=1).numpy().ravel()

    matrix = LinearOperator((out.numel(), shape.numel()), matvec=apply, rmatvec=apply_transposed, dtype=np.float64)
    (exact,) = svds(matrix, k=1, return_singular_vectors=False)
    assert size == 16
    assert float(conv.norm()) < 0.9 * exact
    conv.iterate(500)
    assert float(conv.norm()) == pytest.approx(exact, rel=1e-3)


def test_ten_iterations_undo_what_the_network_does(model):
    textbook, x = TextbookResNet(model).eval(), images()
    textbook.iterate(1000)
    with torch.no_grad():
        z = textbook.encode(x)
    assert (z.view(4, -1) - F.pixel_unshuffle(F.pad(x, (0, 0, 0, 0, 0, 5)), 4).view(4, -1)).abs().max() > 0.1
    assert (textbook.decode(z) - x).abs().max() < 0.05


def test_parameters_are_shared_and_the_mode_is_that_of_the_network(model):
    textbook = TextbookResNet(model)
    assert {id(parameter) for parameter in textbook.parameters()} == {id(each) for each in model.parameters()}
    assert textbook.training
    assert not TextbookResNet(model.eval()).training
