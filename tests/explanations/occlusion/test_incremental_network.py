import pytest
import torch
from scipy.stats import spearmanr

from leigh_mlops.explanations.occlusion.incremental_network import IncrementalNetwork, variant_network
from leigh_mlops.explanations.occlusion.linear_tail import linear_losses
from leigh_mlops.explanations.occlusion.losses import Cover, logit_losses
from leigh_mlops.explanations.occlusion.windows import WindowGrid
from tests.explanations.occlusion.test_patched_tensor import drawn, network, variants
from tests.models.test_fused_network import Branching


@pytest.fixture(scope="module")
def model():
    return network("resnext", 2).float()


@torch.no_grad()
def test_variants_follow_from_the_maps_of_the_image(model):
    image = drawn(1, 2, 64, 64).float()
    patches, whole = variants(image)
    incremental = variant_network(model)(image)
    assert isinstance(incremental, IncrementalNetwork)
    expected = model(whole)
    near = 1e-4 * float(expected.abs().max())
    for _ in range(2):  # a pass changes none of the kept maps
        torch.testing.assert_close(incremental(patches), expected, rtol=0, atol=near)
    torch.testing.assert_close(incremental(whole), expected, rtol=0, atol=near)


def test_a_network_that_cannot_be_traced_is_taken_as_it_is():
    branching = Branching()
    assert variant_network(branching)(drawn(1, 2, 64, 64)) is branching


@pytest.mark.parametrize(("contrast", "least"), [(0.01, 0.98), (1.0, 0.5)])
@torch.no_grad()
def test_linear_losses_are_right_for_small_changes_and_alike_for_large_ones(model, contrast, least):
    image, grid = contrast * drawn(1, 2, 64, 64).float(), WindowGrid.for_image(64, 64, 9, 6)
    cover = Cover(torch.zeros(2, 1, 1), torch.ones(2, 1, 1, dtype=torch.bool))
    incremental = variant_network(model)(image)
    exact = logit_losses(incremental, image, 0, cover, grid.boxes())
    estimates = linear_losses(incremental, image, 0, cover, grid.boxes())
    assert spearmanr(exact, estimates).statistic > least
