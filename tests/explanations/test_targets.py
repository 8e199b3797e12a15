import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.targets import choose_reachable_target, choose_target

SCORES = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 4.0]])
CLASSES = ["DS", "TT", "WT"]


@pytest.mark.parametrize(
    ("target", "chosen"),
    [(None, [2, 2]), ("DS", [0, 0]), (1, [1, 1]), (torch.tensor([2, 0]), [2, 0]), (torch.tensor([-1, 0]), [2, 0])],
)
def test_targets_of_every_form(target, chosen):
    assert choose_target(target, SCORES, CLASSES).tolist() == chosen


def test_a_given_class_stands_for_a_missing_request():
    best = SCORES.argmax(dim=1)
    assert choose_target(None, SCORES, CLASSES, default=best).tolist() == [1, 0]
    assert choose_target(torch.tensor([-1, 2]), SCORES, CLASSES, default=best).tolist() == [1, 2]


def test_of_two_classes_the_second_best_is_the_other():
    assert choose_target(None, SCORES[:, :2], CLASSES[:2]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ds", "Unknown class 'ds'; the model knows DS, TT, WT"),
        (3, "indices from 0 to 2"),
        (-1, "indices from 0 to 2"),
        (torch.tensor([0, -2]), "indices from 0 to 2"),
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


@pytest.mark.parametrize("kind", ["true", "predicted"])
@pytest.mark.parametrize("unseen", range(3))
def test_a_way_passes_over_a_class_without_means_unless_it_is_asked_for(kind, unseen):
    kinds = ("true", "predicted")
    means = {each: torch.zeros(3, 1) for each in kinds}
    assert choose_reachable_target(None, SCORES, means, kinds, CLASSES).tolist() == [2, 2]
    means[f"{kind}_counts"] = torch.full((3,), 5).scatter(0, torch.tensor(unseen), 0)
    # TT is the nearest to the first and DS to the second, whether they have means or not.
    expected = [0, 1] if unseen == 2 else [2, 2]
    assert choose_reachable_target(None, SCORES, means, kinds, CLASSES).tolist() == expected
    assert choose_reachable_target(None, SCORES, means, [each for each in kinds if each != kind], CLASSES).tolist() == [
        2,
        2,
    ]
    assert choose_reachable_target(unseen, SCORES, means, kinds, CLASSES).tolist() == [unseen] * 2
