"""Importance of the hyperparameters of a search, compared with chance."""

import html
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator

from leigh_mlops.report.search.parallel_coordinates import drawn_value, hyperparameter_label
from leigh_mlops.report.search.plotly_charts import MUTED, Chart, axis, figure
from leigh_mlops.report.search.search_records import SearchRecords
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.style import PALETTE
from leigh_mlops.settings import Range, SearchSpace

__all__ = ["MIN_TRIALS", "importance", "importance_chart"]

MIN_TRIALS = 8
SHUFFLES = 20
MAX_TRIALS = 2000

Importance = dict[str, tuple[float, bool]]


def importance(found: SearchRecords, space: SearchSpace) -> Importance:
    """Importance of each hyperparameter for reaching the best tenth of scores (PED-ANOVA, Watanabe et al. 2023).

    Trials that finished or were stopped early count, the latter with the score that they had reached. With
    few trials, the best five replace the best tenth, but at most half of the trials.

    Returns:
        Hyperparameter to its share, 0 to 1, and whether its importance exceeds that in each of 20 shuffles
        of the scores; the largest first. Empty with fewer than 8 such trials, or if none varied.
    """
    trials = _scored_trials(found, space)
    if len(trials) < MIN_TRIALS:
        return {}
    rows = [_parameters(space, config) for config in trials["config"]]
    varied = [key for key in space.space if len({str(row.get(key)) for row in rows}) > 1]
    if not varied:
        return {}
    scores = trials["score"].to_numpy(dtype=float) * (1 if space.mode == "min" else -1)
    with _silence_optuna():
        study = _build_study(rows, {key: _distribution(space, key, rows) for key in varied})
        true = _evaluate_importance(study, varied, scores)
        shuffled = np.random.default_rng(0).permutation
        chance = np.max([_evaluate_importance(study, varied, shuffled(scores)) for _ in range(SHUFFLES)], axis=0)
    shares = true / true.sum() if true.sum() > 0 else true
    order = np.argsort(-shares, kind="stable")
    return {varied[place]: (float(shares[place]), bool(true[place] > chance[place])) for place in order}


def importance_chart(found: SearchRecords, space: SearchSpace) -> Chart | str:
    """Draw the bars of :func:`importance`, or return a sentence that says why there are none."""
    shares = importance(found, space)
    count = len(_scored_trials(found, space))
    if not shares:
        if count >= MIN_TRIALS:
            return f"{space.family}: no hyperparameter varied."
        return f"{space.family}: too few trials to say ({count} with a score; {MIN_TRIALS} are needed)."
    groups = {"above chance": (PALETTE[0], "", True), "no more than chance": (MUTED, "/", False)}
    traces = [_bar_trace(shares, label, *looks) for label, looks in groups.items()]
    names = list(reversed([html.escape(hyperparameter_label(key)) for key in shares]))
    y = axis("", type="category", categoryorder="array", categoryarray=names, showgrid=False)
    x = axis("share of the importance", range=[0, 1.12 * max(share for share, _ in shares.values())], tickformat=".0%")
    height = 130 + 28 * len(shares)
    caption = (
        f"From {format_count(count, 'trial')} of {space.family}. A pale, hatched bar is no larger than bars become "
        f"where scores are shuffled among trials ({SHUFFLES} times). Importance gives no direction and proves no cause."
    )
    return Chart(space.family, caption, {"": figure(traces, height=height, yaxis=y, xaxis=x, barmode="overlay")})


def _scored_trials(found: SearchRecords, space: SearchSpace) -> pd.DataFrame:
    trials = found.family_trials(space)
    ended = trials[trials["status"].isin(["finished", "stopped"]) & trials["score"].notna()]
    return ended.tail(MAX_TRIALS)


def _bar_trace(shares: Importance, label: str, colour: str, hatch: str, above: bool) -> dict[str, Any]:
    chosen = {key: share for key, (share, beats) in shares.items() if beats is above}
    return {
        "type": "bar", "orientation": "h", "name": label, "showlegend": True,
        "x": [round(share, 4) for share in chosen.values()],
        "y": [html.escape(hyperparameter_label(key)) for key in chosen],
        "text": [f"{100 * share:.0f} %" for share in chosen.values()], "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": colour, "pattern": {"shape": hatch}, "opacity": 1 if above else 0.6},
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }  # fmt: skip


def _parameters(space: SearchSpace, config: dict[str, Any]) -> dict[str, Any]:
    values = {key: drawn_value(key, space, config) for key in space.space}
    return {key: value for key, value in values.items() if value is not None}


def _distribution(space: SearchSpace, key: str, rows: Sequence[dict[str, Any]]) -> BaseDistribution:
    seen = [row[key] for row in rows if key in row]
    domain = space.space[key]
    if isinstance(domain, Range):
        return FloatDistribution(min([domain.low, *seen]), max([domain.high, *seen]), log=domain.log)
    return CategoricalDistribution(list(dict.fromkeys(seen)))


@contextmanager
def _silence_optuna() -> Iterator[None]:
    """Silence Optuna's messages on a new study, on the experimental PED-ANOVA, and on the minimised values."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes the importances")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _build_study(rows: Sequence[dict[str, Any]], distributions: dict[str, BaseDistribution]) -> optuna.Study:
    """Build a study with trials in the order of the rows; their values do not matter."""
    study = optuna.create_study()
    for row in rows:
        drawn = {key: row[key] for key in distributions if key in row}
        kinds = {key: distributions[key] for key in drawn}
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=kinds, value=0.0))
    return study


def _evaluate_importance(study: optuna.Study, keys: list[str], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Importance of each hyperparameter for low scores, shape (K,), in PED-ANOVA's unit; 0 if it is not finite."""
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, min(0.5, 5 / len(scores))))
    found = evaluator.evaluate(study, params=keys, target=lambda trial: float(scores[trial.number]))
    values = np.array([found.get(key, 0.0) for key in keys], dtype=np.float64)
    return np.where(np.isfinite(values), values, 0.0)
