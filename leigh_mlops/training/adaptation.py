"""Adaptation of networks to plates by their negative controls, in training and evaluation."""

from collections.abc import Iterable, Iterator

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Batch, FieldBatches
from leigh_mlops.models import MODELS, Network
from leigh_mlops.models.plate_statistics import measure_statistics, plate_statistics
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training.data import PreparedData

__all__ = ["adapted_batches", "fix_adaptation", "is_adapted"]


def is_adapted(family: str, settings: TrainingSettings, data: PreparedData) -> bool:
    """Return whether a trial adapts its network to each plate.

    With ``auto`` it does where the family can, the training part has several plates, and every plate has negative
    controls that may serve.

    Raises:
        LeighError: The settings ask for it, and the family or a plate does not allow it.
    """
    if settings.adaptation == "none":
        return False
    if not MODELS[family].adapts:
        if settings.adaptation == "auto":
            return False
        able = ", ".join(name for name, kind in MODELS.items() if kind.adapts)
        raise LeighError(
            f"adaptation is controls, but a network of the family {family} has no statistics that a plate could "
            f"replace; choose {able}, or --scale-by controls, which brings the intensities of every plate to one level."
        )
    if settings.adaptation == "auto" and data.count_training_plates() < 2:
        return False
    try:
        data.plate_controls()
    except LeighError:
        if settings.adaptation == "auto":
            return False
        raise
    return True


def fix_adaptation(family: str, settings: TrainingSettings, data: PreparedData) -> TrainingSettings:
    """Return settings in which ``auto`` is decided, so that divisions of the data are trained as the data are.

    Raises:
        LeighError: As :func:`is_adapted`.
    """
    chosen = "controls" if is_adapted(family, settings, data) else "none"
    return settings.model_copy(update={"adaptation": chosen})


def adapted_batches(model: Network, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches; while one is used, the network has the statistics of its plate's controls, if they have any.

    Plates come one after another, so that the order of the rows may be another one.
    """
    if not isinstance(batches, FieldBatches) or batches.controls is None:
        yield from batches
        return
    for controls, own in batches.by_plate():
        with plate_statistics(model, measure_statistics(model, controls)):
            yield from own
