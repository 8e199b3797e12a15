"""Profiles of plates by a trained model, normalised to their controls and scored, as files."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.spreadsheet_text import write_csv
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.report.profile_sentences import (
    MISSING_CONTROLS,
    normalisation_sentences,
    normalisation_table,
    seen_sentences,
)
from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores.normalisation import MIN_CONTROLS, NORMALISATIONS, normalise
from leigh_mlops.study.field_features import FEATURE_KINDS
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profile_files import ProfilePaths, write_profiles
from leigh_mlops.study.profile_scores import (
    ProfileScores,
    WellRoles,
    consistency_table,
    find_roles,
    score_profiles,
    treatment_table,
)
from leigh_mlops.study.profiles import (
    AGGREGATES,
    FIELDS,
    Profiles,
    UsableFields,
    aggregate_wells,
    control_mask,
    field_profiles,
    find_usable_fields,
)

__all__ = ["ProfileRequest", "normalise_profiles", "profile_plates"]


@dataclass(frozen=True)
class ProfileRequest:
    """Choices of one run.

    Attributes:
        model: Address or folder of the model, as given.
        source: Images.
        features: Kind of the features, one of ``FEATURE_KINDS``.
        aggregate: Profile of a well from its fields, one of ``AGGREGATES``.
        normalisation: One of ``NORMALISATIONS``.
        regularisation: Share of the controls' mean variance that sphering adds, above 0.
        consistency: Column of what compounds have in common; ``None`` for the usual names.
        doses: Column of the doses; ``None`` to detect it.
    """

    model: str
    source: DataSource
    features: str = "embedding"
    aggregate: str = "median"
    normalisation: str = "none"
    regularisation: float = 0.1
    consistency: str | None = None
    doses: str | None = None

    def check(self) -> None:
        """Refuse unknown choices before anything is read.

        Raises:
            LeighError: A choice is unknown, or the regularisation is not above 0.
        """
        choices = {
            "features": (self.features, FEATURE_KINDS),
            "aggregate": (self.aggregate, AGGREGATES),
            "normalise": (self.normalisation, NORMALISATIONS),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                raise LeighError(f"--{name} {value!r} is unknown; choose {', '.join(known[:-1])} or {known[-1]}.")
        if not self.regularisation > 0:
            raise LeighError(f"--regularisation is {self.regularisation:g}; give a share above 0, such as 0.1.")


def profile_plates(package: ModelPackage, request: ProfileRequest, paths: ProfilePaths, console: Console) -> list[str]:
    """Measure the features of the plates, normalise and score them, and write all of it.

    Returns:
        Sentences on what was found and written.

    Raises:
        LeighError: The images do not fit the model, or a plate lacks the negative controls that the normalisation
            needs.
    """
    usable = find_usable_fields(package, request.source, console)
    # What needs no network comes first, so that what the metadata lack is said at once.
    kinds = ("intensity", request.features) if request.features != "intensity" else ("intensity",)
    measured = {"intensity": field_profiles("intensity", package, usable, console)}
    metadata = aggregate_wells(measured["intensity"], request.aggregate).metadata
    roles = find_roles(metadata, annotation=request.consistency, doses=request.doses)
    missing = _describe_missing_controls(roles, request.normalisation)
    for kind in kinds[1:]:
        measured[kind] = field_profiles(kind, package, usable, console)
    rows, refused = [], []
    for kind in reversed(kinds):
        for method in ("none",) if missing else NORMALISATIONS:
            try:
                rows.append(_score(kind, method, measured[kind], request, roles).to_json())
            except LeighError as error:
                if (kind, method) == (request.features, request.normalisation):
                    raise
                refused.append(str(error))
    fields = measured[request.features]
    wells = normalise_profiles(aggregate_wells(fields, request.aggregate), request)
    fields = normalise_profiles(fields, request)
    _write_tables(wells, fields, usable, request, roles, paths)
    chosen = (request.features, request.normalisation)
    warned = seen_sentences(usable.seen, len(metadata)) if request.features == "embedding" else []
    said = [*warned, *missing, *refused, *normalisation_sentences(rows, chosen, roles.replicates)]
    _write_scores(rows, said, request, roles, paths)
    console.print(normalisation_table(rows))
    return [*_describe_losses(usable, wells, paths), *said, _describe_files(fields, wells, paths)]


def normalise_profiles(profiles: Profiles, request: ProfileRequest, method: str | None = None) -> Profiles:
    """Return profiles normalised to the negative controls of their plates.

    Args:
        profiles: Profiles of fields or wells.
        request: Normalisation and its regularisation.
        method: Another normalisation than that of the request.

    Raises:
        LeighError: The controls of a plate do not allow it.
    """
    method = method or request.normalisation
    plates = profiles.metadata[Metadata.PLATE].astype(str).to_numpy(object)
    controls = control_mask(profiles.metadata)
    try:
        made = normalise(method, profiles.features, controls, plates, regularisation=request.regularisation)
    except ValueError as error:
        raise LeighError(f"Profiles can't be normalised by {method}: {error}; choose --normalise none.") from None
    names = tuple(name for name, is_kept in zip(profiles.names, made.kept, strict=True) if is_kept)
    return Profiles(profiles.metadata, made.profiles, names)


def _score(kind: str, method: str, fields: Profiles, request: ProfileRequest, roles: WellRoles) -> ProfileScores:
    wells = normalise_profiles(aggregate_wells(fields, request.aggregate), request, method)
    # The fields count only where they are the replicates.
    normalised = normalise_profiles(fields, request, method) if roles.replicates == "well" else fields
    return score_profiles(kind, method, wells, normalised, roles)


def _describe_missing_controls(roles: WellRoles, normalisation: str) -> list[str]:
    """Describe the first plate with too few negative controls; none where all have enough.

    Raises:
        LeighError: There is one, and the normalisation needs its controls.
    """
    for plate in sorted(set(roles.plates)):
        count = int((roles.controls & (roles.plates == plate)).sum())
        if count < MIN_CONTROLS:
            wells = format_count(count, "well")
            named = {"plate": plate, "wells": wells, "fewest": MIN_CONTROLS}
            if normalisation != "none":
                raise LeighError(MISSING_CONTROLS.format(**named, remedy=", or choose --normalise none"))
            return [MISSING_CONTROLS.format(**named, remedy="")]
    return []


def _write_tables(
    wells: Profiles,
    fields: Profiles,
    usable: UsableFields,
    request: ProfileRequest,
    roles: WellRoles,
    paths: ProfilePaths,
) -> None:
    """Write profiles, compounds, annotations and failures; tables of an earlier run that are empty now are removed."""
    facts = {"model": request.model, "features": request.features, "normalisation": request.normalisation}
    write_profiles(wells, paths.wells, facts | {"aggregate": request.aggregate})
    write_profiles(fields, paths.fields, facts)
    failures = pd.DataFrame([{"path": failure.path, "reason": failure.reason} for failure in usable.failures])
    tables = {
        paths.failures: failures,
        paths.compounds: treatment_table(wells, roles),
        paths.consistency: consistency_table(wells, roles),
    }
    for path, table in tables.items():
        path.unlink(missing_ok=True)
        if len(table):
            with atomic_write(path) as temporary:
                write_csv(table, temporary)


def _write_scores(
    rows: list[dict[str, Any]], said: list[str], request: ProfileRequest, roles: WellRoles, paths: ProfilePaths
) -> None:
    about = {
        "model": request.model,
        "features": request.features,
        "normalisation": request.normalisation,
        "regularisation": request.regularisation,
        "aggregate": request.aggregate,
        "replicates": roles.replicates,
        "annotation": roles.annotation,
        "negative_control_wells": int(np.sum(roles.controls)),
        "scores": rows,
        "sentences": said,
    }
    with atomic_write(paths.scores.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n")
    with atomic_write(paths.scores) as temporary:
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
