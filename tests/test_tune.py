"""Configuration of searches by the command line."""

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.tune import configure_search, load_spaces, tune

NOTHING = {"trials": None, "epochs": None, "image_size": None}


def test_the_published_preset_trains_each_published_configuration_once() -> None:
    spaces = load_spaces(None)
    assert all(configure_search(space, "standard", **NOTHING).space for space in spaces)
    alone = [configure_search(space, "published", **NOTHING) for space in spaces]
    assert {space.family for space in alone} == {"resnext", "autoencoder", "iresnet"}
    assert [(space.trials, space.space, space.early_stopping) for space in alone] == [(1, {}, "none")] * 3
    assert [space.published for space in alone] == [space.published for space in spaces]
    assert [space.image_size for space in alone] == [224] * 3


def test_the_published_preset_can_be_shortened_but_not_repeated() -> None:
    (space,) = (space for space in load_spaces(None) if space.family == "iresnet")
    short = configure_search(space, "published", trials=1, epochs=5, image_size=64)
    assert (short.published["epochs"], short.image_size, short.trials) == (5, 64, 1)
    assert short.published["learning_rate"] == 0.005
    with pytest.raises(LeighError, match="--trials 3 with --preset published"):
        configure_search(space, "published", trials=3, epochs=None, image_size=None)


def test_a_search_that_goes_on_takes_no_other_settings_to_begin_with() -> None:
    with pytest.raises(LeighError, match="leave --prior out"):
        tune(resume=True, prior="all")
