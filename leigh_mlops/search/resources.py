"""Resources of the machines that trials reserve."""

import functools
from pathlib import Path
from typing import Any

import ray
import torch._dynamo  # noqa: F401  # otherwise imported by the first estimate of memory, while all trials wait
from ray import tune

from leigh_mlops.errors import LeighError
from leigh_mlops.search.machine_faults import halt_reason
from leigh_mlops.search.request import SearchRequest
from leigh_mlops.search.trainable import trial_hyperparameters
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import PreparedData, estimate_trial_memory
from leigh_mlops.trials import Trial

__all__ = ["Resources", "concurrent_trials"]


def concurrent_trials(request: SearchRequest) -> int:
    """Number of concurrent trials: as many as the cluster holds, unless the request limits it."""
    cluster, required = ray.cluster_resources(), request.space.resources
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    fit = int(gpus / required.gpus) if gpus and required.gpus else int(cpus // required.cpus)
    return max(1, min(request.workers or fit, fit, request.space.trials))


class Resources:
    """Resources of a trial by its configuration; idle cores are shared among the running trials.

    Raises:
        LeighError: No machine has the cores and GPUs that a trial asks for, so that it would wait for ever; or the
            data can't be read.
    """

    def __init__(self, request: SearchRequest) -> None:
        cluster, required = ray.cluster_resources(), request.space.resources
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.gpus = required.gpus if cluster.get("GPU") else 0.0
        largest = max(node.get("CPU", 1.0) for node in nodes)
        share = min(largest, cluster.get("CPU", 1.0) // concurrent_trials(request))
        self.cpus = required.cpus if self.gpus else max(required.cpus, share)
        if not any(node.get("CPU", 0.0) >= self.cpus and node.get("GPU", 0.0) >= self.gpus for node in nodes):
            raise LeighError(
                f"A trial requests {self.cpus:g} CPUs and {self.gpus:g} GPUs on one machine, but the largest has "
                f"{largest:g} and {max(node.get('GPU', 0.0) for node in nodes):g}; request fewer resources."
            )
        self.max_memory = max(node.get("memory", 0.0) for node in nodes)
        # Tune pickles this object for every worker, so it must not hold the images.
        self.space, self.data = request.space, request.data
        if not self.gpus and required.memory_gib is None:
            try:  # checked early, since unreadable data is not the fault of a trial
                _load_data(self.data)
            except (LeighError, OSError) as error:
                raise LeighError(halt_reason(error)) from None

    def memory_bytes(self, config: dict[str, Any]) -> int:
        """Main memory of a trial in bytes; 0 on a GPU, where batches are kept elsewhere, unless it is set."""
        space = self.space
        if space.resources.memory_gib is not None:
            return int(space.resources.memory_gib * 2**30)
        settings = TrainingSettings.from_flat(trial_hyperparameters(config))
        return (
            0 if self.gpus else estimate_trial_memory(space.family, settings, _load_data(self.data), folds=space.folds)
        )

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Placement group that Tune reserves for a trial."""
        bundle = {"CPU": self.cpus, "memory": self.memory_bytes(config)} | ({"GPU": self.gpus} if self.gpus else {})
        return tune.PlacementGroupFactory([bundle])

    def check(self, config: dict[str, Any]) -> None:
        """Refuse a trial that does not fit on any machine and would wait for ever.

        Raises:
            LeighError: The trial needs more memory than the largest machine has.
        """
        if (memory := self.memory_bytes(config)) > self.max_memory:
            raise LeighError(
                f"It needs {memory / 2**30:.1f} GiB of memory, but the largest machine offers "
                f"{self.max_memory / 2**30:.1f}; lower batch_size, or set resources.memory_gib."
            )

    def check_resumed(self, trial: Trial) -> None:
        """Refuse to resume if a trial that already ran does not fit into the memory that is free now.

        Raises:
            LeighError: The trial does not fit, as other programs use the memory or the machine is a smaller one.
        """
        if trial.epochs and (memory := self.memory_bytes(trial.config)) > self.max_memory:
            raise LeighError(
                f"{trial.name} needs {memory / 2**30:.1f} GiB of memory, but the largest machine has "
                f"{self.max_memory / 2**30:.1f} free; free memory, then continue with --resume."
            )


@functools.lru_cache(maxsize=1)
def _load_data(data: Path) -> PreparedData:
    return PreparedData.load(data)
