"""Training of a panel of independent classifiers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale, texture_features
from leigh_mlops.models.baseline import fit_baseline
from leigh_mlops.models.oracles.oracle_networks import OracleNetwork
from leigh_mlops.models.oracles.oracle_panel import NETWORKS, ORACLES, OraclePanel, mean_pool
from leigh_mlops.models.transport import ClassFields

__all__ = ["fit_panel"]

_MOST_TRAIN, _MOST_VAL = 900, 600
_CHUNK_FIELDS = 32
_BATCH = 32
_LEAST_PER_CLASS = 128
_GAIN, _OFFSET_COUNTS = 0.05, 0.3
_JITTER = 0.1
_LEARNING_RATE, _WEIGHT_DECAY = 4e-3, 1e-3

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class TrainingFields(NamedTuple):
    """Fields of all classes as the oracles see them.

    Attributes:
        images: Pooled, raw intensities, shape (N, C, h, w).
        features: Texture features, shape (N, F).
        labels: Class indices, shape (N,).
        wells: Well of each field, shape (N,).
        image_size: Height and width before pooling.
    """

    images: Floats
    features: Doubles
    labels: Rows
    wells: npt.NDArray[np.str_]
    image_size: tuple[int, int]


def fit_panel(
    train: Sequence[ClassFields], val: Sequence[ClassFields], full_scale: int, seed: int, epochs: int = 12
) -> OraclePanel:
    """Train three classifiers, each on other two thirds of the training wells of each class.

    At most 900 training fields are read, as even over classes and wells as they allow; classes weigh the same. No
    epoch is chosen: the last one counts. Validation fields (at most 600) are only scored. Gains and offsets of the
    channels are drawn at random, so that no oracle relies on fractions of a count.

    Args:
        train: Training fields of each class; ``read`` gives raw intensities (n, C, H, W), both sides above 16 px.
        val: Validation fields of the same classes in the same order.
        full_scale: Largest raw intensity of the file type: 255 or 65535.
        seed: Seed of wells, weights and augmentation; the global random state stays as it is.
        epochs: Passes over the training fields, at least 1.

    Raises:
        LeighError: There is one class only, or an image is not finite.
        ValueError: The classes of training and validation differ.
    """
    classes = tuple(fields.name for fields in train)
    if len(classes) < 2:
        raise LeighError(f"Independent classifiers need two classes and got {len(classes)}; give fields of more.")
    if classes != tuple(fields.name for fields in val):
        raise ValueError(f"training has the classes {classes}, validation {[fields.name for fields in val]}")
    given = _read_training_fields(train, full_scale, np.random.default_rng(seed))
    scale = _fit_scale(given.images, full_scale)
    images = torch.from_numpy(scale.apply(given.images))
    rows = {name: _draw_rows(given, np.random.default_rng([seed, at])) for at, name in enumerate(ORACLES)}
    networks = {}
    for at, (name, build) in enumerate(NETWORKS.items()):
        kept = torch.from_numpy(_balance(given.labels, rows[name], _LEAST_PER_CLASS))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * len(ORACLES) + at)
            networks[name] = build(len(scale.mean), len(classes))
            _train_network(networks[name], images[kept], torch.from_numpy(given.labels)[kept], epochs)
    kept_rows = _balance(given.labels, rows["forest"], 1)
    forest = fit_baseline(given.features[kept_rows], given.labels[kept_rows], len(classes), kind="forest", seed=seed)
    nothing = {name: np.zeros(len(classes)) for name in ORACLES}
    panel = OraclePanel(classes, given.image_size, scale, networks, forest, nothing)
    return replace(panel, ceiling=_measure_ceiling(panel, val, seed))


def _read_training_fields(train: Sequence[ClassFields], full_scale: int, rng: np.random.Generator) -> TrainingFields:
    """Read fields chunk by chunk; texture is measured after a random gain and offset."""
    images, features, labels, wells = [], [], [], []
    for label, fields in enumerate(train):
        rows = fields.choose(_MOST_TRAIN // len(train), rng)
        for raw in _read_chunks(fields, rows):
            images.append(mean_pool(raw))
            features.append(texture_features(_vary(raw, full_scale, rng), full_scale))
        labels.append(np.full(len(rows), label))
        wells.append(fields.wells[rows])
    height, width = raw.shape[2:]
    return TrainingFields(
        np.concatenate(images),
        np.concatenate(features),
        np.concatenate(labels),
        np.concatenate(wells),
        (height, width),
    )


def _read_chunks(fields: ClassFields, rows: Rows) -> Iterator[Floats]:
    """Raw intensities of some rows, a few at a time."""
    for start in range(0, len(rows), _CHUNK_FIELDS):
        raw = fields.read(rows[start : start + _CHUNK_FIELDS])
        if not np.isfinite(raw).all():
            raise LeighError(f"An image of class {fields.name} has values that are not finite; exclude the field.")
        yield raw


def _vary(raw: Floats, full_scale: int, rng: np.random.Generator) -> Floats:
    """Raw intensities after a random gain and offset of each channel."""
    gains, offsets = rng.normal(size=(2, *raw.shape[:2], 1, 1)).astype(np.float32)
    changed: Floats = raw * (1 + np.float32(_GAIN) * gains) + offsets * np.float32(_OFFSET_COUNTS * full_scale / 255)
    return np.clip(changed, 0, full_scale)


def _fit_scale(images: Floats, full_scale: int) -> IntensityScale:
    """Log scale with mean 0 and spread 1 of each channel over these images."""
    channels = images.shape[1]
    logs = IntensityScale("log", full_scale, (0.0,) * channels, (1.0,) * channels).apply(images)
    mean, std = logs.mean(axis=(0, 2, 3), dtype=np.float64), logs.std(axis=(0, 2, 3), dtype=np.float64)
    std[std < 1e-8] = 1.0  # an empty channel stays as it is
    return IntensityScale("log", full_scale, tuple(mean.tolist()), tuple(std.tolist()))


def _draw_rows(given: TrainingFields, rng: np.random.Generator) -> Rows:
    """Rows of two thirds of the wells of each class, at least one well."""
    rows = []
    for label in np.unique(given.labels):
        of_class = np.flatnonzero(given.labels == label)
        wells = rng.permutation(np.unique(given.wells[of_class]))
        rows.append(of_class[np.isin(given.wells[of_class], wells[: max(2 * len(wells) // 3, 1)])])
    return np.concatenate(rows)


def _balance(labels: Rows, rows: Rows, least: int) -> Rows:
    """Rows repeated until every class has as many as the largest, and at least so many."""
    of_class = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    count = max(least, *(len(each) for each in of_class))
    return np.concatenate([np.resize(each, count) for each in of_class])


def _train_network(network: OracleNetwork, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Train with flips, quarter turns, and random gains and offsets; the network ends in eval mode."""
    batches = max(len(images) // _BATCH, 1)
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=epochs * batches)
    network.train()
    for _ in range(epochs):
        for some in torch.randperm(len(images)).tensor_split(batches):
            loss = F.cross_entropy(network(_augment(images[some])), labels[some])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()


def _augment(images: Tensor) -> Tensor:
    """A random turn and flip of the batch, and a gain and offset of each channel of each image."""
    turned = torch.rot90(images, int(torch.randint(4, ())), (2, 3))
    turned = turned.flip(3) if torch.rand(()) < 0.5 else turned
    gains, offsets = _JITTER * torch.randn(2, *images.shape[:2], 1, 1)
    varied: Tensor = turned * (1 + gains) + offsets
    return varied


def _measure_ceiling(panel: OraclePanel, val: Sequence[ClassFields], seed: int) -> dict[str, Doubles]:
    """Share of the validation fields of each class that each oracle predicts as that class."""
    rng = np.random.default_rng(seed)
    shares: dict[str, list[float]] = {name: [] for name in ORACLES}
    for label, fields in enumerate(val):
        rows = fields.choose(_MOST_VAL // len(val), rng)
        found = [panel.log_probs(raw) for raw in _read_chunks(fields, rows)]
        for name, each in shares.items():
            predicted = np.concatenate([one[name].argmax(axis=1) for one in found])
            each.append(float((predicted == label).mean()))
    return {name: np.array(each) for name, each in shares.items()}
