"""Whether a map says something about the network, checked on a few fields."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from torch import Tensor, nn

from leigh_mlops.explanations.curves import Areas, areas, edges, random_orders, tiled
from leigh_mlops.explanations.explainers import Context
from leigh_mlops.explanations.faithfulness import check_metrics, mean_infidelity, mean_sensitivity
from leigh_mlops.explanations.field_batch import FieldExplanation
from leigh_mlops.explanations.fields import classified, explain_fields
from leigh_mlops.explanations.randomised import randomised
from leigh_mlops.explanations.subjects import Subject, subjects
from leigh_mlops.models import ModelPackage

__all__ = ["SIMILAR", "MethodCheck", "check_methods", "map_similarity"]

SIMILAR = 0.5
"""Rank correlation of maps of the trained and a randomised network from which on the map counts as unchanged."""

CLEARLY = 0.02
"""Probability by which deletion must beat the random order; a network that is sure of nothing beats it by a hair."""

GUIDED = (
    "guided backpropagation partly draws the image itself again, whatever the network has learned, "
    "so read no fine structure into it"
)

_RANDOM_ORDERS = 2
_RANDOMISED = 6
_MEASURED = 4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MethodCheck:
    """What the checks of one kind of map gave: means over images, areas as probabilities of the target, 0 to 1.

    Attributes:
        method: Name of the map.
        images: Number of fields.
        deletion: Area under the curve while the map's best places go first; small is good.
        insertion: Area while they come first; large is good.
        deletion_random: The same for places in random order.
        insertion_random: The same.
        deletion_edge: The same for places in the order of their edges (Sobel).
        insertion_edge: The same.
        randomised_similarity: See `map_similarity`, for a network with randomised weights; NaN where no
            map varies.
        completeness_error: Median error of the map's sum, relative; NaN where it has none.
        infidelity: NaN where it was not asked for.
        sensitivity: NaN where it was not asked for.
        passed: Whether deletion beats the random order by at least 0.02 and the maps change with the weights.
        why: In one sentence.
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
    context: Context | None = None,
    *,
    found: list[FieldExplanation] | None = None,
    metrics: tuple[str, ...] = (),
    seed: int = 0,
) -> list[MethodCheck]:
    """Check the maps of some fields: deletion and insertion, and a network with randomised weights.

    Args:
        package: Model with scale and class means.
        raw: Raw intensities (N, C, S, S).
        methods: Keys of ``EXPLAINERS`` that the model can serve.
        context: Target and parameters.
        found: What `explain_fields` has found for these fields by these methods; change maps of
            counterfactuals are checked only where it holds them.
        metrics: Some of `METRICS`, on the first four fields.
        seed: Of random orders, weights and tiles.

    Returns:
        One check for each kind of map; none for methods without maps.

    Raises:
        LeighError: The model cannot, or a metric is unknown.
    """
    check_metrics(metrics)
    if package.model.task != "classify":
        return []
    found = explain_fields(package, raw, methods, context) if found is None else found
    batch = replace(classified(package, raw, context), found=found)
    model, checks = package.model, []
    twin: nn.Module | None = None
    blind: dict[tuple[str | None, int | None], list[tuple[float, float]]] = {}
    for subject in subjects(batch, methods):
        twin = randomised(model, batch.images, seed) if twin is None else twin
        key = (None if subject.fill is None else subject.name, subject.channel)
        if key not in blind:
            blind[key] = _blind_areas(model, subject, seed)
        checks.append(_checked(model, twin, subject, blind[key], metrics, seed))
    return checks


def map_similarity(one: Floats, other: Floats) -> float:
    """Rank correlation of two maps (H, W), of their values or of their sizes, whichever is larger in size, 0 to 1.

    Adebayo et al. (2018, section 3) look at both, since a map may keep its places and lose its signs.
    NaN where a map is the same everywhere.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    pairs = ((one, other), (np.abs(one), np.abs(other)))
    # A map of one size and two signs has no ranks of sizes.
    varying = [(a, b) for a, b in pairs if np.ptp(a) > 0 and np.ptp(b) > 0]
    return max(abs(float(spearmanr(a.ravel(), b.ravel()).statistic)) for a, b in varying)


def _checked(
    model: nn.Module,
    twin: nn.Module,
    subject: Subject,
    blind: list[tuple[float, float]],
    metrics: tuple[str, ...],
    seed: int,
) -> MethodCheck:
    own = _means(_areas(model, subject, tiled(subject.maps)))
    measured = {
        name: measure(model, subject, _MEASURED, seed) if name in metrics else float("nan")
        for name, measure in {"infidelity": mean_infidelity, "sensitivity": mean_sensitivity}.items()
    }
    check = MethodCheck(
        subject.name, len(subject.images), *own, *blind[0], *blind[1],
        randomised_similarity=_similarity(twin, subject),
        completeness_error=subject.completeness_error, **measured, passed=False, why="",
    )  # fmt: skip
    passed, why = _verdict(check)
    return replace(check, passed=passed, why=why)


def _blind_areas(model: nn.Module, subject: Subject, seed: int) -> list[tuple[float, float]]:
    """Deletion and insertion by random order and by edges, neither of which knows the network."""
    orders = [
        _means(_areas(model, subject, random_orders(subject.images, seed + number))) for number in range(_RANDOM_ORDERS)
    ]
    random = tuple(float(np.mean(each)) for each in zip(*orders, strict=True))
    return [(random[0], random[1]), _means(_areas(model, subject, tiled(edges(subject.images))))]


def _areas(model: nn.Module, subject: Subject, scores: Tensor) -> Areas:
    return areas(model, subject.images, subject.target, scores, fill=subject.fill, channel=subject.channel)


def _means(both: Areas) -> tuple[float, float]:
    return float(both.deletion.mean()), float(both.insertion.mean())


def _similarity(twin: nn.Module, subject: Subject) -> float:
    """Mean over the first images; a map that is the same everywhere says nothing and is left out."""
    count = min(_RANDOMISED, len(subject.images))
    random = subject.again(twin, subject.images[:count], list(range(count)))
    each = [
        map_similarity(one, other)
        for one, other in zip(subject.maps.float().cpu().numpy(), random.float().cpu().numpy(), strict=False)
    ]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _verdict(check: MethodCheck) -> tuple[bool, str]:
    """Whether a map passed, and the reasons with their figures."""
    found = check.deletion <= check.deletion_random - CLEARLY
    changed = check.randomised_similarity < SIMILAR
    places = (
        f"While what it marks is removed the class's probability is {check.deletion:.2f} on average, "
        f"{'clearly' if found else 'not clearly'} below the {check.deletion_random:.2f} of random places "
        f"(an edge filter has {check.deletion_edge:.2f})"
    )
    if np.isnan(check.randomised_similarity):
        weights = "and whether it depends on the weights is not known, as its maps are the same everywhere"
    elif changed:
        weights = f"and it changes with the weights (similarity {check.randomised_similarity:.2f}, below {SIMILAR:g})"
    else:
        weights = (
            "and a network with randomised weights gives much the same map "
            f"(similarity {check.randomised_similarity:.2f}, not below {SIMILAR:g})"
        )
    warning = f"; {GUIDED}" if check.method.startswith("guided") else ""
    return found and changed, f"{places}, {weights}{warning}."
