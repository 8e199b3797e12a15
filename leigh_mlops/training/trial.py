"""Training of one trial of a search from its hyperparameters."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import (
    Augmentation,
    ControlFields,
    Division,
    FieldBatches,
    IntensityScale,
    build_pixel_transforms,
    derived_seed,
    white_levels,
)
from leigh_mlops.models import MODELS, InitialisationReport, Network, build_model, initialise, load_imagenet_weights
from leigh_mlops.models.device import default_device
from leigh_mlops.models.precision import resolve_precision
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training.adaptation import fix_adaptation, is_adapted
from leigh_mlops.training.checkpoint import load_best, load_checkpoint, load_last
from leigh_mlops.training.cross_validation import divide_folds
from leigh_mlops.training.data import PreparedData
from leigh_mlops.training.loop import EpochResult, fit
from leigh_mlops.training.memory import estimate_gpu_memory, is_out_of_memory
from leigh_mlops.training.objective import Outputs, predict
from leigh_mlops.training.state import TrainingState

__all__ = [
    "build_network",
    "load_trained_network",
    "place_network",
    "predict_part",
    "require_divisible",
    "require_memory",
    "run_trial",
]

MIN_WEIGHT_SHARE = 0.5
_ALONE = Division()


def build_network(family: str, settings: TrainingSettings, data: PreparedData, seed: int) -> Network:
    """Build the untrained network of a trial; ``init`` is random, imagenet, a local file or a key of ``data.starts``.

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
        load_imagenet_weights(model)
    elif settings.init != "random":
        done = initialise(model, Path(data.starts.get(settings.init, settings.init)))
        _require_matching_weights(model, done, settings.init)
    return model


def _require_matching_weights(model: Network, done: InitialisationReport, init: str) -> None:
    """Refuse weights of which only scattered parts fit, such as convolutions that no image channel touches."""
    sizes = {name: weight.numel() for name, weight in model.named_parameters() if not name.startswith("head.")}
    share = sum(sizes[name] for name in done.copied if name in sizes) / sum(sizes.values())
    if share < MIN_WEIGHT_SHARE:
        raise LeighError(
            f"Only {share:.0%} of the weights below the head of this {model.spec.family} of {model.spec.channels} "
            f"channels are in {init}; start from a version of the same architecture (an iresnet's padded_channels "
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
    folds: int = 1,
    division: Division = _ALONE,
) -> Iterator[EpochResult]:
    """Train one network and yield one result per epoch.

    With several folds, as many networks are trained in step, each on its own division of training
    and validation part; metrics are their means, beside ``val/folds/…_std`` of the metric, and the
    network of the data's own division is kept.

    Args:
        family: A key of ``MODELS``.
        settings: Hyperparameters and architecture.
        data: Prepared images and split; the test part is not touched.
        metric: Validation score by which the best epoch is kept.
        mode: ``min`` or ``max``.
        seed: Seed of weights, order, augmentation and dropout.
        checkpoint: Folder of a saved state to continue from; learning rates and weight decay are
            still those of the settings.
        device: By default the GPU where there is one.
        folds: Number of divisions of the data, see :func:`divide_folds`.
        division: Place of this process among those that train the network, see :func:`run_divided_trial`.

    Raises:
        DivergenceError: The loss is not finite.
        LeighError: The weights to begin with can't be had, the metric is unknown, the folds can't be
            made, a fold lacks controls of a plate to which its network is adapted, or the trial does
            not fit into memory.
    """
    require_divisible(family, settings, division.ranks)
    chosen = torch.device(device) if device else default_device()
    precision = resolve_precision(settings.precision, chosen.type, MODELS[family].trains_in_bf16)
    settings = settings.model_copy(update={"precision": precision})
    settings = fix_adaptation(family, settings, data)
    if chosen.type == "cuda":
        available = torch.cuda.get_device_properties(chosen).total_memory
        own = settings.model_copy(update={"batch_size": -(-settings.batch_size // division.ranks)})
        require_memory(estimate_gpu_memory(family, own, data, folds), available, str(chosen))
    try:
        yield from _train(family, settings, divide_folds(data, folds), metric, mode, seed, checkpoint, chosen, division)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise LeighError(
            f"A batch of {settings.batch_size} images of {data.image_size} px does not fit into the memory that is "
            f"left on {chosen} ({family}, folds {folds}); lower batch_size, image_size or folds, or run fewer trials "
            "at once with --workers."
        ) from None


def require_divisible(family: str, settings: TrainingSettings, ranks: int) -> None:
    """Refuse a trial whose batches can't be divided among its processes.

    Raises:
        LeighError: A batch has fewer fields than there are processes, or the family has another obstacle.
    """
    if ranks > 1 and (obstacle := MODELS[family].obstacle_to_division(settings.architecture)):
        raise LeighError(f"{obstacle}, and gpus is {ranks}; lower resources.gpus to 1.")
    if settings.batch_size < ranks:
        raise LeighError(
            f"batch_size is {settings.batch_size}, too small to divide among {ranks} GPUs; raise batch_size, or lower "
            "resources.gpus."
        )


def require_memory(needed: int, available: int, device: str) -> None:
    """Refuse a trial that does not fit on its GPU before it starts.

    Raises:
        LeighError: It does not.
    """
    if needed > available:
        raise LeighError(
            f"The trial needs at least {needed / 2**30:.1f} GiB of memory on {device}, which has "
            f"{available / 2**30:.1f}; lower batch_size, image_size or folds."
        )


def _train(
    family: str,
    settings: TrainingSettings,
    divided: Sequence[PreparedData],
    metric: str,
    mode: str,
    seed: int,
    checkpoint: Path | None,
    device: torch.device,
    division: Division,
) -> Iterator[EpochResult]:
    seeds = [seed, *(derived_seed(seed, 2, number) for number in range(1, len(divided)))]
    state, *others = [
        _start_state(family, settings, data, one, device) for data, one in zip(divided, seeds, strict=True)
    ]
    state.others = tuple(others)
    if checkpoint is not None:
        load_checkpoint(state, checkpoint)
    (train, val), *further = _fold_batches(family, settings, divided, seeds)
    yield from fit(
        state,
        train,
        val,
        wells=list(divided[0].wells),
        epochs=settings.epochs,
        metric=metric,
        mode=mode,
        lr_schedule=settings.lr_schedule,
        lr_step_epochs=settings.lr_step_epochs,
        lr_step_factor=settings.lr_step_factor,
        warmup_epochs=settings.warmup_epochs,
        class_weights=settings.class_weights,
        freeze_epochs=settings.freeze_epochs,
        frozen_stages=settings.frozen_stages,
        patience=settings.patience,
        precision=settings.precision,
        beta=settings.loss_weight,
        others=further,
        division=division,
    )


def place_network(model: Network, device: torch.device, precision: str) -> Network:
    """Move a network to the device of its training; matrix units take channels last in memory."""
    if precision != "fp32":
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    return model.to(device)


def _start_state(
    family: str, settings: TrainingSettings, data: PreparedData, seed: int, device: torch.device
) -> TrainingState:
    return TrainingState.start(
        place_network(build_network(family, settings, data, seed), device, settings.precision),
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed,
        layer_decay=settings.layer_decay,
        momentum=settings.momentum,
    )


def _controls(family: str, settings: TrainingSettings, data: PreparedData) -> ControlFields | None:
    return data.plate_controls() if is_adapted(family, settings, data) else None


def _batches(
    family: str, settings: TrainingSettings, data: PreparedData, seed: int
) -> tuple[FieldBatches, FieldBatches]:
    """Training and validation batches."""
    controls = _controls(family, settings, data)
    scale = data.scale(settings.intensity)
    transforms = build_pixel_transforms(settings.augment, lambda: white_levels(data.cache, data.rows("train")))
    augmentation = Augmentation(
        settings.flip, settings.rotation_degrees, settings.quarter_turns, settings.shift, settings.jitter, transforms
    )
    return (
        data.batches("train", scale, settings.batch_size, augmentation=augmentation, seed=seed, controls=controls),
        data.batches("val", scale, settings.batch_size, controls=controls),
    )


def _fold_batches(
    family: str, settings: TrainingSettings, divided: Sequence[PreparedData], seeds: Sequence[int]
) -> list[tuple[FieldBatches, FieldBatches]]:
    """Training and validation batches of each fold."""
    made = []
    for number, (data, seed) in enumerate(zip(divided, seeds, strict=True), start=1):
        try:
            made.append(_batches(family, settings, data, seed))
        except LeighError as error:
            which = f"Fold {number} of {len(divided)}: " if len(divided) > 1 else ""
            raise LeighError(f"{which}{error}") from None
    return made


def predict_part(model: Network, settings: TrainingSettings, data: PreparedData, part: str) -> Outputs:
    """Outputs of a trial's network for one part of its data."""
    scale, controls = data.scale(settings.intensity), _controls(model.spec.family, settings, data)
    return predict(model, data.batches(part, scale, settings.batch_size, controls=controls), settings.loss_weight)


def load_trained_network(
    family: str, settings: TrainingSettings, data: PreparedData, checkpoint: Path, *, last: bool = False
) -> tuple[Network, IntensityScale, int]:
    """Load the network of a checkpoint at its best or last epoch, in eval mode, its scale, and that epoch.

    The network is on the GPU if there is one.
    """
    model = build_network(family, settings.model_copy(update={"init": "random"}), data, seed=0)
    epoch = (load_last if last else load_best)(model, checkpoint)
    model.to(default_device()).eval()
    return model, data.scale(settings.intensity), epoch
