"""Scores of a registered version on a labelled data set."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, load_to_device
from leigh_mlops.report.image_sentences import width_sentences
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES
from leigh_mlops.study.chosen_engine import with_engine
from leigh_mlops.study.console_summary import evaluation_lines, retrieval_lines
from leigh_mlops.study.evaluation import Evaluation, evaluate_package, training_mask
from leigh_mlops.study.field_width import match_field_width, other_widths
from leigh_mlops.study.model_selection import accuracy_gain
from leigh_mlops.study.plate_levels import stored_excluded_flaws, was_trained_on_compounds
from leigh_mlops.study.prepare import DataSource, add_flags, add_pixels, find_labelled_data, measure_confounds
from leigh_mlops.tracking import Store, Version
from leigh_mlops.training import PreparedData

__all__ = ["VersionEvaluation", "evaluate_version", "matching_data", "read_matching_images"]


@dataclass(frozen=True)
class VersionEvaluation:
    """Scores of a registered version on wells on which it was neither trained nor chosen.

    Attributes:
        version: Registered version.
        package: Its package.
        data: The data set at its image size; ``evaluation.outputs.rows`` were scored.
        evaluation: Its scores, beside those of the baselines.
        seen: Description of the scored wells.
        wells: Number of wells scored.
        sentences: Interpretation of the scores, the most important first, after fields of another width; on the scores
            nothing where nothing is classified.
    """

    version: Version
    package: ModelPackage
    data: PreparedData
    evaluation: Evaluation
    seen: str
    wells: int
    sentences: list[str]

    @property
    def rows(self) -> dict[str, dict[str, float]]:
        """Scores by name, for a table."""
        scored = self.evaluation
        if not scored.position:
            baseline = "intensity features" if self.package.model.task == "cluster" else REFERENCE_NAMES["pca"]
            return {self.version.uri: scored.scores, baseline: scored.baseline}
        references = {REFERENCE_NAMES["baseline"]: scored.baseline, REFERENCE_NAMES["position"]: scored.position}
        return {self.version.uri: scored.scores} | references

    def to_json(self) -> dict[str, Any]:
        """The JSON of the ``evaluate`` command."""
        words = {"seen": self.seen, "n_wells": self.wells, "sentences": self.sentences}
        return self.evaluation.to_json(self.version.uri) | words


def evaluate_version(
    store: Store,
    uri: str,
    data: Path,
    platemap: Path | None,
    console: Console,
    *,
    engine: str | None = None,
    precision: str | None = None,
) -> VersionEvaluation:
    """Score a version on all fields, labelled if it needs labels, of wells on which it was neither trained nor chosen.

    Args:
        store: Registry.
        uri: Address of the version.
        data: Folder or table of the images.
        platemap: Plate map.
        console: Where progress is shown.
        engine: Engine of the predictions; ``None`` for the fastest that is right, see `choose_engine`.
        precision: Its precision.

    Raises:
        LeighError: The version or the data can't be loaded, or do not fit.
    """
    version = store.version(uri)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        package = load_to_device(store.download(version, Path(temporary)))
    prepared = matching_data(package, DataSource(data, platemap), console)
    everything = prepared.rows()
    if not len(everything):
        of_class = f" of class {' or '.join(prepared.classes)}" if prepared.needs_labels else ""
        raise LeighError(f"{data} has no readable field{of_class}; nothing can be scored.")
    rows = prepared.rows_of_unseen_wells(package.seen_digests, part=None)
    if not len(rows):
        raise LeighError(
            f"{uri} was trained or chosen on every well of {data}; evaluate it on wells that it has not seen."
        )
    wells, left_out = (len(np.unique(prepared.wells[each])) for each in (rows, np.setdiff1d(everything, rows)))
    seen = f"{wells} wells that it has not seen"
    if left_out:
        seen += f" ({left_out} wells on which it was trained or chosen are left out)"
    package = with_engine(package, prepared, rows, engine, precision, console)
    scored = evaluate_package(package, prepared, rows)
    sentences = width_sentences(package.about.get("field_um"), other_widths(package, prepared.table))
    if scored.position:
        gain = accuracy_gain(package, scored, prepared)
        sentences += evaluation_lines(scored, wells, measure_confounds(prepared), gain, "unseen wells")
    if package.model.task == "cluster":
        sentences += retrieval_lines(scored.scores, scored.baseline, "Unseen wells")
    return VersionEvaluation(version, package, prepared, scored, seen, wells, sentences)


def matching_data(package: ModelPackage, source: DataSource, console: Console) -> PreparedData:
    """Load the data of a source at a package's image size, with its classes and channels.

    Treated wells have a class only if the package was trained on such wells.

    Raises:
        LeighError: The channels or the bit depth differ, or the pixel size is not known that the package needs.
    """
    source = replace(source, train_on_compounds=was_trained_on_compounds(package))
    table, channels, _ = find_labelled_data(source, console, needs_labels=package.model.needs_labels)
    return read_matching_images(package, table, channels, source.path, console)


def read_matching_images(
    package: ModelPackage, table: pd.DataFrame, channels: Sequence[str], path: Path | None, console: Console
) -> PreparedData:
    """Read the images of a table at a package's image size, with its classes and the level of each plate.

    Args:
        package: The model.
        table: Image table.
        channels: Channels of the table.
        path: Folder or file of the images, for messages.
        console: Where progress, flaws and failures are shown.

    Raises:
        LeighError: The channels or the bit depth differ, or the pixel size is not known that the package needs.
    """
    if tuple(channels) != tuple(package.channels):
        raise LeighError(
            f"{path} has the channels {', '.join(channels)}, but the model was trained on "
            f"{', '.join(package.channels)}; give images with the same channels in the same order."
        )
    spec = package.model.spec
    read = add_pixels(match_field_width(package, table), channels, spec.classes, spec.image_size, console)
    data = replace(read, needs_labels=package.model.needs_labels)
    data = add_flags(data, stored_excluded_flaws(package), console)
    if data.cache.full_scale != package.scale["full_scale"]:
        raise LeighError(
            f"The images of {path} reach {data.cache.full_scale}, but those of training reach "
            f"{package.scale['full_scale']}; give images of the same bit depth."
        )
    for failure in data.failures:
        console.print(f"  left out: {failure.reason}", markup=False)
    controls = IntensityScale.from_json(package.scale).controls
    return data if controls is None else data.scale_by_controls(training_mask(package, data), controls)
