import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.targets import choose_target

SCORES = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 4.0]])
CLASSES = ["DS", "TT", "WT"]


@pytest.mark.parametrize(
    ("target", "chosen"),
    [(None, [2, 2]), ("DS", [0, 0]), (1, [1, 1]), (torch.tensor([2, 0]), [2, 0])],
)
def test_targets_of_every_form(target, chosen):
    assert choose_target(target, SCORES, CLASSES).tolist() == chosen


def test_of_two_classes_the_second_best_is_the_other():
    assert choose_target(None, SCORES[:, :2], CLASSES[:2]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ds", "Unknown class 'ds'; the model knows DS, TT, WT"),
        (3, "indices from 0 to 2"),
        (torch.tensor([0, -1]), "indices from 0 to 2"),
        (torch.tensor([0, 1, 2]), "one class index for each of 2 images"),
        (torch.tensor([0.0, 1.0]), "one class index for each of 2 images"),
    ],
)
def test_targets_that_do_not_exist(target, message):
    with pytest.raises(LeighError, match=message):
        choose_target(target, SCORES, CLASSES)


def test_one_class_has_no_other():
    with pytest.raises(LeighError, match="only the class DS"):
        choose_target(None, SCORES[:, :1], ["DS"])
