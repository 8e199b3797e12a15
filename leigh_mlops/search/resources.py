"""What trials get of the machines."""

import functools
from pathlib import Path
from typing import Any

import ray
import torch._dynamo  # noqa: F401  # which the first estimate of memory would import while everybody waits
from ray import tune

from leigh_mlops.errors import LeighError
from leigh_mlops.search.failures import halt
from leigh_mlops.search.request import SearchRequest
from leigh_mlops.search.trial import hyperparameters_of
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import PreparedData, memory_of
from leigh_mlops.trials import Trial

__all__ = ["Resources", "concurrent"]


def concurrent(request: SearchRequest) -> int:
    """How many trials run at once: as many as the cluster holds, where nobody says less."""
    cluster, wanted = ray.cluster_resources(), request.space.resources
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    fit = int(gpus / wanted.gpus) if gpus and wanted.gpus else int(cpus // wanted.cpus)
    return max(1, min(request.workers or fit, fit, request.space.trials))


class Resources:
    """What a trial gets by its configuration; idle cores go to the trials that run.

    Raises:
        LeighError: No machine has the cores and GPUs that a trial asks for, which would wait for ever; or the data
            can't be read.
    """

    def __init__(self, request: SearchRequest) -> None:
        cluster, wanted = ray.cluster_resources(), request.space.resources
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.gpus = wanted.gpus if cluster.get("GPU") else 0.0
        largest = max(node.get("CPU", 1.0) for node in nodes)
        share = min(largest, cluster.get("CPU", 1.0) // concurrent(request))
        self.cpus = wanted.cpus if self.gpus else max(wanted.cpus, share)
        if not any(node.get("CPU", 0.0) >= self.cpus and node.get("GPU", 0.0) >= self.gpus for node in nodes):
            raise LeighError(
                f"A trial asks for {self.cpus:g} CPUs and {self.gpus:g} GPUs of one machine, and the largest has "
                f"{largest:g} and {max(node.get('GPU', 0.0) for node in nodes):g}; make resources smaller."
            )
        self.most_memory = max(node.get("memory", 0.0) for node in nodes)
        # Tune pickles it with what is sent to every worker, so the images themselves stay out.
        self.space, self.data = request.space, request.data
        if not self.gpus and wanted.memory_gib is None:
            try:  # at once, since what can't be read is no trial's fault
                _loaded(self.data)
            except (LeighError, OSError) as error:
                raise LeighError(halt(error)) from None

    def memory(self, config: dict[str, Any]) -> int:
        """Bytes of the machine's memory; on a GPU, where batches lie elsewhere, none are asked for."""
        space = self.space
        if space.resources.memory_gib is not None:
            return int(space.resources.memory_gib * 2**30)
        settings = TrainingSettings.from_flat(hyperparameters_of(config))
        return 0 if self.gpus else memory_of(space.family, settings, _loaded(self.data), folds=space.folds)

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What Tune reserves for a trial."""
        bundle = {"CPU": self.cpus, "memory": self.memory(config)} | ({"GPU": self.gpus} if self.gpus else {})
        return tune.PlacementGroupFactory([bundle])

    def check(self, config: dict[str, Any]) -> None:
        """Refuse a trial that no machine could hold, which would wait for ever.

        Raises:
            LeighError: It asks for more memory than the largest machine has.
        """
        if (memory := self.memory(config)) > self.most_memory:
            raise LeighError(
                f"It asks for {memory / 2**30:.1f} GiB of memory, and the largest machine gives "
                f"{self.most_memory / 2**30:.1f}; make batch_size smaller, or set resources.memory_gib."
            )

    def check_again(self, trial: Trial) -> None:
        """Refuse to go on where a trial that ran already does not fit into the memory that is free now.

        Raises:
            LeighError: Other programs use the memory, or the machine is a smaller one.
        """
        if trial.epochs and (memory := self.memory(trial.config)) > self.most_memory:
            raise LeighError(
                f"{trial.name} needs {memory / 2**30:.1f} GiB of memory, and the largest machine has "
                f"{self.most_memory / 2**30:.1f} free; free memory, then go on with --resume."
            )


@functools.lru_cache(maxsize=1)
def _loaded(data: Path) -> PreparedData:
    return PreparedData.load(data)
