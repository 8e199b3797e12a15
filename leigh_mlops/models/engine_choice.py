"""Choice of the engine for plain forward passes, by its error on a sample of fields."""

from typing import NamedTuple

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.models.contract import Network
from leigh_mlops.models.engines import Engine, build_predictor, check_engine, find_obstacle
from leigh_mlops.models.package import ModelPackage
from leigh_mlops.models.precision import full_float32

__all__ = ["MAX_DIFFERENCE", "EngineChoice", "choose_engine", "measure_difference"]

MAX_DIFFERENCE = 1e-4
"""Largest difference of probabilities from PyTorch in fp32 up to which an engine is chosen unasked."""

_FASTEST_FIRST = ("openvino", "fused", "torch")
_FIELDS_AT_ONCE = 4


class EngineChoice(NamedTuple):
    """Engine of a job, and its error.

    Attributes:
        engine: The engine.
        difference: Largest difference of its probabilities from those of PyTorch in fp32, over the sample, 0 to 1;
            ``None`` where there was no field to measure it.
    """

    engine: Engine
    difference: float | None


def choose_engine(
    package: ModelPackage, images: Tensor | None, name: str | None = None, precision: str | None = None
) -> EngineChoice:
    """Choose the fastest engine that is installed and whose probabilities are right within 1e-4.

    The order by speed is fixed, so that the same machine chooses the same. bf16 is taken only where it is asked for,
    whatever its error: fields of which the network is sure hide what it does to others. A network that adapts to
    plates is computed by PyTorch, since its weights change with the plate.

    Args:
        package: The model.
        images: A sample of scaled fields, shape (N, C, S, S); ``None`` for none, so that nothing is measured.
        name: One of ``ENGINES``; ``None`` for any.
        precision: One of ``PRECISIONS``; ``None`` for fp32.

    Raises:
        LeighError: What is asked for is unknown, not installed, or does not fit the network.
    """
    model, asked = package.model, Engine(name or "torch", precision or "fp32")
    check_engine(model, asked)
    if package.is_adapted and asked != Engine():
        raise LeighError(
            f"--engine {asked.name} --precision {asked.precision} is for networks whose weights stay the same, and "
            "this one is adapted to each plate; leave both options out."
        )
    if images is None or package.is_adapted or name is not None:
        return EngineChoice(asked, None if images is None else measure_difference(model, asked, images))
    for engine in _candidates(model, asked.precision):
        try:
            difference = measure_difference(model, engine, images)
        except LeighError:  # an engine that nobody asked for can't compute this network
            continue
        if asked.precision != "fp32" or difference < MAX_DIFFERENCE:
            return EngineChoice(engine, difference)
    return EngineChoice(asked, measure_difference(model, asked, images))


def measure_difference(model: Network, engine: Engine, images: Tensor) -> float:
    """Largest difference of an engine's probabilities from those of PyTorch in fp32, 0 to 1.

    Args:
        model: In eval mode.
        engine: The engine.
        images: Scaled, shape (N, C, S, S).

    Raises:
        LeighError: As :func:`build_predictor`.
    """
    if engine == Engine():
        return 0.0
    predictor, worst = build_predictor(model, engine), 0.0
    with torch.no_grad(), full_float32():
        for some in torch.split(images.to(next(model.parameters()).device), _FIELDS_AT_ONCE):
            ours, reference = (each(some).double().softmax(1) for each in (predictor, model))
            worst = max(worst, float((ours - reference).abs().max()))
    return worst


def _candidates(model: Network, precision: str) -> list[Engine]:
    """Engines by speed; OpenVINO would leave a GPU idle."""
    names = [name for name in _FASTEST_FIRST if not (torch.cuda.is_available() and name == "openvino")]
    return [engine for name in names if not find_obstacle(model, engine := Engine(name, precision))]
