import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import Choice, Range, SearchSpace
from tests.settings.conftest import DENSITY, GOOD, JOINT, PADDED

CHAIN = GOOD | {
    "published": {
        "learning_rate": 0.001,
        "init": "random",
        "freeze_epochs": 0,
        "layer_decay": 1.0,
        "optimizer": "adam",
    },
    "space": {
        "layer_decay": {"low": 0.5, "high": 1, "when": {"freeze_epochs": [0, 2], "init": "imagenet"}},
        "freeze_epochs": {"values": [0, 2, -1], "when": {"init": "imagenet"}},
        "learning_rate": {"low": 1e-4, "high": 1e-2, "when": {"optimizer": ["adam"]}},
        "init": ["random", "imagenet"],
    },
    "presets": {},
}


def test_a_condition_is_drawn_after_what_it_names() -> None:
    space = SearchSpace.model_validate(CHAIN)
    assert [key for key, _ in space.ordered_space] == ["learning_rate", "init", "freeze_epochs", "layer_decay"]
    decay = space.space["layer_decay"]
    assert isinstance(decay, Range)
    assert not decay.is_active(space.published)
    assert not decay.is_active({"init": "imagenet", "freeze_epochs": -1})
    assert decay.is_active({"init": "imagenet", "freeze_epochs": 2})
    assert space.space["init"].is_active({})


def test_fixing_what_a_condition_names_decides_it() -> None:
    space = SearchSpace.model_validate(CHAIN)
    assert space.fix_hyperparameters({"init": "random"}).space.keys() == {"learning_rate"}
    trunk = space.fix_hyperparameters({"init": "imagenet"})
    assert trunk.space["freeze_epochs"] == Choice(values=[0, 2, -1])
    assert trunk.space["layer_decay"].when == {"freeze_epochs": [0, 2]}
    assert trunk.fix_hyperparameters({"freeze_epochs": -1}).space.keys() == {"learning_rate"}
    assert space.fix_hyperparameters({"optimizer": "sgd"}).published["learning_rate"] == 0.001
    assert "learning_rate" not in space.fix_hyperparameters({"optimizer": "sgd"}).space
    assert SearchSpace.model_validate(space.model_dump(mode="json")) == space


def test_a_condition_on_a_part_that_is_chosen_with_others() -> None:
    values = JOINT | {"published": JOINT["published"] | {"beta": 1.0}}
    beta = {"values": [1.0, 10.0], "when": {"architecture.log_det": "roulette"}}
    space = SearchSpace.model_validate(values | {"space": {"beta": beta} | JOINT["space"]})
    assert [key for key, _ in space.ordered_space] == ["architecture", "beta"]
    active = [space.space["beta"].is_active({"architecture": text}) for text in (PADDED, DENSITY, "head=gaussian")]
    assert active == [False, True, False]
    assert space.fix_hyperparameters({"architecture": DENSITY}).space == {"beta": Choice(values=[1.0, 10.0])}
    assert space.fix_hyperparameters({"architecture": PADDED}).space == {}


def test_a_choice_that_a_condition_keeps_apart_is_no_mistake() -> None:
    precision = {"precision": ["fp32", "bf16"]}
    space = SearchSpace.model_validate(JOINT)
    with pytest.raises(LeighError, match="set precision to fp32"):
        space.replace_fields(space=JOINT["space"] | precision)
    apart = {"precision": {"values": ["fp32", "bf16"], "when": {"architecture.log_det": "none"}}}
    kinds = space.replace_fields(space=JOINT["space"] | apart).architectures()
    assert [(one.published["precision"], one.published["architecture.log_det"]) for one in kinds] == [
        ("fp32", "none"), ("fp32", "roulette"), ("bf16", "none"),
    ]  # fmt: skip


def test_the_published_trial_may_have_a_precision_of_its_own() -> None:
    others = {"precision": {"values": ["bf16"], "when": {"architecture.log_det": "none"}}}
    space = SearchSpace.model_validate(JOINT)
    kinds = space.replace_fields(space=JOINT["space"] | others).architectures()
    assert [(one.published["precision"], one.published["architecture.log_det"]) for one in kinds] == [
        ("fp32", "none"), ("fp32", "roulette"), ("bf16", "none"),
    ]  # fmt: skip
    with pytest.raises(LeighError, match="lies outside its space"):
        space.replace_fields(space={"batch_size": [8]})


def test_a_condition_on_what_is_decided_later_is_refused() -> None:
    apart = {"learning_rate": {"low": 1e-4, "high": 1e-2, "when": {"precision": "auto"}}, "precision": ["auto", "fp32"]}
    given = CHAIN | {"published": CHAIN["published"] | {"precision": "fp32"}, "space": apart}
    with pytest.raises(ValueError, match="the condition on precision requires auto, which a search decides"):
        SearchSpace.model_validate(given)
