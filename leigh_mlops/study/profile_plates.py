"""Profiles of plates by a trained model, normalised to their controls and scored, as files."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
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
from leigh_mlops.scores.normalisation import FITTED_BY_CONTROLS, MIN_CONTROLS, NORMALISATIONS, control_halves, normalise
from leigh_mlops.study.chosen_engine import with_engine
from leigh_mlops.study.field_features import FEATURE_KINDS
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profile_files import ProfilePaths, write_profiles
from leigh_mlops.study.profile_scores import (
    HeldOutControls,
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

__all__ = ["ProfileRequest", "ProfileRun", "hold_out_controls", "normalise_profiles", "profile_plates"]


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
        engine: Engine of the embeddings, see `models.engine_choice.choose_engine`.
        precision: Its precision.
    """

    model: str
    source: DataSource
    features: str = "embedding"
    aggregate: str = "median"
    normalisation: str = "none"
    regularisation: float = 0.1
    consistency: str | None = None
    doses: str | None = None
    engine: str | None = None
    precision: str | None = None

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


class ProfileRun(NamedTuple):
    """Outcome of one run.

    Attributes:
        sentences: What was found and written.
        fields: Number of fields of the plates, without those that a flaw excludes.
        failed: Number of those that can't be read.
    """

    sentences: list[str]
    fields: int
    failed: int


def profile_plates(package: ModelPackage, request: ProfileRequest, paths: ProfilePaths, console: Console) -> ProfileRun:
    """Measure the features of the plates, normalise and score them, and write all of it.

    A run that was killed while it embedded fields goes on where it was.

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
    if len(kinds) > 1:
        package = with_engine(package, usable.data, usable.rows, request.engine, request.precision, console)
    for kind in kinds[1:]:
        measured[kind] = field_profiles(kind, package, usable, console, paths.partial)
    rows, refused, held_out = _score_kinds(measured, ("none",) if missing else NORMALISATIONS, request, roles)
    fields = measured[request.features]
    raw = aggregate_wells(fields, request.aggregate)
    wells, fields = normalise_profiles(raw, request), normalise_profiles(fields, request)
    compounds = treatment_table(wells, roles, held_out)
    _write_tables(wells, fields, usable, request, paths)
    _write_csv_tables({paths.compounds: compounds, paths.consistency: consistency_table(wells, roles)})
    chosen = (request.features, request.normalisation)
    warned = seen_sentences(usable.seen, len(metadata)) if request.features == "embedding" else []
    said = [*warned, *missing, *refused, *normalisation_sentences(rows, chosen, roles.replicates)]
    _write_scores(rows, said, request, roles, paths)
    console.print(normalisation_table(rows))
    shutil.rmtree(paths.partial, ignore_errors=True)
    sentences = [*_describe_losses(usable, wells, paths), *said, _describe_files(fields, wells, paths)]
    failed = len(usable.failures)
    return ProfileRun(sentences, len(usable.rows) + failed, failed)


def normalise_profiles(
    profiles: Profiles,
    request: ProfileRequest,
    method: str | None = None,
    controls: npt.NDArray[np.bool_] | None = None,
) -> Profiles:
    """Return profiles normalised to the negative controls of their plates.

    Args:
        profiles: Profiles of fields or wells.
        request: Normalisation and its regularisation.
        method: Another normalisation than that of the request.
        controls: Some of the negative controls, shape (n,); by default all.

    Raises:
        LeighError: The controls of a plate do not allow it.
    """
    method = method or request.normalisation
    plates = profiles.metadata[Metadata.PLATE].astype(str).to_numpy(object)
    controls = control_mask(profiles.metadata) if controls is None else controls
    try:
        made = normalise(method, profiles.features, controls, plates, regularisation=request.regularisation)
    except ValueError as error:
        raise LeighError(f"Profiles can't be normalised by {method}: {error}; choose --normalise none.") from None
    names = tuple(name for name, is_kept in zip(profiles.names, made.kept, strict=True) if is_kept)
    return Profiles(profiles.metadata, made.profiles, names)


def hold_out_controls(
    wells: Profiles, request: ProfileRequest, roles: WellRoles, method: str | None = None
) -> list[HeldOutControls]:
    """Profiles normalised by one half of each plate's controls, with the other half, and the reverse.

    Args:
        wells: Profiles of wells, as they are.
        request: Normalisation and its regularisation.
        roles: Roles of the wells.
        method: Another normalisation than that of the request.

    Returns:
        Both; none for normalisations of few parameters, or if the half of a plate's controls is too few for one.
    """
    method = method or request.normalisation
    if method not in FITTED_BY_CONTROLS:
        return []
    halves = control_halves(roles.controls, roles.plates)
    fewest = min(int(half[roles.plates == plate].sum()) for half in halves for plate in set(roles.plates))
    if fewest < MIN_CONTROLS:
        return []
    return [
        HeldOutControls(normalise_profiles(wells, request, method, fitting).features, others)
        for fitting, others in (halves, halves[::-1])
    ]


def _score_kinds(
    measured: Mapping[str, Profiles], methods: Sequence[str], request: ProfileRequest, roles: WellRoles
) -> tuple[list[dict[str, Any]], list[str], list[HeldOutControls]]:
    """Score each kind of profiles, the last first, by each normalisation.

    Returns:
        The scores, the reasons why a normalisation is not possible, and the held-out controls of the requested one.
    """
    rows, refused, held_out = [], [], list[HeldOutControls]()
    for kind, method in product(reversed(list(measured)), methods):
        is_requested = (kind, method) == (request.features, request.normalisation)
        try:
            scored, held = _score(kind, method, measured[kind], request, roles)
        except LeighError as error:
            if is_requested:
                raise
            refused.append(str(error))
            continue
        rows.append(scored.to_json())
        held_out = held if is_requested else held_out
    return rows, refused, held_out


def _score(
    kind: str, method: str, fields: Profiles, request: ProfileRequest, roles: WellRoles
) -> tuple[ProfileScores, list[HeldOutControls]]:
    """Score profiles; return also the held-out controls by which they are scored."""
    raw = aggregate_wells(fields, request.aggregate)
    wells = normalise_profiles(raw, request, method)
    # The fields count only where they are the replicates.
    normalised = normalise_profiles(fields, request, method) if roles.replicates == "well" else fields
    held_out = hold_out_controls(raw, request, roles, method)
    return score_profiles(kind, method, wells, normalised, roles, held_out), held_out


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
    paths: ProfilePaths,
) -> None:
    """Write profiles, and the fields that can't be read."""
    facts = {"model": request.model, "features": request.features, "normalisation": request.normalisation}
    write_profiles(wells, paths.wells, facts | {"aggregate": request.aggregate})
    write_profiles(fields, paths.fields, facts)
    failures = pd.DataFrame([{"path": failure.path, "reason": failure.reason} for failure in usable.failures])
    _write_csv_tables({paths.failures: failures})


def _write_csv_tables(tables: Mapping[Path, pd.DataFrame]) -> None:
    """Write tables; files of an earlier run whose tables are empty now are removed."""
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
            f"{format_count(len(usable.failures), 'field')} can't be read and "
            f"{'is' if len(usable.failures) == 1 else 'are'} left out, see {paths.failures}."
        )
    if usable.excluded:
        is_ = "is" if usable.excluded == 1 else "are"
        sentences.append(f"{format_count(usable.excluded, 'field')} {is_} left out for a flaw.")
    if (wells.metadata[FIELDS] < 2).all():
        sentences.append("No well has two usable fields, so the profile of a well is that of its single field.")
    return sentences


def _describe_files(fields: Profiles, wells: Profiles, paths: ProfilePaths) -> str:
    counts = f"{format_count(len(wells.metadata), 'well')} ({paths.wells})"
    return (
        f"Wrote profiles of {len(wells.names)} features for {counts} and "
        f"{format_count(len(fields.metadata), 'field')} ({paths.fields})."
    )
