"""Scores on plates that a classifier has not seen: each plate is left out of the training in turn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import fold_split
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import all_scores
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.training import Outputs, PreparedData, fix_adaptation, predict_part, redivide, run_trial

__all__ = [
    "LeftOut",
    "exclude_plates",
    "fit_and_predict",
    "leave_out_splits",
    "score_baselines_by_plate",
    "score_network_by_plate",
]

Doubles = npt.NDArray[np.float64]
_FIELDS, _LOG_PROBS = "left_out/fields", "left_out/log_probs"


@dataclass(frozen=True)
class LeftOut:
    """Predictions for fields of plates that took no part in the training.

    Attributes:
        keys: Key of each field by its pixels and its square, shape (n,).
        log_probs: Its log-probabilities, shape (n, K).
    """

    keys: npt.NDArray[np.uint64]
    log_probs: Doubles

    @classmethod
    def of_rows(cls, data: PreparedData, rows: npt.NDArray[np.int64], log_probs: Doubles) -> "LeftOut":
        """Predictions (n, K) for some rows (n,) of the data."""
        return cls(_field_keys(data)[rows], log_probs)

    def scores(self, data: PreparedData) -> dict[str, float]:
        """Shared metric names under ``plates/``, with the number of ``plates``; those per well under ``plates/wells/``.

        Args:
            data: Data of the fields; those that it lacks are left out.
        """
        rows, log_probs = self.match(data)
        scores = all_scores(list(data.wells[rows]), data.labels[rows], log_probs, data.classes)
        plates = len(data.table[Metadata.PLATE].iloc[rows].unique())
        return {f"plates/{name}": value for name, value in (scores | {"plates": plates}).items()}

    def match(self, data: PreparedData) -> tuple[npt.NDArray[np.int64], Doubles]:
        """Rows (m,) of the fields among some data, and their log-probabilities (m, K)."""
        place = {int(key): number for number, key in enumerate(self.keys)}
        keys = _field_keys(data)
        found = [(row, place[int(keys[row])]) for row in data.rows() if int(keys[row]) in place]
        rows, numbers = (np.array([pair[side] for pair in found], np.int64) for side in (0, 1))
        return rows, self.log_probs[numbers]

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays of a package."""
        return {_FIELDS: self.keys, _LOG_PROBS: self.log_probs}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> "LeftOut | None":
        """Read the arrays of a package; ``None`` for one that was not judged by plate."""
        if _FIELDS not in arrays:
            return None
        return cls(arrays[_FIELDS].astype(np.uint64), arrays[_LOG_PROBS].astype(np.float64))


def exclude_plates(data: PreparedData, seed: int = 0) -> Iterator[PreparedData]:
    """The data once for each plate with training or validation wells, whose wells become the test part.

    The data's own test part takes no part. The other plates are divided into training and validation
    part by whole plates, or by wells where a single plate is left.

    Raises:
        LeighError: There is one plate only, or the other plates do not have each class.
    """
    classes = data.table[Metadata.CONDITION].where(data.labels >= 0)
    for split in leave_out_splits(data.table.assign(**{Metadata.CONDITION: classes}), seed):
        yield redivide(data, split)


def leave_out_splits(table: pd.DataFrame, seed: int = 0) -> "Iterator[pd.Series[str]]":
    """The split for each plate with training or validation wells in which these are the test part.

    Args:
        table: Image table with its split; rows without a class take no part.
        seed: Seed of the division of the other plates.

    Raises:
        LeighError: There is one plate only, or the other plates do not have each class.
    """
    learned = table[Metadata.SPLIT].isin(["train", "val"])
    known = table.assign(**{Metadata.CONDITION: table[Metadata.CONDITION].where(learned)})
    plates = known.loc[known[Metadata.CONDITION].notna(), Metadata.PLATE].nunique()
    if plates < 2:
        raise LeighError(
            f"the training and validation wells are on {plates} plate, and none can be left out of one; give images "
            "of several plates."
        )
    for number in range(1, plates + 1):
        yield fold_split(known, number, "all", "plate", seed)


def score_baselines_by_plate(data: PreparedData, seed: int = 0) -> dict[str, dict[str, float]]:
    """Scores ``plates/…`` of ``baseline`` and ``position``, fitted once for each plate that is left out.

    Returns:
        Empty where no plate can be left out, or the starting weights have seen the wells of each.
    """
    found: dict[str, list[LeftOut]] = {}
    try:
        for divided in exclude_plates(data, seed):
            if not len(rows := divided.rows("test")) or not len(divided.rows("val")):
                continue
            for name, log_probs in fit_baselines(divided, seed).log_probs(divided, rows).items():
                found.setdefault(name, []).append(LeftOut.of_rows(divided, rows, log_probs))
    except LeighError:
        return {}
    return {name: _join(parts).scores(data) for name, parts in found.items()}


def score_network_by_plate(
    family: str,
    settings: TrainingSettings,
    data: PreparedData,
    *,
    metric: str,
    mode: str = "min",
    seed: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> LeftOut:
    """Train a configuration without each plate in turn, and predict the plate's training and validation wells.

    The epoch is chosen on validation wells of the other plates. Wells that the starting weights have seen are not
    predicted; nor is a plate without others, or where they leave no validation well. Where ``adaptation``
    is ``auto``, the undivided data decide for all plates.

    Args:
        family: A key of ``MODELS``.
        settings: The configuration.
        data: Prepared images and split; the test part is not touched.
        metric: Validation score by which the epoch is chosen.
        mode: ``min`` or ``max``.
        seed: Seed of the weights and of the division.
        report: Takes the name of each plate before it is left out.

    Raises:
        LeighError: As :func:`exclude_plates` or :func:`run_trial`, or no plate can be predicted.
    """
    settings, parts = fix_adaptation(family, settings, data), []
    for divided in exclude_plates(data, seed):
        rows = divided.rows("test")
        if not len(rows) or not len(divided.rows("val")):
            continue
        plate = str(divided.table[Metadata.PLATE].iloc[rows[0]])
        report(plate)
        try:
            _, outputs = fit_and_predict(family, settings, divided, metric=metric, mode=mode, seed=seed)
        except LeighError as error:
            raise LeighError(f"without plate {plate}: {error}") from None
        parts.append(LeftOut.of_rows(divided, outputs.rows, outputs.values))
    if not parts:
        raise LeighError(
            "the starting weights have seen the wells of every plate that could be left out; start from others, or "
            "leave --judge-by out."
        )
    return _join(parts)


def fit_and_predict(
    family: str, settings: TrainingSettings, data: PreparedData, *, metric: str, mode: str = "min", seed: int = 0
) -> tuple[float, Outputs]:
    """Train one network; return its best validation score, and the outputs of that epoch for the test part.

    Raises:
        LeighError: As :func:`run_trial`.
    """
    for result in run_trial(family, settings, data, metric=metric, mode=mode, seed=seed):
        state = result.state
    state.model.load_state_dict(state.best_weights)
    return (state.best if mode == "min" else -state.best), predict_part(state.model, settings, data, "test")


def _join(parts: list[LeftOut]) -> LeftOut:
    return LeftOut(np.concatenate([part.keys for part in parts]), np.concatenate([part.log_probs for part in parts]))


def _field_keys(data: PreparedData) -> npt.NDArray[np.uint64]:
    """Keys (N,): the digest of a whole field; of a square, a digest of it and of the square's place."""
    keys = data.cache.digests.copy()
    if Metadata.TILE in data.table:
        tiles = data.table[Metadata.TILE]
        for row in np.flatnonzero(tiles.notna()):
            keys[row] = xxhash.xxh3_64_intdigest(f"{keys[row]} {tiles.iloc[row]}".encode())
    return keys
