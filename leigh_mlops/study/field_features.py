"""Features of fields: the embeddings of a network, and the intensities that are their baseline."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.latent_map import pool_latents
from leigh_mlops.images import ControlFields, IntensityScale
from leigh_mlops.images.intensity import INTENSITY_NAMES
from leigh_mlops.models import ModelPackage
from leigh_mlops.progress import Progress
from leigh_mlops.study.baselines import field_intensities
from leigh_mlops.study.evaluation import training_mask
from leigh_mlops.study.partial_features import PartialFeatures, embedding_key
from leigh_mlops.training import PreparedData, adapted_batches

__all__ = ["FEATURE_KINDS", "embed_fields", "feature_names", "measure_features"]

FEATURE_KINDS = ("embedding", "intensity")

MIN_POOLED = 16
"""Fewest numbers of a latent's mean over its places; latents of fewer channels are taken as they are."""

_BATCH = 16

Doubles = npt.NDArray[np.float64]


def measure_features(
    kind: str,
    package: ModelPackage,
    data: PreparedData,
    rows: npt.NDArray[np.int64],
    console: Console,
    partial: Path | None = None,
) -> Doubles:
    """Features of some fields, shape (n, P).

    Args:
        kind: ``embedding``, or ``intensity`` for nine features of each channel.
        package: See `embed_fields`.
        data: See `embed_fields`.
        rows: See `embed_fields`.
        console: See `embed_fields`.
        partial: See `embed_fields`.

    Raises:
        LeighError: The kind is unknown, the network gives no latents, or all fields have the same features.
    """
    if kind not in FEATURE_KINDS:
        raise LeighError(f"--features {kind!r} is unknown; choose {' or '.join(FEATURE_KINDS)}.")
    features = (
        field_intensities(data, rows) if kind == "intensity" else embed_fields(package, data, rows, console, partial)
    )
    if len(rows) > 1 and not np.ptp(features, axis=0).any():
        raise LeighError(
            f"All {len(rows)} fields have the same {features.shape[1]} {kind} features, so that nothing tells them "
            "apart; check the images, or give another model."
        )
    return features


def feature_names(kind: str, count: int, channels: tuple[str, ...]) -> tuple[str, ...]:
    """Column names of features, which pycytominer takes for those of whole images.

    Args:
        kind: As of :func:`measure_features`.
        count: P.
        channels: Channel names.

    Example:
        >>> feature_names("embedding", 2, ("DAPI",)), feature_names("intensity", 9, ("DAPI",))[1:3]
        (('Image_Embedding_0001', 'Image_Embedding_0002'), ('Image_Intensity_StandardDeviation_DAPI', \
'Image_Intensity_Percentile1_DAPI'))
    """
    if kind == "embedding":
        return tuple(f"Image_Embedding_{number:04d}" for number in range(1, count + 1))
    names = ["".join(word.capitalize() for word in name.split()) for name in INTENSITY_NAMES]
    return tuple(f"Image_Intensity_{name}_{channel}" for channel in channels for name in names)


def embed_fields(
    package: ModelPackage,
    data: PreparedData,
    rows: npt.NDArray[np.int64],
    console: Console,
    partial: Path | None = None,
) -> Doubles:
    """Embeddings of some fields, in their order, by a network that adapts to their plates where it was trained so.

    An embedding is the network's latent, the features before its head. Latents with places are averaged over these,
    unless fewer than 16 numbers would be left, as of an autoencoder.

    Args:
        package: The model.
        data: The fields at the model's image size and level.
        rows: Row numbers, shape (n,).
        console: Where progress is shown.
        partial: Folder in which embeddings are kept while they are made: another call with the same network and
            fields goes on where one that was killed was. None keeps none.

    Returns:
        Shape (n, P), in the latents' unit.

    Raises:
        LeighError: The network gives no latents, one is not finite, or a plate has too few negative controls.
    """
    model = package.predictor
    kept = None if partial is None else PartialFeatures(partial, embedding_key(package, data))
    found = {} if kept is None else kept.read()
    left = rows[~np.isin(rows, list(found))]
    if found:
        console.print(f"{len(rows) - len(left)} of {len(rows)} fields were embedded before.")
    with evaluating(model), Progress(console, "embedding fields", len(left)) as progress:
        for each, features in _embed(package, data, left):
            found |= dict(zip(each.tolist(), features, strict=True))
            if kept is not None:
                kept.add(each, features)
            progress.advance(len(each))
    embedded = np.stack([found[row] for row in rows.tolist()])
    if unsound := int((~np.isfinite(embedded).all(axis=1)).sum()):
        raise LeighError(
            f"The embeddings of {unsound} of {len(rows)} fields are not finite; check their intensities, or give "
            "another model."
        )
    return embedded


def _embed(
    package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], Doubles]]:
    """Rows and embeddings of one batch after the other, plate by plate where the network adapts to them."""
    if not len(rows):
        return
    model, controls = package.predictor, _plate_controls(package, data)
    batches = data.batches_from_rows(rows, IntensityScale.from_json(package.scale), _BATCH, controls=controls)
    device = next(model.parameters()).device
    for batch in adapted_batches(model, batches):
        try:
            latents = model.encode(batch.images.to(device))
        except NotImplementedError:
            raise LeighError(
                f"A network of the family {model.spec.family} gives no latents, so it has no embedding; choose "
                "another model, or --features intensity."
            ) from None
        yield batch.rows, _pool(latents)


def _plate_controls(package: ModelPackage, data: PreparedData) -> ControlFields | None:
    """Controls to which a network adapts, also on plates without labels; None for one that does not adapt."""
    return data.plate_controls(training_mask(package, data), every_plate=True) if package.is_adapted else None


def _pool(latents: Tensor) -> Doubles:
    if latents.shape[1] < MIN_POOLED:
        latents = latents.flatten(1)
    return pool_latents(latents)
