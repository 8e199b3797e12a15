"""Scores of a registered version on a labelled data set."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.study.evaluation import evaluate_package
from leigh_mlops.study.prepare import DataSource, find_data, with_cache
from leigh_mlops.tracking import Store
from leigh_mlops.training import PreparedData

__all__ = ["evaluate_version", "matching_data"]


def evaluate_version(store: Store, uri: str, data: Path, platemap: Path | None, console: Console) -> dict[str, Any]:
    """Score a version on all labelled fields of wells on which it was neither trained nor chosen.

    Returns:
        The JSON of the ``evaluate`` command, and ``seen``: a sentence on what was scored.

    Raises:
        LeighError: The version or the data can't be had, or do not fit.
    """
    version = store.version(uri)
    with tempfile.TemporaryDirectory() as temporary:
        package = load_package(store.download(version, Path(temporary)))
    prepared = matching_data(package, DataSource(data, platemap), console)
    everything = prepared.rows()
    if not len(everything):
        raise LeighError(
            f"{data} has no readable field of class {' or '.join(prepared.classes)}; nothing can be scored."
        )
    seen_fields = [array for name, array in package.arrays.items() if name.endswith("_digests")]
    rows = prepared.wells_unseen_by(*seen_fields, part=None)
    if not len(rows):
        raise LeighError(f"{uri} was trained or chosen on every well of {data}; give it wells that it has not seen.")
    wells, left_out = (len(np.unique(prepared.wells[each])) for each in (rows, np.setdiff1d(everything, rows)))
    seen = f"{wells} wells that it has not seen"
    if left_out:
        seen += f" ({left_out} wells on which it was trained or chosen are left out)"
    return evaluate_package(package, prepared, rows).to_json(version.uri) | {"seen": seen, "n_wells": wells}


def matching_data(package: ModelPackage, source: DataSource, console: Console) -> PreparedData:
    """The data of a source at a package's image size, with its classes and channels.

    Raises:
        LeighError: The channels or the bit depth differ.
    """
    table, channels, _ = find_data(source, console)
    if tuple(channels) != tuple(package.channels):
        raise LeighError(
            f"{source.path} has the channels {', '.join(channels)}, but the model was trained on "
            f"{', '.join(package.channels)}; give images with the same channels in the same order."
        )
    spec = package.model.spec
    data = with_cache(table, channels, spec.classes, spec.image_size, console)
    if data.cache.full_scale != package.scale["full_scale"]:
        raise LeighError(
            f"The images of {source.path} reach {data.cache.full_scale}, those that the model was trained on "
            f"{package.scale['full_scale']}; give images of the same bit depth."
        )
    for failure in data.failures:
        console.print(f"  left out: {failure.reason}", markup=False)
    return data
