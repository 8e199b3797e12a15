import pytest
import torch

from leigh_mlops.explanations.faithfulness.deletion_insertion import (
    deletion_insertion_areas,
    edge_strength,
    random_tile_scores,
    tile_means,
)
from tests.explanations.tiny import Spot

TARGET = torch.tensor([0, 0])


def lit():
    """Light in the quarter that the network sees, and as much in one that it does not see."""
    images = torch.zeros(2, 2, 8, 8, dtype=torch.float64)
    images[:, 0, 4:, 4:] = images[:, 0, :4, :4] = 0.5
    return images


def truth():
    score = torch.zeros(2, 8, 8)
    score[:, 4:, 4:] = 1
    return score


def test_the_true_pixels_beat_random_ones_which_beat_the_wrong_ones():
    model, images = Spot(), lit()
    right, wrong = (deletion_insertion_areas(model, images, TARGET, score) for score in (truth(), -truth()))
    random = deletion_insertion_areas(model, images, TARGET, random_tile_scores(images, 0))
    assert (right.deletion < random.deletion).all()
    assert (random.deletion < wrong.deletion).all()
    assert (right.insertion > random.insertion).all()
    assert (random.insertion > wrong.insertion).all()


def test_areas_of_a_map_that_marks_nothing_the_network_sees_are_worked_out():
    """The 16 tiles that count go last, of 64: 3 of them by the step to 0.8, 10 by that to 0.9."""
    found = deletion_insertion_areas(Spot(), lit(), TARGET, -truth())
    sure, three_gone, ten_gone, even = torch.sigmoid(torch.tensor([8.0, 6.5, 3.0, 0.0])).tolist()
    expected = 0.1 * (7 * sure + (sure + three_gone) / 2 + (three_gone + ten_gone) / 2 + (ten_gone + even) / 2)
    assert found.deletion.tolist() == pytest.approx([expected] * 2)


def test_what_is_gone_can_be_another_image_and_one_channel_alone():
    model, images = Spot(), lit()
    same = deletion_insertion_areas(model, images, TARGET, truth(), fill=images)
    torch.testing.assert_close(same.deletion, model(images).softmax(dim=1)[:, 0])
    other = deletion_insertion_areas(model, images, TARGET, truth(), channel=1)  # dark, and not seen
    torch.testing.assert_close(other.deletion, same.deletion)
    assert (deletion_insertion_areas(model, images, TARGET, truth(), channel=0).deletion < same.deletion).all()


def test_edges_are_where_brightness_changes():
    image = torch.zeros(1, 2, 8, 8)
    assert not edge_strength(image).any()
    image[..., 4:] = 1
    assert edge_strength(image)[0].amax(dim=0).nonzero().ravel().tolist() == [3, 4]


def test_tiles_are_means_and_no_smaller_than_pixels():
    maps = torch.arange(64.0).view(1, 8, 8)
    assert torch.equal(tile_means(maps), maps)
    large = torch.rand(1, 56, 56, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tile_means(large)[0, 0, 0], large[0, :2, :2].mean())
