import pytest
import torch

from leigh_mlops.explanations.occlusion.losses import group_neighbours
from leigh_mlops.explanations.occlusion.windows import WindowGrid


def test_boxes_are_cut_at_the_edges():
    grid = WindowGrid.for_image(7, 5, window=3, stride=2)
    assert grid.shape == (3, 2)
    assert grid.boxes().tolist() == [[t, x, t + 3, x + 3] for t in (0, 2, 4) for x in (0, 2)]
    assert WindowGrid.for_image(8, 5, window=3, stride=2).boxes()[-1].tolist() == [6, 2, 8, 5]


def test_a_tile_covers_its_windows():
    grid = WindowGrid.for_image(8, 8, window=3, stride=2)
    (box,) = grid.boxes(torch.tensor([[1, 0, 3, 2]]))
    assert box.tolist() == [2, 0, 7, 5]
    (everything,) = grid.boxes(torch.tensor([[0, 0, *grid.shape]]))
    assert everything.tolist() == [0, 0, 8, 8]


def test_pixels_have_the_mean_of_the_windows_over_them():
    grid = WindowGrid.for_image(1, 4, window=1, stride=1)
    assert grid.to_maps(torch.tensor([[1.0, 2, 3, 4]])).tolist() == [[[1, 2, 3, 4]]]
    grid = WindowGrid.for_image(2, 3, window=2, stride=1)
    assert grid.to_maps(torch.tensor([[1.0, 3.0]])).tolist() == [[[1, 2, 3], [1, 2, 3]]]


@pytest.mark.parametrize("most", [1, 7, 32, 200])
def test_every_box_stands_in_one_pass(most):
    boxes = WindowGrid.for_image(60, 40, window=5, stride=4).boxes()
    passes = list(group_neighbours(boxes, most))
    assert torch.cat(passes).sort().values.tolist() == list(range(len(boxes)))
    assert max(map(len, passes)) <= most
