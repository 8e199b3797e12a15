import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.spaces import check_spaces


def space(published: object, *choices: object) -> SearchSpace:
    domain = {"augment": [published, *choices]} if choices else {}
    values = {"learning_rate": 0.001, "augment": published}
    return SearchSpace.model_validate(
        {"family": "autoencoder", "metric": "val/mse", "image_size": 32, "published": values, "space": domain}
    )


def test_every_augmentation_of_a_search_is_tried_before_it_begins() -> None:
    check_spaces([space(None)])
    check_spaces([space("published", "morphology", "microscope")])
    bad = [{"__class_fullname__": "Posterize"}]
    for refused in (space(bad), space("published", bad)):
        with pytest.raises(LeighError, match="Posterize can't be used on fields"):
            check_spaces([refused])


def test_an_augmentation_is_tried_on_the_channels_of_the_plate() -> None:
    grey = space([{"__class_fullname__": "ToGray", "p": 1.0}])
    with pytest.raises(LeighError, match="mixes or exchanges the stains"):
        check_spaces([grey], channels=3)
    with pytest.raises(LeighError, match="fails on 2 channels"):
        check_spaces([grey], channels=2)
