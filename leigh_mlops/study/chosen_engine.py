"""The engine of predictions, chosen on some of the fields that it will compute."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from rich.console import Console

from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.engine_choice import choose_engine
from leigh_mlops.models.engines import Engine
from leigh_mlops.training import PreparedData

__all__ = ["describe_engine", "with_engine"]

_SAMPLE = 12


def with_engine(
    package: ModelPackage,
    data: PreparedData,
    rows: npt.NDArray[np.int64],
    name: str | None,
    precision: str | None,
    console: Console,
) -> ModelPackage:
    """Return a package whose plain forward passes the chosen engine computes; say which, unless PyTorch does in fp32.

    Args:
        package: The model.
        data: The fields at its image size.
        rows: Row numbers, shape (n,); the choice is measured on twelve of them, spread over all.
        name: Engine, see `choose_engine`.
        precision: Its precision.
        console: Where the choice is named.

    Raises:
        LeighError: As `choose_engine`.
    """
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64))]
    scale = IntensityScale.from_json(package.scale)
    images = next((batch.images for batch in data.batches_from_rows(chosen, scale, _SAMPLE)), None)
    engine, difference = choose_engine(package, images, name, precision)
    if difference:
        console.print(describe_engine(engine, difference), markup=False)
    return replace(package, engine=engine)


def describe_engine(engine: Engine, difference: float) -> str:
    """Name the engine of predictions, and how far its probabilities are off on a sample of the fields."""
    return (
        f"Predictions by the engine {engine.name} in {engine.precision}; on a sample of the fields their probabilities "
        f"differ by at most {difference:.1e} from those of PyTorch in fp32."
    )
