"""Profiles of plates by a trained model, written with what there is to say about them."""

from dataclasses import dataclass

import pandas as pd
from rich.console import Console

from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.spreadsheet_text import write_csv
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.report.sentences import format_count
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profile_files import ProfilePaths, write_profiles
from leigh_mlops.study.profiles import (
    FIELDS,
    Profiles,
    UsableFields,
    aggregate_wells,
    field_profiles,
    find_usable_fields,
)

__all__ = ["ProfileRequest", "profile_plates"]


@dataclass(frozen=True)
class ProfileRequest:
    """Choices of one run.

    Attributes:
        model: Address or folder of the model, as given.
        source: Images.
        features: Kind of the features, one of ``FEATURE_KINDS``.
        aggregate: Profile of a well from its fields, one of ``AGGREGATES``.
    """

    model: str
    source: DataSource
    features: str = "embedding"
    aggregate: str = "median"


def profile_plates(package: ModelPackage, request: ProfileRequest, paths: ProfilePaths, console: Console) -> list[str]:
    """Measure the features of the plates and write them.

    Returns:
        Sentences on what was written.

    Raises:
        LeighError: A choice is unknown, or the images do not fit the model.
    """
    usable = find_usable_fields(package, request.source, console)
    fields = field_profiles(request.features, package, usable, console)
    wells = aggregate_wells(fields, request.aggregate)
    facts = {"model": request.model, "features": request.features}
    write_profiles(wells, paths.wells, facts | {"aggregate": request.aggregate})
    write_profiles(fields, paths.fields, facts)
    _write_failures(usable, paths)
    return [*_describe_losses(usable, wells, paths), _describe_files(fields, wells, paths)]


def _write_failures(usable: UsableFields, paths: ProfilePaths) -> None:
    """Write the fields that can't be read, or remove the table of an earlier run."""
    paths.failures.unlink(missing_ok=True)
    if usable.failures:
        rows = [{"path": failure.path, "reason": failure.reason} for failure in usable.failures]
        with atomic_write(paths.failures) as temporary:
            write_csv(pd.DataFrame(rows), temporary)


def _describe_losses(usable: UsableFields, wells: Profiles, paths: ProfilePaths) -> list[str]:
    sentences = []
    if usable.failures:
        sentences.append(
            f"{format_count(len(usable.failures), 'field')} can't be read and are left out, see {paths.failures}."
        )
    if usable.excluded:
        sentences.append(f"{format_count(usable.excluded, 'field')} are left out for a flaw.")
    if (wells.metadata[FIELDS] < 2).all():
        sentences.append("No well has two usable fields, so the profile of a well is that of its single field.")
    return sentences


def _describe_files(fields: Profiles, wells: Profiles, paths: ProfilePaths) -> str:
    counts = f"{format_count(len(wells.metadata), 'well')} ({paths.wells})"
    return (
        f"Wrote profiles of {len(wells.names)} features for {counts} and "
        f"{format_count(len(fields.metadata), 'field')} ({paths.fields})."
    )
