"""Checks of a job's maps before any worker starts: one colour scale for all, and tests of each method."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from leigh_mlops.explanations import MAP_METHODS, FieldExplanation, MethodCheck, check_methods, explain_fields
from leigh_mlops.explanations.prepared_field import Field, group_by_statistics
from leigh_mlops.images import IntensityScale
from leigh_mlops.jobs.colour_limits import colour_limits, write_colour_bars
from leigh_mlops.jobs.options import ExplainOptions, build_context
from leigh_mlops.jobs.sample import scale_fields
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.device import default_device
from leigh_mlops.models.plate_statistics import plate_statistics
from leigh_mlops.plates import write_table
from leigh_mlops.report.sentences import format_count

__all__ = ["MapChecks", "check_maps", "report_checks", "select_map_methods", "write_checks"]

_BATCH_SIZE = 6


class MapChecks(NamedTuple):
    """Result of the checks on a sample of fields.

    Attributes:
        colour_limits: Value at full colour, by kind of map.
        checks: One for each kind of map.
        failures: Reasons why the maps of a field could not be made, in sentences.
    """

    colour_limits: dict[str, float]
    checks: list[MethodCheck]
    failures: list[str]


def select_map_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """Select the methods whose maps a job draws."""
    return tuple(name for name in methods if name in MAP_METHODS or name == "counterfactual")


def check_maps(
    package: ModelPackage,
    fields: Sequence[Field],
    methods: Sequence[str],
    options: ExplainOptions,
    report: Callable[[str], None] = lambda _: None,
) -> MapChecks:
    """Explain some fields as workers do, derive the scale of all maps from them, and check each kind.

    Counterfactuals are not saved here, so that their maps are those of images without the rounding of a file.

    Args:
        package: The model; it is moved to a GPU meanwhile, if there is one.
        fields: Fields from `read_sample`.
        methods: Methods of the job.
        options: Options of the job.
        report: Called with the name of each step.
    """
    # A network that adapts to plates is another on each; the plate with most fields stands for all.
    largest = max(group_by_statistics(package, fields), key=len, default=[])
    fields = [fields[number] for number in largest]
    home = next(package.model.parameters()).device
    package.model.to(default_device())
    try:
        with plate_statistics(package.model, fields[0].statistics if fields else None):
            return _check_sample(package, fields, select_map_methods(methods), options, report)
    finally:
        package.model.to(home)
        torch.cuda.empty_cache()  # workers on this machine need the memory; no effect without a GPU


def _check_sample(
    package: ModelPackage,
    fields: Sequence[Field],
    methods: Sequence[str],
    options: ExplainOptions,
    report: Callable[[str], None],
) -> MapChecks:
    references = scale_fields(fields, IntensityScale.from_json(package.scale))
    device = next(package.model.parameters()).device
    context = build_context(options, references=None if references is None else references.to(device))
    found: list[FieldExplanation] = []
    explained: list[Field] = []
    failures: list[str] = []

    def explain(some: Sequence[Field]) -> None:
        raw = np.stack([field.raw for field in some])
        found.extend(explain_fields(package, raw, methods, context, lambda _, kind, image: image.astype(np.float32)))
        explained.extend(some)

    for start in range(0, len(fields), _BATCH_SIZE):
        batch = fields[start : start + _BATCH_SIZE]
        report(f"maps of the sample, {start} of {len(fields)} fields done")
        try:
            explain(batch)
        except Exception:  # one failing field must not prevent the others from being explained
            for field in batch:
                try:
                    explain([field])
                except Exception as error:  # the reason is reported
                    failures.append(str(error) or type(error).__name__)
    if not found:
        return MapChecks({}, [], failures)
    raw = np.stack([field.raw for field in explained])
    report(f"tests of the maps of {len(explained)} fields")
    checks = check_methods(package, raw, methods, context, found=found, metrics=options.metrics)
    return MapChecks(colour_limits(found), checks, failures)


def write_checks(out: Path, checks: Sequence[MethodCheck]) -> None:
    """Write ``methods.csv``, one row per kind of map; missing measures are empty."""
    columns = list(MethodCheck.__dataclass_fields__)
    write_table(pd.DataFrame([asdict(check) for check in checks], columns=columns), out / "methods.csv")


def report_checks(out: Path, checked: MapChecks, console: Console) -> None:
    """Write the checks and the colour bars, and print a summary."""
    write_checks(out, checked.checks)
    write_colour_bars(out, checked.colour_limits)
    if checked.checks:
        passed, fields = sum(check.passed for check in checked.checks), checked.checks[0].images
        console.print(
            f"{passed} of {len(checked.checks)} kinds of maps passed their checks on {format_count(fields, 'field')}; "
            f"{out / 'methods.csv'} says why.",
            markup=False,
        )
    for failure in checked.failures:
        console.print(f"A field of the sample could not be explained ({failure}).", markup=False)
