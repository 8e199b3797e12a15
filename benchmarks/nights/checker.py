"""What a night must leave: the same as a search without faults, each thing once."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from benchmarks.nights.faults import draw_faults
from benchmarks.nights.night import OPTIONS, TRIALS, Night
from benchmarks.nights.process import EPOCHS, FAILING, METRIC, score
from benchmarks.nights.server import Point, RunRecord

__all__ = ["calm_facts", "expected_epochs", "find_faults", "find_seed_faults", "read_night"]

_TAGS_BY_CHANCE = ("search",)
_NAME = f"{OPTIONS.line}-autoencoder"


def read_night(night: Night) -> dict[str, Any]:
    """Facts of a night, by their names, that do not depend on chance."""
    runs = [run for run in night.server.runs.values() if not run.is_deleted]
    trials = sorted((run for run in runs if run.tags.get("trial")), key=lambda run: run.name)
    model = night.server.models.get(_NAME)
    names = {run.id: run.name for run in runs}
    versions = [] if model is None else [names[version.run_id] for version in model.versions.values()]
    ready = [(names[each.source_run_id], each.name) for each in night.server.logged if each.status == "READY"]
    return {
        "problems": list(night.problems),
        "running": [run.name for run in runs if run.status == "RUNNING"],
        "runs": sorted((run.tags.get("model", "search"), run.name, run.status) for run in runs),
        "epochs": {run.name: _values(run, f"epoch/{METRIC}") for run in trials},
        "kept": {run.name: _values(run, METRIC) for run in trials},
        "single": {run.name: _count_points(run) for run in runs},
        "params": {run.name: run.params for run in trials},
        "tags": {run.name: _tag_values(run, names) for run in runs},
        "files": {run.name: sorted(run.files) for run in runs},
        "winner": [run.name for run in trials if run.tags.get("winner")],
        "networks": sorted(ready),
        "versions": versions,
        "aliases": {} if model is None else dict.fromkeys(sorted(model.aliases), versions),
        "left on the disk": sorted(name for name in night.disk.files if not name.endswith(".lock")),
    }


def _tag_values(run: RunRecord, names: Mapping[str, str]) -> dict[str, str]:
    """Tags with names in place of runs' ids, and without the values that chance decides."""
    return {key: "" if key in _TAGS_BY_CHANCE else names.get(value, value) for key, value in run.tags.items()}


def _values(run: RunRecord, metric: str) -> list[tuple[int, str]]:
    """Steps and values of a metric, in order, as often as they stand there."""
    return [(step, value) for step, _, value in sorted(run.metrics.get(metric, ()))]


def _count_points(run: RunRecord) -> dict[str, int]:
    """Points of each metric that has one per search."""
    curves: Mapping[str, set[Point]] = run.metrics
    return {name: len(points) for name, points in sorted(curves.items()) if not name.startswith(("epoch/", "val/mse"))}


def find_faults(found: dict[str, Any], calm: dict[str, Any]) -> list[str]:
    """Describe in which facts a night differs from one without faults."""
    faults = []
    for name in sorted(found.keys() | calm.keys()):
        ours, theirs = found.get(name), calm.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            faults += [f"{name} of {fault}" for fault in find_faults(ours, theirs)]
        elif ours != theirs:
            faults.append(f"{name}: {ours} instead of {theirs}")
    return faults


def expected_epochs() -> dict[str, list[tuple[int, str]]]:
    """Epochs of each trial with their scores."""
    last = {number: 1 if number == FAILING else EPOCHS for number in range(1, TRIALS + 1)}
    return {
        f"autoencoder-{number}": [(epoch, str(score(number, epoch))) for epoch in range(1, epochs + 1)]
        for number, epochs in last.items()
    }


@cache
def calm_facts() -> dict[str, Any]:
    """Facts of a night without faults."""
    night = Night(0, {})
    night.play()
    return read_night(night)


def find_seed_faults(seed: int, verbose: bool = False) -> list[str]:
    """Play the night of a seed, and describe how its result differs from that of a calm one."""
    night = Night(seed, draw_faults(seed), partial(print, flush=True) if verbose else lambda line: None)
    night.play()
    return find_faults(read_night(night), calm_facts())
