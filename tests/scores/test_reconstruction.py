import numpy as np
import pytest

from leigh_mlops.scores import mae, mse


def test_errors_by_hand():
    images = np.zeros((2, 2, 1, 2))
    reconstructions = np.array([[[[1.0, -1.0]], [[3.0, -3.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    assert mse(images, reconstructions).tolist() == [5, 0]
    assert mae(images, reconstructions).tolist() == [2, 0]


@pytest.mark.parametrize("error", [mse, mae])
def test_shapes_that_differ_are_not_broadcast(error):
    with pytest.raises(ValueError, match="do not fit"):
        error(np.zeros((2, 3, 4, 4)), np.zeros((2, 1, 4, 4)))
