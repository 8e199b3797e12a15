"""Resources of the machines that trials reserve."""

import functools
import os
from pathlib import Path
from typing import Any

import ray
from ray import tune

from leigh_mlops.errors import LeighError
from leigh_mlops.search.core_division import divide_cores
from leigh_mlops.search.machine_faults import halt_reason
from leigh_mlops.search.request import THREADS_KEY, SearchRequest
from leigh_mlops.search.trainable import trial_hyperparameters
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import PreparedData, estimate_trial_memory
from leigh_mlops.trials import Trial

__all__ = ["Resources", "TrialCores", "concurrent_trials"]


def concurrent_trials(request: SearchRequest) -> int:
    """Number of concurrent trials: as many as the cluster holds, unless the request limits it."""
    return min(_places(request), request.space.trials)


def _places(request: SearchRequest) -> int:
    """Number of trials that would run at once if there were enough of them."""
    cluster, required = ray.cluster_resources(), request.space.resources
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    fit = int(gpus / required.gpus) if gpus and required.gpus else int(cpus // required.cpus)
    return max(1, min(request.workers or fit, fit))


class TrialCores:
    """Cores and GPUs of a trial; cores without a trial are shared among the others.

    Raises:
        LeighError: No machine has the cores and GPUs that a trial asks for, so that it would wait for ever.
    """

    def __init__(self, request: SearchRequest) -> None:
        cluster, required = ray.cluster_resources(), request.space.resources
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.gpus = required.gpus if cluster.get("GPU") else 0.0
        self.cores, self.largest = cluster.get("CPU", 1.0), max(node.get("CPU", 1.0) for node in nodes)
        self.places, self.needed = _places(request), required.cpus
        if not any(node.get("CPU", 0.0) >= required.cpus and node.get("GPU", 0.0) >= self.gpus for node in nodes):
            raise LeighError(
                f"A trial requests {required.cpus:g} CPUs and {self.gpus:g} GPUs on one machine, but the largest has "
                f"{self.largest:g} and {max(node.get('GPU', 0.0) for node in nodes):g}; request fewer resources."
            )

    def choose_threads(self, trials: int) -> int:
        """Choose the threads of a new trial when so many have not ended, at most a whole number in OMP_NUM_THREADS."""
        cores = self.needed
        if not self.gpus:
            cores = divide_cores(self.cores, self.largest, trials, self.places, self.needed)
        limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        return max(1, min(int(cores), int(limit) if limit.isdecimal() else int(cores)))

    def reserved_cores(self, threads: int) -> float:
        """Cores that a trial with so many threads reserves."""
        return self.needed if threads == 1 or self.gpus else max(self.needed, min(self.largest, threads))


class Resources:
    """Resources of a trial by its configuration.

    Raises:
        LeighError: As :class:`TrialCores`; or the data can't be read.
    """

    def __init__(self, request: SearchRequest) -> None:
        self.cores = TrialCores(request)
        self.max_memory = max(node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"])
        # Tune pickles this object for every worker, so it must not hold the images.
        self.space, self.data = request.space, request.data
        if not self.cores.gpus and self.space.resources.memory_gib is None:
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
        if self.cores.gpus:
            return 0
        return estimate_trial_memory(space.family, settings, _load_data(self.data), folds=space.folds)

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """Placement group that Tune reserves for a trial."""
        bundle = {"CPU": self.cores.reserved_cores(config[THREADS_KEY]), "memory": self.memory_bytes(config)}
        return tune.PlacementGroupFactory([bundle | ({"GPU": self.cores.gpus} if self.cores.gpus else {})])

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
