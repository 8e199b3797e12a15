"""From hyperparameters to a training: exactly what a trial of a search runs."""

from collections.abc import Iterator
from pathlib import Path

import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Augmentation, IntensityScale, derived_seed
from leigh_mlops.models import Initialised, Network, build_model, imagenet_weights, initialise
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training.checkpoint import load_best, load_checkpoint
from leigh_mlops.training.data import PreparedData
from leigh_mlops.training.loop import Epoch, TrainingState, fit

__all__ = ["build_network", "run_trial", "trained_network"]

LEAST_SHARE = 0.5


def build_network(family: str, settings: TrainingSettings, data: PreparedData, seed: int) -> Network:
    """The untrained network of a trial; ``init`` is random, imagenet, a local file or a key of ``data.starts``.

    Raises:
        LeighError: The weights to begin with can't be read, or less than half of the network is in them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, 1))
        model = build_model(
            family,
            classes=data.classes,
            image_size=data.image_size,
            channels=len(data.channels),
            **settings.architecture,
        )
    if settings.init == "imagenet":
        imagenet_weights(model)
    elif settings.init != "random":
        done = initialise(model, Path(data.starts.get(settings.init, settings.init)))
        _require_most(model, done, settings.init)
    return model


def _require_most(model: Network, done: Initialised, init: str) -> None:
    """Refuse weights of which only scattered parts fit, such as convolutions that no image channel touches."""
    sizes = {name: weight.numel() for name, weight in model.named_parameters() if not name.startswith("head.")}
    share = sum(sizes[name] for name in done.copied if name in sizes) / sum(sizes.values())
    if share < LEAST_SHARE:
        raise LeighError(
            f"Only {share:.0%} of the weights below the head of this {model.spec.family} of {model.spec.channels} "
            f"channels are in {init}; begin with a version of the same architecture (an iresnet's padded_channels "
            "included), or train with --init random."
        )


def run_trial(
    family: str,
    settings: TrainingSettings,
    data: PreparedData,
    *,
    metric: str,
    mode: str = "min",
    seed: int = 0,
    checkpoint: Path | None = None,
    device: str | None = None,
) -> Iterator[Epoch]:
    """Train one network and yield one result per epoch.

    Args:
        family: A key of ``MODELS``.
        settings: Hyperparameters and architecture.
        data: Prepared images and split; the test part is not touched.
        metric: Validation score by which the best epoch is kept.
        mode: ``min`` or ``max``.
        seed: Of weights, order, augmentation and dropout.
        checkpoint: Folder of a saved state to go on from.
        device: By default the GPU where there is one.
    """
    model = build_network(family, settings, data, seed)
    model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    state = TrainingState.start(
        model,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed,
    )
    if checkpoint is not None:
        load_checkpoint(state, checkpoint)
    scale = data.scale(settings.intensity)
    augmentation = Augmentation(
        settings.flip, settings.rotation_degrees, settings.quarter_turns, settings.shift, settings.jitter
    )
    yield from fit(
        state,
        data.batches("train", scale, settings.batch_size, augmentation=augmentation, seed=seed),
        data.batches("val", scale, settings.batch_size),
        wells=list(data.wells),
        epochs=settings.epochs,
        metric=metric,
        mode=mode,
        lr_step_epochs=settings.lr_step_epochs,
        lr_step_factor=settings.lr_step_factor,
        precision=settings.precision,
        beta=settings.beta,
    )


def trained_network(
    family: str, settings: TrainingSettings, data: PreparedData, checkpoint: Path
) -> tuple[Network, IntensityScale, int]:
    """The network of a checkpoint at its best epoch, in eval mode, its intensity scale, and that epoch."""
    model = build_network(family, settings.model_copy(update={"init": "random"}), data, seed=0)
    best_epoch = load_best(model, checkpoint)
    model.eval()
    return model, data.scale(settings.intensity), best_epoch
