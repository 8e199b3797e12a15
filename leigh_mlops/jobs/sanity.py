"""Checks of a job's maps before any worker starts: one scale for all, and what each method is worth."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from leigh_mlops.explanations import MAPS, FieldExplanation, MethodCheck, check_methods, explain_fields
from leigh_mlops.images import IntensityScale
from leigh_mlops.jobs.context import context_of
from leigh_mlops.jobs.full_colour import full_colour, write_colour_bars
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.reading import Field
from leigh_mlops.jobs.sample import scaled
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.report.words import counted

__all__ = ["Checked", "check_maps", "report_checks", "with_maps", "write_checks"]

_AT_ONCE = 6


class Checked(NamedTuple):
    """What a sample of fields has shown.

    Attributes:
        full_colour: Value at full colour, by kind of map.
        checks: One for each kind of map.
        failures: Why the maps of a field could not be made, in sentences.
    """

    full_colour: dict[str, float]
    checks: list[MethodCheck]
    failures: list[str]


def with_maps(methods: Sequence[str]) -> tuple[str, ...]:
    """Those of some methods whose maps a job draws."""
    return tuple(name for name in methods if name in MAPS or name == "counterfactual")


def check_maps(
    package: ModelPackage, fields: Sequence[Field], methods: Sequence[str], options: ExplainOptions
) -> Checked:
    """Explain some fields as workers will, take the scale of all maps from them, and check each kind.

    Counterfactuals are not saved for this, so that their maps are those of images without a file's rounding.

    Args:
        package: The model; it is moved to a GPU for this where there is one.
        fields: See `read_sample`.
        methods: Of the job.
        options: Of the job.
    """
    home = next(package.model.parameters()).device
    if torch.cuda.is_available():
        package.model.to("cuda")
    try:
        return _checked(package, fields, with_maps(methods), options)
    finally:
        package.model.to(home)
        torch.cuda.empty_cache()  # workers of this machine need the memory; nothing without a GPU


def _checked(
    package: ModelPackage, fields: Sequence[Field], methods: Sequence[str], options: ExplainOptions
) -> Checked:
    references = scaled(fields, IntensityScale.from_json(package.scale))
    device = next(package.model.parameters()).device
    context = context_of(options, references=None if references is None else references.to(device))
    found: list[FieldExplanation] = []
    explained: list[Field] = []
    failures: list[str] = []

    def explain(some: Sequence[Field]) -> None:
        raw = np.stack([field.raw for field in some])
        found.extend(explain_fields(package, raw, methods, context, lambda _, kind, image: image.astype(np.float32)))
        explained.extend(some)

    for start in range(0, len(fields), _AT_ONCE):
        batch = fields[start : start + _AT_ONCE]
        try:
            explain(batch)
        except Exception:  # one strange field must not keep the others from being explained
            for field in batch:
                try:
                    explain([field])
                except Exception as error:  # what it was is told
                    failures.append(str(error) or type(error).__name__)
    if not found:
        return Checked({}, [], failures)
    raw = np.stack([field.raw for field in explained])
    checks = check_methods(package, raw, methods, context, found=found, metrics=options.metrics)
    return Checked(full_colour(found), checks, failures)


def write_checks(out: Path, checks: Sequence[MethodCheck]) -> None:
    """Write ``methods.csv``, one row per kind of map; what was not measured is empty."""
    columns = list(MethodCheck.__dataclass_fields__)
    write_table(pd.DataFrame([asdict(check) for check in checks], columns=columns), out / "methods.csv")


def report_checks(out: Path, checked: Checked, console: Console) -> None:
    """Write the checks and the scales, and say what they are worth."""
    write_checks(out, checked.checks)
    write_colour_bars(out, checked.full_colour)
    if checked.checks:
        passed, fields = sum(check.passed for check in checked.checks), checked.checks[0].images
        console.print(
            f"{passed} of {len(checked.checks)} kinds of maps passed their checks on {counted(fields, 'field')}; "
            f"{out / 'methods.csv'} says why.",
            markup=False,
        )
    for failure in checked.failures:
        console.print(f"A field of the sample could not be explained ({failure}).", markup=False)
