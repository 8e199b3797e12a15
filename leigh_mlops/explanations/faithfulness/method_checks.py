"""Checks on a few fields that maps depend on the network and mark the places that it uses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from torch import Tensor, nn

from leigh_mlops.explanations.explainers import ExplanationContext
from leigh_mlops.explanations.faithfulness.deletion_insertion import (
    CurveAreas,
    deletion_insertion_areas,
    edge_strength,
    random_tile_scores,
    tile_means,
)
from leigh_mlops.explanations.faithfulness.evaluated_maps import EvaluatedMap, evaluated_maps
from leigh_mlops.explanations.faithfulness.infidelity import check_metrics, mean_infidelity, mean_sensitivity
from leigh_mlops.explanations.faithfulness.randomised_model import randomise_weights
from leigh_mlops.explanations.field_batch import FieldExplanation
from leigh_mlops.explanations.field_explanations import classify_fields, explain_fields
from leigh_mlops.models import ModelPackage

__all__ = ["MAX_SIMILARITY", "MethodCheck", "check_methods", "map_similarity"]

MAX_SIMILARITY = 0.5
"""Rank correlation of maps of the trained and a randomised network at or above which a map counts as unchanged."""

MIN_DELETION_GAIN = 0.02
"""Probability by which deletion must beat the random order; an unsure network beats it only slightly."""

GUIDED_WARNING = (
    "guided backpropagation partly draws the image itself again, whatever the network has learned, "
    "so read no fine structure into it"
)

_RANDOM_ORDERS = 2
_SIMILARITY_IMAGES = 6
_METRIC_IMAGES = 4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MethodCheck:
    """Results of the checks of one kind of map: means over images, areas as probabilities of the target, 0 to 1.

    Attributes:
        method: Name of the map.
        images: Number of fields.
        deletion: Area under the curve while the map's top places are removed first; small is good.
        insertion: Area while they are added first; large is good.
        deletion_random: The same for places in random order.
        insertion_random: The same.
        deletion_edge: The same for places in the order of their edges (Sobel).
        insertion_edge: The same.
        randomised_similarity: See `map_similarity`, for a network with randomised weights; NaN where no
            map varies.
        completeness_error: Median error of the map's sum, relative; NaN where it has none.
        infidelity: See `mean_infidelity`; NaN where it was not requested.
        sensitivity: See `mean_sensitivity`; NaN where it was not requested.
        passed: Whether deletion beats the random order by at least 0.02 and the maps change with the weights.
        why: Reasons for ``passed``, in one sentence.
    """

    method: str
    images: int
    deletion: float
    insertion: float
    deletion_random: float
    insertion_random: float
    deletion_edge: float
    insertion_edge: float
    randomised_similarity: float
    completeness_error: float
    infidelity: float
    sensitivity: float
    passed: bool
    why: str


def check_methods(
    package: ModelPackage,
    raw: Floats,
    methods: Sequence[str],
    context: ExplanationContext | None = None,
    *,
    found: list[FieldExplanation] | None = None,
    metrics: tuple[str, ...] = (),
    seed: int = 0,
) -> list[MethodCheck]:
    """Check the maps of some fields: deletion and insertion, and a network with randomised weights.

    Args:
        package: Model with scale and class means.
        raw: Raw intensities (N, C, S, S).
        methods: Keys of ``EXPLAINERS`` that the model supports.
        context: Target and parameters.
        found: Results of `explain_fields` for these fields and methods; change maps of
            counterfactuals are checked only where it has them.
        metrics: Some of `FAITHFULNESS_METRICS`, on the first four fields.
        seed: Seed of random orders, weights and tiles.

    Returns:
        One check for each kind of map; none for methods without maps.

    Raises:
        LeighError: The model lacks a capability, or a metric is unknown.
    """
    check_metrics(metrics)
    if package.model.task == "reconstruct":
        return []
    found = explain_fields(package, raw, methods, context) if found is None else found
    batch = replace(classify_fields(package, raw, context), found=found)
    model, checks = package.model, []
    twin: nn.Module | None = None
    blind: dict[tuple[str | None, int | None], list[tuple[float, float]]] = {}
    for evaluated_map in evaluated_maps(batch, methods):
        twin = randomise_weights(model, batch.images, seed) if twin is None else twin
        key = (None if evaluated_map.fill is None else evaluated_map.name, evaluated_map.channel)
        if key not in blind:
            blind[key] = _baseline_areas(model, evaluated_map, seed)
        checks.append(_check_map(model, twin, evaluated_map, blind[key], metrics, seed))
    return checks


def map_similarity(one: Floats, other: Floats) -> float:
    """Absolute rank correlation of two maps (H, W), of their values or of their absolute values, the larger, 0 to 1.

    Adebayo et al. (2018, section 3) use both, since a map may keep its places and lose its signs.
    NaN where a map is the same everywhere.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    pairs = ((one, other), (np.abs(one), np.abs(other)))
    # A map of one absolute value and two signs has no ranks of absolute values.
    varying = [(a, b) for a, b in pairs if np.ptp(a) > 0 and np.ptp(b) > 0]
    return max(abs(float(spearmanr(a.ravel(), b.ravel()).statistic)) for a, b in varying)


def _check_map(
    model: nn.Module,
    twin: nn.Module,
    evaluated_map: EvaluatedMap,
    blind: list[tuple[float, float]],
    metrics: tuple[str, ...],
    seed: int,
) -> MethodCheck:
    own = _mean_areas(_curve_areas(model, evaluated_map, tile_means(evaluated_map.maps)))
    measured = {
        name: measure(model, evaluated_map, _METRIC_IMAGES, seed) if name in metrics else float("nan")
        for name, measure in {"infidelity": mean_infidelity, "sensitivity": mean_sensitivity}.items()
    }
    check = MethodCheck(
        evaluated_map.name, len(evaluated_map.images), *own, *blind[0], *blind[1],
        randomised_similarity=_randomised_similarity(twin, evaluated_map),
        completeness_error=evaluated_map.completeness_error, **measured, passed=False, why="",
    )  # fmt: skip
    passed, why = _verdict(check)
    return replace(check, passed=passed, why=why)


def _baseline_areas(model: nn.Module, evaluated_map: EvaluatedMap, seed: int) -> list[tuple[float, float]]:
    """Deletion and insertion areas by random order and by edges, neither of which depends on the network."""
    orders = [
        _mean_areas(_curve_areas(model, evaluated_map, random_tile_scores(evaluated_map.images, seed + number)))
        for number in range(_RANDOM_ORDERS)
    ]
    random = tuple(float(np.mean(each)) for each in zip(*orders, strict=True))
    return [
        (random[0], random[1]),
        _mean_areas(_curve_areas(model, evaluated_map, tile_means(edge_strength(evaluated_map.images)))),
    ]


def _curve_areas(model: nn.Module, evaluated_map: EvaluatedMap, scores: Tensor) -> CurveAreas:
    return deletion_insertion_areas(
        model,
        evaluated_map.images,
        evaluated_map.target,
        scores,
        fill=evaluated_map.fill,
        channel=evaluated_map.channel,
    )


def _mean_areas(both: CurveAreas) -> tuple[float, float]:
    return float(both.deletion.mean()), float(both.insertion.mean())


def _randomised_similarity(twin: nn.Module, evaluated_map: EvaluatedMap) -> float:
    """Mean similarity over the first images; constant maps are left out."""
    count = min(_SIMILARITY_IMAGES, len(evaluated_map.images))
    random = evaluated_map.recompute(twin, evaluated_map.images[:count], list(range(count)))
    each = [
        map_similarity(one, other)
        for one, other in zip(evaluated_map.maps.float().cpu().numpy(), random.float().cpu().numpy(), strict=False)
    ]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _verdict(check: MethodCheck) -> tuple[bool, str]:
    """Decide whether a map passes, and give the reasons with their figures."""
    found = check.deletion <= check.deletion_random - MIN_DELETION_GAIN
    changed = check.randomised_similarity < MAX_SIMILARITY
    places = (
        f"Without the places that it marks, the class has a probability of {check.deletion:.2f} on average, "
        f"{'clearly' if found else 'not clearly'} below the {check.deletion_random:.2f} without random places "
        f"({check.deletion_edge:.2f} without edges)"
    )
    if np.isnan(check.randomised_similarity):
        weights = "and it is unknown whether the map depends on the weights, because all maps are uniform"
    elif changed:
        weights = (
            f"and the map depends on the weights (similarity {check.randomised_similarity:.2f} to that of a network "
            f"with randomised weights, below {MAX_SIMILARITY:g})"
        )
    else:
        weights = (
            "but a network with randomised weights gives a similar map "
            f"(similarity {check.randomised_similarity:.2f}, not below {MAX_SIMILARITY:g})"
        )
    warning = f"; {GUIDED_WARNING}" if check.method.startswith("guided") else ""
    return found and changed, f"{places}, {weights}{warning}."
