import math

import pytest
import torch
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.attribution.prediction_difference import prediction_difference
from tests.explanations.tiny import Spot, pictures

TARGET = torch.tensor([0, 0, 1])


def log_odds(model, image, goal):
    probability = model(image[None]).softmax(dim=1)[0, goal].item()
    return math.log(probability / (1 - probability))


def test_a_window_as_large_as_the_image_is_worked_out_by_hand():
    model, images = Spot(size=4), 0.3 * pictures(3, size=4).abs()
    references = 0.3 * pictures(2, size=4, seed=8).abs()
    maps = prediction_difference(model, images, TARGET, references, window=4, stride=4, samples=2)
    for heat, image, goal in zip(maps, images, TARGET.tolist(), strict=True):
        mean = model(references).softmax(dim=1)[:, goal].mean().item()
        expected = log_odds(model, image, goal) - math.log(mean / (1 - mean))
        torch.testing.assert_close(heat, torch.full((4, 4), expected, dtype=torch.float64))


def test_only_what_differs_from_the_references_speaks():
    model, dark = Spot(), torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    lit = dark.clone()
    lit[0, 0, 6, 6] = 1
    maps = prediction_difference(model, torch.cat([lit, dark]), torch.tensor([0, 0]), dark, window=2, stride=2)
    assert maps[0].nonzero().tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]
    assert (maps[0] >= 0).all()
    # Its only reference is the image itself, and its local mean is as dark.
    assert not maps[1].any()


def test_without_references_a_window_gets_the_local_mean():
    model, even = Spot(), torch.full((1, 2, 8, 8), 0.7, dtype=torch.float64)
    assert prediction_difference(model, even, torch.tensor([0]), window=3, stride=2).abs().max() < 1e-9
    spot = even.clone()
    spot[0, 0, 5, 5] = 3
    assert prediction_difference(model, spot, torch.tensor([0]), window=3, stride=2)[0].argmax() == 5 * 8 + 5


def test_every_pixel_is_covered_and_a_batch_is_its_images_alone():
    images = pictures(3, size=8)
    references = pictures(5, size=8, seed=9)
    maps = prediction_difference(Spot(), images, TARGET, references, window=3, stride=3)
    assert maps.isfinite().all()
    torch.testing.assert_close(
        prediction_difference(Spot(), images[1:2], TARGET[1:2], references, window=3, stride=3), maps[1:2]
    )


@pytest.mark.parametrize(("window", "stride"), [(9, 1), (3, 4)])
def test_windows_that_do_not_fit(window, stride):
    with pytest.raises(LeighError, match="do not cover images of 8 x 8"):
        prediction_difference(Spot(), pictures(3, size=8), TARGET, window=window, stride=stride)


def test_a_model_that_cannot_classify(coder):
    assert isinstance(coder, nn.Module)
    with pytest.raises(LeighError, match="prediction_difference needs a model that can classify"):
        prediction_difference(coder, pictures(3, size=3), TARGET)
