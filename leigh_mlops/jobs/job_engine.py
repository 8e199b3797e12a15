"""Engine and precision of a job's predictions, which all its starts share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from leigh_mlops.explanations.prepared_field import Adjust
from leigh_mlops.images import IntensityScale
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.sample import read_sample, scale_fields
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.engine_choice import choose_engine
from leigh_mlops.models.engines import Engine, find_obstacle

__all__ = ["fix_engine"]


def fix_engine(
    options: ExplainOptions, before: Mapping[str, Any], package: ModelPackage, table: pd.DataFrame, adjust: Adjust
) -> tuple[ExplainOptions, float | None]:
    """Return the options with engine and precision, and the difference of probabilities that `choose_engine` measured.

    Args:
        options: Options of the job.
        before: The job as it was begun, whose engine and difference are kept; empty for a new one.
        package: The model.
        table: Image table, of which a sample is read for the choice.
        adjust: Offset and gain of the model, by plate.

    Raises:
        LeighError: As `choose_engine`.
    """
    if before:
        known = Engine(before.get("engine") or "torch", before.get("precision") or "fp32")
        kept = replace(options, engine=options.engine or known.name, precision=options.precision or known.precision)
        return kept, before.get("engine_difference")
    is_fixed = package.is_adapted or find_obstacle(package.model, Engine("fused"))
    sample = [] if is_fixed else read_sample(FieldReader(package, table, adjust, None), table)
    images = scale_fields(sample, IntensityScale.from_json(package.scale))
    engine, difference = choose_engine(package, images, options.engine, options.precision)
    return replace(options, engine=engine.name, precision=engine.precision), difference
