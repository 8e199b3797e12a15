"""Nested cross-validation: hyperparameters are chosen on inner folds, and scored on outer ones that chose nothing."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from leigh_mlops.errors import LeighError
from leigh_mlops.models import MODELS
from leigh_mlops.plates import nested_folds
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folds import Folds
from leigh_mlops.plates.groups import GROUPS
from leigh_mlops.plates.whole_number import parse_whole
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.sampling import draw
from leigh_mlops.scores import all_scores
from leigh_mlops.settings import IMAGENET_IF_AVAILABLE, Choice, SearchSpace, TrainingSettings
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.left_out_plates import fit_and_predict
from leigh_mlops.training import PreparedData, redivide

__all__ = ["NestedEvaluation", "NestedPlan", "mean_scores", "parse_folds"]

_UNSEEING_STARTS = ("random", "imagenet", IMAGENET_IF_AVAILABLE)
"""Initial weights that have seen no well."""

Doubles = npt.NDArray[np.float64]
Record = dict[str, Any]


@dataclass(frozen=True)
class NestedPlan:
    """Plan of a nested cross-validation.

    Attributes:
        space: Search of one family; its first ``trials`` configurations are compared.
        outer: Folds of the test part, or ``all`` for one per group.
        inner: Folds of the rest, each the validation part once.
        seed: Seed of folds, configurations and weights.

    Raises:
        LeighError: The family does not classify, or its networks start from weights other than ImageNet's, which may
            have seen the wells of the outer folds.
    """

    space: SearchSpace
    outer: Folds = 5
    inner: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.space.family not in MODELS or MODELS[self.space.family].task != "classify":
            able = ", ".join(name for name, kind in MODELS.items() if kind.task == "classify")
            raise LeighError(f"{self.space.family!r} is not a family that classifies; choose one of {able}.")
        domain = self.space.space.get("init")
        starts = [self.space.published.get("init", "random"), *(domain.values if isinstance(domain, Choice) else [])]
        if others := [start for start in starts if start not in _UNSEEING_STARTS]:
            raise LeighError(
                f"init {others[0]} may have seen the wells that a fold tests; give --set init=random or "
                "--set init=imagenet."
            )

    def to_json(self, data: PreparedData) -> Record:
        """The plan and what it is applied to, as JSON values."""
        about = {"outer": self.outer, "inner": self.inner, "seed": self.seed, "group": data.group}
        space: Record = json.loads(self.space.model_dump_json())
        scale_by = "controls" if data.controls else "training"
        return about | {"space": space, "data": data.fingerprint, "scale_by": scale_by, "fields": _digest_fields(data)}


@dataclass(frozen=True)
class NestedEvaluation:
    """Nested cross-validation of one family on some data.

    Attributes:
        plan: The plan.
        data: Prepared images; their own split is not used.
        report: Takes a line on each network before it is trained.
    """

    plan: NestedPlan
    data: PreparedData
    report: Callable[[str], None] = lambda _: None

    def run(self, file: Path | None = None) -> list[Record]:
        """Score every outer fold; one that the file has is not computed again.

        Args:
            file: JSON file that is written after each fold.

        Returns:
            For each outer fold its number, the ``chosen`` configuration and its number, the mean validation score of
            each, and the scores of ``network``, ``baseline`` and ``position``.

        Raises:
            LeighError: The folds can't be dealt, the file is of another plan, or a network can't be trained.
        """
        about = self.plan.to_json(self.data)
        done = {each["fold"]: each for each in _read_folds(file, about)}
        for fold, splits in self._outer_folds():
            if fold not in done:
                done[fold] = {"fold": fold} | self._score_fold(fold, splits)
                _write_folds(file, about, [done[number] for number in sorted(done)])
        return [done[number] for number in sorted(done)]

    def _outer_folds(self) -> Iterator[tuple[int, list[PreparedData]]]:
        plan, data = self.plan, self.data
        folds = nested_folds(data.table, plan.outer, plan.inner, data.group, plan.seed)
        for fold, inside in groupby(folds, key=lambda each: each[0]):
            yield fold, [redivide(data, split) for _, _, split in inside]

    def _score_fold(self, fold: int, divided: list[PreparedData]) -> Record:
        space, sign = self.plan.space, 1 if self.plan.space.mode == "min" else -1
        configs = [draw(space, number, seed=self.plan.seed) for number in range(1, space.trials + 1)]
        trained = [self._train(f"fold {fold}, configuration {n}", c, divided) for n, c in enumerate(configs, start=1)]
        means = [float(np.mean([score for score, _ in networks])) for networks in trained]
        best = int(np.argmin([sign * mean for mean in means]))
        rows = divided[0].rows("test")
        # The networks of the inner folds vote together, so that none is trained again.
        voted = logsumexp([log_probs for _, log_probs in trained[best]], axis=0) - np.log(len(divided))
        references = fit_baselines(divided[0], self.plan.seed).log_probs(divided[0], rows)
        scored = {name: self._scores(rows, each) for name, each in ({"network": voted} | references).items()}
        return {"number": best + 1, "chosen": configs[best], "validation": means, "wells": self._count(rows)} | scored

    def _train(self, name: str, config: Record, divided: list[PreparedData]) -> list[tuple[float, Doubles]]:
        """Validation score, and log-probabilities for the rows of the test part, of one network per inner fold."""
        settings, space, found = TrainingSettings.from_flat(config), self.plan.space, []
        for number, data in enumerate(divided, start=1):
            self.report(f"{name}, inner fold {number} of {len(divided)}")
            score, outputs = fit_and_predict(
                space.family, settings, data, metric=space.metric, mode=space.mode, seed=self.plan.seed
            )
            found.append((score, outputs.values[np.argsort(outputs.rows)]))
        return found

    def _scores(self, rows: npt.NDArray[np.int64], log_probs: Doubles) -> dict[str, float]:
        return all_scores(list(self.data.wells[rows]), self.data.labels[rows], log_probs, self.data.classes)

    def _count(self, rows: npt.NDArray[np.int64]) -> int:
        return len(np.unique(self.data.wells[rows]))


def mean_scores(folds: list[Record]) -> dict[str, dict[str, float]]:
    """Means over the folds of the scores of ``network``, ``baseline`` and ``position`` that all folds have."""
    return {
        kind: {
            name: float(np.mean([fold[kind][name] for fold in folds]))
            for name in folds[0][kind]
            if all(name in fold[kind] for fold in folds)
        }
        for kind in ("network", "baseline", "position")
    }


def parse_folds(text: str) -> Folds:
    """Parse a number of folds, or ``all`` for one per group.

    Raises:
        LeighError: It is neither.
    """
    if text == "all":
        return "all"
    folds = parse_whole(text)
    if folds is None or folds < 2:
        raise LeighError(f"--outer {text[:40]!r} is not a number of folds; give 2 or more, or all for one per group.")
    return folds


def _digest_fields(data: PreparedData) -> str:
    """16 hexadecimal digits of what the folds follow from: well, group, control and exclusion of each field."""
    wanted = [Metadata.PLATE, Metadata.WELL, *GROUPS.get(data.group, ()), Metadata.CONTROL, Metadata.EXCLUDED]
    columns = [list(data.table[name].astype(str)) for name in dict.fromkeys(wanted) if name in data.table]
    rows = sorted(zip(data.cache.digests.tolist(), *columns, strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _read_folds(file: Path | None, about: Record) -> list[Record]:
    if file is None or not file.exists():
        return []
    try:
        stored = json.loads(file.read_text())
        plan, folds = stored["plan"], list(stored["folds"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LeighError(f"{file} holds no folds of this command; give another --json, or remove it.") from None
    if plan != about:
        raise LeighError(f"{file} holds folds of other data or options; give another --json, or remove it.")
    return folds


def _write_folds(file: Path | None, about: Record, folds: list[Record]) -> None:
    if file is not None:
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps({"plan": about, "folds": folds}, indent=2) + "\n")
