import pytest
import torch

from leigh_mlops.explanations.occlusion.incremental_network import IncrementalNetwork, variant_network
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
