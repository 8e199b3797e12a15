"""Packaging of the best trials of a family; the winner is tested once and registered."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops import __version__
from leigh_mlops.explanations import class_means
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.latent_map import PooledLatents
from leigh_mlops.images import IntensityScale, fit_thresholds
from leigh_mlops.models import ModelPackage, Network, has_capability
from leigh_mlops.models.package import CLASS_MAPS
from leigh_mlops.plates import leaked_wells
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import aggregate_wells, paired_bootstrap
from leigh_mlops.study.baselines import Baselines, fit_latent_baseline
from leigh_mlops.study.champion import AtSize, Decision, comparison_key, decide_promotion
from leigh_mlops.study.class_map_fitting import fit_class_maps
from leigh_mlops.study.counterfactual_references import cell_area, oracle_arrays, typicality_arrays
from leigh_mlops.study.evaluation import Evaluation, evaluate_package
from leigh_mlops.study.examples import display_limits, example_request
from leigh_mlops.study.field_width import width_facts
from leigh_mlops.study.model_card import count_parts
from leigh_mlops.study.reference_statistics import reliability_facts
from leigh_mlops.study.score_figures import score_figures
from leigh_mlops.study.version_card import read_version_card
from leigh_mlops.tracking import BEST_MODEL, CHALLENGER, Run, Store, Version
from leigh_mlops.training import PreparedData, adapted_batches, initial_weight_digests

__all__ = [
    "Winner",
    "accuracy_gain",
    "checkpoint_package",
    "counterfactual_references",
    "evaluate_and_register",
    "judge_arrays",
    "log_package",
    "make_package",
    "needs_references",
]


@dataclass(frozen=True)
class Winner:
    """A registered version with its scores on the test part.

    Attributes:
        version: Registered version.
        decision: Champion or challenger, and the reason.
        test: Scores of the model, the baseline and the position on the test part.
        gain: 95 % interval of the accuracy per well less the baseline's.
        by_plate: Scores ``plates/…`` of its configuration, trained without each plate in turn; empty where it was not
            judged by plate.
        trial: Name of its trial, such as ``resnext-2``.
    """

    version: Version
    decision: Decision
    test: Evaluation
    gain: tuple[float, float] | None
    trial: str = ""
    by_plate: Mapping[str, float] = field(default_factory=dict)


def make_package(
    model: Network,
    scale: IntensityScale,
    data: PreparedData,
    baselines: Baselines | None,
    about: dict[str, Any],
    starts: Sequence[str] = (),
    references: Mapping[str, npt.NDArray[Any]] | None = None,
) -> ModelPackage:
    """Package a model with all data that a job needs.

    Class means, latent map, maps between classes and digests are of the training wells, calibration and the limit of
    energies of the validation wells.

    Args:
        model: The trained network.
        scale: Its intensity scale.
        data: Data that it was trained on.
        baselines: Baselines fitted on the same wells and image size; a network that does not classify needs none.
        about: Facts to be stored; ``adaptation`` is ``controls`` for a network that adapts to plates.
        starts: Folders of the packages from which its training was initialised; their fields count as seen.
        references: Arrays of :func:`counterfactual_references`, fitted here if not given.
    """
    model.eval()
    rows = data.rows("train")
    controls = data.plate_controls() if about.get("adaptation") == "controls" else None
    batches = data.batches_from_rows(rows, scale, 16, controls=controls)
    latents = PooledLatents()
    pairs = ((batch.images, batch.labels) for batch in adapted_batches(model, batches))
    means = _pool_latents(model, pairs, latents) if model.task == "cluster" else class_means(model, pairs, latents)
    trained, chosen = initial_weight_digests(starts)
    arrays: dict[str, npt.NDArray[Any]] = {
        "training_digests": np.union1d(trained, data.cache.digests[rows]),
        "validation_digests": np.union1d(chosen, data.cache.digests[data.rows("val")]),
    }
    arrays |= latents.fit().to_arrays()
    if baselines is not None and model.task == "classify":
        arrays |= baselines.to_arrays()
    elif model.task == "reconstruct":
        pca, _ = fit_latent_baseline(data, scale, int(np.prod(means["true"].shape[1:])))
        arrays |= {f"pca/{name}": array for name, array in pca.to_arrays().items()}
    if needs_references(model):
        arrays |= counterfactual_references(data, scale) if references is None else references
    thresholds = fit_thresholds(data.cache, rows)
    trust, measured = reliability_facts(model, scale, data, controls)
    arrays |= measured
    facts = (
        trust
        | width_facts(data)
        | {
            "demo": data.demo,
            "parts": count_parts(data),
            "display_limits": display_limits(data),
            "region_thresholds": thresholds,
            "cell_area": cell_area(data, thresholds),
            "data_fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "versions": {"leigh_mlops": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }
    )
    return ModelPackage(model, tuple(data.channels), scale.to_json(), means or None, arrays, facts | about)


def _pool_latents(model: Network, pairs: Iterable[tuple[Tensor, Tensor]], latents: PooledLatents) -> dict[str, Tensor]:
    """Accumulate latents of images; labels of the images are no clusters, so that there are no means."""
    device = next(model.parameters()).device
    with evaluating(model):
        for images, _ in pairs:
            latents.update(model.encode(images.to(device, non_blocking=True)))
    return {}


def checkpoint_package(package: ModelPackage, model: Network) -> ModelPackage:
    """Package another epoch of a trial from that of its best epoch: enough to go on from it, and to predict.

    It names the fields that were used for training and selection, so that no later training is tested on them.
    """
    digests = {name: array for name, array in package.arrays.items() if name.endswith("_digests")}
    return ModelPackage(model, package.channels, package.scale, None, digests, dict(package.about))


def needs_references(model: Network) -> bool:
    """Return whether a model makes counterfactuals, which are evaluated beside references."""
    return has_capability(model, "classify") and has_capability(model, "decode")


def counterfactual_references(
    data: PreparedData, scale: IntensityScale, judges: Mapping[str, npt.NDArray[Any]] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Arrays of maps between classes, independent classifiers and realism; they depend on data and scale alone.

    Args:
        data: Data of the study.
        scale: Intensity scale of the network.
        judges: Arrays of :func:`judge_arrays`, fitted here if not given.
    """
    maps = {f"{CLASS_MAPS}{name}": array for name, array in fit_class_maps(data, scale).to_arrays().items()}
    return maps | dict(judge_arrays(data, scale.full_scale) if judges is None else judges)


def judge_arrays(data: PreparedData, full_scale: int) -> dict[str, npt.NDArray[Any]]:
    """Arrays of independent classifiers and realism, which are equal for networks of any intensity scale."""
    return oracle_arrays(data, full_scale) | typicality_arrays(data, full_scale)


def log_package(
    store: Store, run: Run, package: ModelPackage, data: PreparedData, name: str = BEST_MODEL, step: int = 0
) -> str:
    """Log a package to its run as the network of an epoch (``step``), with a field of its data as example.

    Returns:
        Its address for the registry.
    """
    return store.log_package(run, package, *example_request(package, data), name=name, step=step)


def evaluate_and_register(
    store: Store,
    run: Run,
    package: ModelPackage,
    model_uri: str,
    name: str,
    data: PreparedData,
    at_size: AtSize,
    *,
    at: float,
    judge_by: str = "well",
) -> Winner:
    """Score the winner on the test part, once; register it; decide whether it becomes champion.

    ``judge_by`` is the unit of the comparison with the champion, see :func:`decide_promotion`.
    A run that was registered before, in a search that was interrupted, gets no second version: its decision is kept,
    and its scores are logged at the same time (``at``), so that they are stored once. The description of the version
    is its card.
    """
    version = store.find_run_version(name, run)
    if version is None:
        decision = decide_promotion(store, name, package, at_size, judge_by)
    else:
        decision = Decision.from_tags(version.tags)
    test = evaluate_package(package, data, data.rows("test"))
    run.log_metrics({f"test/{score}": value for score, value in test.scores.items()}, at=at)
    for kind, scores in (("baseline", test.baseline), ("position", test.position)):
        run.log_metrics({f"test/{kind}/{score}": value for score, value in scores.items()}, at=at)
    gain = accuracy_gain(package, test, data)
    if version is None:
        version = store.register(name, model_uri, run, _version_tags(package, data, test, decision, gain))
    champion = store.champion(name)
    if champion is None or champion.version != version.version:
        store.set_alias(version, CHALLENGER)
    if decision.promote and (champion is None or champion.version <= version.version):
        store.promote(name, version.version)
    store.describe(version, read_version_card(store, version, package, version.uri).to_markdown())
    run.set_tags({"winner": True, "registered": version.uri, "champion": decision.promote, "decision": decision.reason})
    for figure_name, figure in score_figures(package.model.task, data, test.outputs, test.scores).items():
        run.log_figure(figure, f"figures/{figure_name}.png")
    return Winner(version, decision, test, gain)


def accuracy_gain(package: ModelPackage, test: Evaluation, data: PreparedData) -> tuple[float, float] | None:
    """95 % interval of the accuracy per well less the intensity baseline's, by a paired bootstrap over wells."""
    if package.model.task != "classify":
        return None
    rows = test.outputs.rows
    theirs = Baselines.from_arrays(package.arrays).log_probs(data, rows)["baseline"]
    wells = [aggregate_wells(list(data.wells[rows]), data.labels[rows], each) for each in (test.outputs.values, theirs)]
    if len(wells[0].wells) < 2:
        return None
    hits = [(each.log_probs.argmax(1) == each.labels).astype(float) for each in wells]
    difference = paired_bootstrap(hits[0], hits[1])
    return difference.low, difference.high


def _version_tags(
    package: ModelPackage,
    data: PreparedData,
    test: Evaluation,
    decision: Decision,
    gain: tuple[float, float] | None,
) -> dict[str, Any]:
    tags = comparison_key(package) | decision.tags() | {"demo": data.demo, "wells": len(set(data.wells))}
    facts = ("data_fingerprint", "split_fingerprint", "git")
    tags |= {key: package.about[key] for key in facts if key in package.about}
    if gain is not None:
        ours, theirs = test.scores["wells/accuracy"], test.baseline["wells/accuracy"]
        beats = "beats" if gain[0] > 0 else "does not beat"
        tags["baseline"] = f"{beats} the intensity baseline on test wells ({ours:.3f} against {theirs:.3f})"
        tags["leaked_wells"] = len(leaked_wells(data.table, data.table[Metadata.SPLIT]))
    return tags
