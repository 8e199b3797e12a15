import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model
from leigh_mlops.settings import TrainingSettings, load_space
from tests.settings.conftest import DENSITY, TUNING


def test_the_published_configurations() -> None:
    spaces = {name: load_space(TUNING / f"{name}.yaml") for name in ("resnext", "autoencoder", "iresnet")}
    published = {name: TrainingSettings.from_flat(space.published) for name, space in spaces.items()}
    resnext, autoencoder, iresnet = (published[name] for name in ("resnext", "autoencoder", "iresnet"))
    assert (resnext.optimizer, resnext.learning_rate, resnext.batch_size, resnext.epochs) == ("adam", 0.001, 15, 10)
    assert (resnext.lr_schedule, resnext.lr_step_epochs, resnext.lr_step_factor) == ("step", 5, 0.1)
    assert (iresnet.lr_schedule, iresnet.lr_step_epochs, iresnet.lr_step_factor) == ("step", 5, 0.1)
    assert (autoencoder.lr_schedule, autoencoder.lr_step_epochs) == ("constant", None)
    starts = [settings.init for settings in (resnext, autoencoder, iresnet)]
    assert starts == ["imagenet-if-available", "random", "random"]
    for settings in (resnext, autoencoder, iresnet):
        assert (settings.warmup_epochs, settings.freeze_epochs, settings.layer_decay) == (0, 0, 1)
        assert (settings.class_weights, settings.patience) == ("none", None)
    assert (autoencoder.weight_decay, autoencoder.batch_size, autoencoder.epochs) == (1e-5, 20, 1000)
    assert (iresnet.optimizer, iresnet.learning_rate, iresnet.batch_size, iresnet.epochs) == ("adamax", 0.005, 20, 40)
    assert iresnet.architecture == {
        "padded_channels": 8, "head": "published", "log_det": "none", "lipschitz": 0.8, "power_iterations": 5,
    }  # fmt: skip
    assert all((s.flip, s.rotation_degrees, s.intensity) == (0.5, 10, "linear") for s in published.values())
    assert {name: space.metric for name, space in spaces.items()} == {
        "resnext": "val/log_loss", "iresnet": "val/log_loss", "autoencoder": "val/mse",
    }  # fmt: skip


def test_flat_hyperparameters_set_the_settings_and_the_architecture() -> None:
    assert (TrainingSettings().learning_rate, TrainingSettings().architecture) != (0.01, {"groups": 8})
    settings = TrainingSettings.from_flat({"learning_rate": 0.01, "architecture.groups": 8})
    assert (settings.learning_rate, settings.architecture) == (0.01, {"groups": 8})


def test_a_part_is_set_once() -> None:
    flat = {"architecture": f"{DENSITY}, lipschitz=0.5"}
    assert TrainingSettings.from_flat(flat).architecture["lipschitz"] == 0.5
    with pytest.raises(LeighError, match=r"architecture\.lipschitz is 0\.8, and architecture sets lipschitz=0\.5"):
        TrainingSettings.from_flat(flat | {"architecture.lipschitz": 0.8})


def test_parts_that_are_chosen_together_come_apart() -> None:
    settings = TrainingSettings.from_flat({"architecture": DENSITY, "architecture.lipschitz": 0.9})
    assert settings.architecture == {
        "padded_channels": None, "head": "gaussian", "log_det": "roulette", "lipschitz": 0.9,
    }  # fmt: skip


def test_no_padding_may_be_said_by_the_number_of_channels() -> None:
    """What a network cannot be is said by the network, which knows the channels."""
    bijective = {"padded_channels": 3, "head": "gaussian", "log_det": "series"}
    for padded in (3, None, 8):
        settings = TrainingSettings(architecture=bijective | {"padded_channels": padded})
        if padded == 8:
            with pytest.raises(LeighError, match=r"8 padded channels.*set padded_channels to null"):
                build_model("iresnet", classes=["DS", "TT"], image_size=32, channels=3, **settings.architecture)
        else:
            build_model("iresnet", classes=["DS", "TT"], image_size=32, channels=3, **settings.architecture)
    for precision in ("bf16", "tf32", "bf16-on-gpu"):
        with pytest.raises(ValueError, match="lost in less than float32"):
            TrainingSettings(architecture=bijective, precision=precision)


def test_what_may_change_in_a_trial_are_hyperparameters() -> None:
    assert TrainingSettings.model_fields.keys() > TrainingSettings.MUTABLE
