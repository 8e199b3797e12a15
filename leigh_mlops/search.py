"""One family's search on Ray Tune: a trial wraps the training loop, a listener hears of its epochs."""

import functools
import logging
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import SearchAlgorithm, Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import Range, SearchSpace, TrainingSettings
from leigh_mlops.training import PreparedData, run_trial, save_checkpoint

__all__ = ["Listener", "TrialResult", "ray_cluster", "run_search", "state_folder"]


class Listener(Protocol):
    """Hears, in the driver's process, what trials do."""

    def started(self, trial: str, number: int, config: dict[str, Any]) -> None:
        """A trial begins, or begins again; numbers count from 1 in the order in which trials are drawn."""

    def epoch_done(self, trial: str, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has finished an epoch."""

    def ended(self, trial: str, error: str | None) -> None:
        """A trial is over; ``error`` says why where it failed."""


@dataclass
class TrialResult:
    """One trial of a search.

    Attributes:
        trial: Its id.
        number: Its place, from 1, in the order in which trials were drawn; 1 is the published configuration.
        config: Flat hyperparameters.
        epochs: Metrics of every epoch, in order.
        best_epoch: The epoch that is kept, from 1; 0 where there is none.
        checkpoint: Folder with its last state and best weights.
        error: Why it failed, if it did.
    """

    trial: str
    number: int
    config: dict[str, Any]
    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    checkpoint: Path | None = None
    error: str | None = None

    @property
    def best(self) -> dict[str, float]:
        """Metrics of the epoch that is kept."""
        return self.epochs[self.best_epoch - 1] if self.best_epoch else {}


def state_folder() -> Path:
    """Private folder of running searches, outside store and artifacts: Ray keeps pickles of its own there."""
    default = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "leigh_mlops"
    folder = Path(os.environ.get("LEIGH_STATE", default)).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def ray_cluster(address: str | None = None, *, workers: int | None = None, verbose: bool = False) -> Iterator[None]:
    """Connect to a cluster, or start a local one with a CPU for each worker, and leave it at the end.

    Raises:
        LeighError: The address does not answer.
    """
    # Ray counts the cores that a container may use; more workers than cores are the user's wish.
    cpus = workers if workers and not address and workers > len(os.sched_getaffinity(0)) else None
    # A trial that fails is told by its listener.
    level = logging.INFO if verbose else logging.CRITICAL
    try:
        ray.init(
            address=address,
            num_cpus=cpus,
            include_dashboard=False if address is None else None,
            log_to_driver=verbose,
            logging_level=level,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LeighError(f"The Ray cluster {address or 'of this machine'} can't be used ({error}); check it.") from None
    logging.getLogger("ray.tune").setLevel(level)
    logging.getLogger("ray.data").setLevel(level)
    try:
        yield
    finally:
        ray.shutdown()


def run_search(
    space: SearchSpace,
    data: Path,
    *,
    folder: Path,
    listener: Listener,
    seed: int = 0,
    workers: int | None = None,
    time_budget_s: float | None = None,
) -> list[TrialResult]:
    """Search one family on the cluster that is connected.

    Args:
        space: What is varied and how the best is chosen.
        data: Folder of prepared data that every worker sees.
        folder: New folder for trials and checkpoints.
        listener: Hears of every epoch.
        seed: Of the sampling and of every trial's training.
        workers: Most trials at once; by default as many as the cluster holds.
        time_budget_s: All trials end after so many seconds.

    Returns:
        All trials in the order in which they were drawn.

    Raises:
        KeyboardInterrupt: The user stopped the search.
    """
    relay = _Relay(listener, space)
    resources, concurrent = _resources(space, workers)
    trainable = functools.partial(_trial, space=space, data=str(data), seed=seed)
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space=_param_space(space),
        tune_config=tune.TuneConfig(
            metric=space.metric,
            mode=space.mode,
            num_samples=space.trials,
            search_alg=_algorithm(space, seed, concurrent),
            scheduler=_scheduler(space),
            max_concurrent_trials=concurrent,
            time_budget_s=time_budget_s,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            verbose=0,
            callbacks=[relay],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    with _clean_stop() as stopped:
        grid = tuner.fit()
    for result in grid:
        if result.checkpoint is not None:
            relay.results[Path(result.path).name].checkpoint = Path(result.checkpoint.path)
    if stopped():
        raise KeyboardInterrupt
    return sorted(relay.results.values(), key=lambda result: result.number)


def _trial(config: dict[str, Any], *, space: SearchSpace, data: str, seed: int) -> None:
    """Runs in a worker."""
    prepared = PreparedData.load(Path(data))
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    settings = TrainingSettings.from_flat(config)
    resumed = tune.get_checkpoint()
    epochs = run_trial(
        space.family,
        settings,
        prepared,
        metric=space.metric,
        mode=space.mode,
        seed=seed,
        checkpoint=Path(resumed.path) if resumed else None,
    )
    for epoch in epochs:
        with tempfile.TemporaryDirectory() as temporary:
            save_checkpoint(epoch.state, Path(temporary))
            report = epoch.metrics | {"epoch": epoch.number, "best_epoch": epoch.state.best_epoch}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(temporary))


def _resources(space: SearchSpace, workers: int | None) -> tuple[dict[str, float], int]:
    """What each trial gets, and how many run at once: idle cores go to the trials that run."""
    cluster = ray.cluster_resources()
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    wanted = space.resources.gpus if gpus else 0.0
    fit = int(gpus / wanted) if wanted else int(cpus // space.resources.cpus)
    concurrent = max(1, min(workers or fit, fit, space.trials))
    largest = max(node["Resources"].get("CPU", 1.0) for node in ray.nodes())
    share = max(space.resources.cpus, min(largest, cpus // concurrent)) if not wanted else space.resources.cpus
    return {"cpu": share} | ({"gpu": wanted} if wanted else {}), concurrent


def _param_space(space: SearchSpace) -> dict[str, Any]:
    return space.published | {key: _domain(domain) for key, domain in space.space.items()}


def _domain(domain: Range | list[Any]) -> Any:  # noqa: ANN401
    if isinstance(domain, list):
        return tune.choice(domain)
    if domain.integer:
        sample = tune.lograndint if domain.log else tune.randint
        return sample(int(domain.low), int(domain.high) + 1)
    return (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)


def _algorithm(space: SearchSpace, seed: int, concurrent: int) -> SearchAlgorithm | Searcher:
    """Each begins with the published configuration."""
    published = [{key: space.published[key] for key in space.space}]
    if space.algorithm == "random" or not space.space:
        return BasicVariantGenerator(published if space.space else None, max_concurrent=concurrent, random_state=seed)
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaSearch(points_to_evaluate=published, seed=seed)


def _scheduler(space: SearchSpace) -> TrialScheduler:
    if space.early_stopping == "none":
        return FIFOScheduler()
    epochs = int(space.published.get("epochs", TrainingSettings().epochs))
    return ASHAScheduler(max_t=epochs, grace_period=max(1, epochs // 5), reduction_factor=3)


@contextmanager
def _clean_stop() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into Tune's clean stop (SIGUSR1), which saves what runs; a second one stops at once."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        os.kill(os.getpid(), signal.SIGUSR1)

    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Relay(tune.Callback):  # type: ignore[misc]
    """Hands what Tune reports to a listener, and keeps it."""

    def __init__(self, listener: Listener, space: SearchSpace) -> None:
        self.listener = listener
        self.space = space
        self.results: dict[str, TrialResult] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks with the search; whoever listens lives in this process alone.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ANN401
        number = 1 + [each.trial_id for each in trials].index(trial.trial_id)
        if trial.trial_id not in self.results:
            self.results[trial.trial_id] = TrialResult(trial.trial_id, number, dict(trial.config))
        self.listener.started(trial.trial_id, number, dict(trial.config))

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,  # noqa: ANN401
    ) -> None:
        kept = self.results[trial.trial_id]
        metrics = {key: float(value) for key, value in result.items() if key.startswith(("train/", "val/"))}
        if result["epoch"] > len(kept.epochs):
            kept.epochs.append(metrics)
            self.listener.epoch_done(trial.trial_id, result["epoch"], metrics)
        kept.best_epoch = result["best_epoch"]

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ANN401
        self.listener.ended(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ANN401
        error = _last_line(trial.error_file)
        self.results[trial.trial_id].error = error
        self.listener.ended(trial.trial_id, error)


def _last_line(file: str | None) -> str:
    """What a traceback ends with; Tune leaves it in a file of its own folder."""
    text = Path(file).read_text() if file else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"^[\w.]*Error: ", "", lines[-1]) if lines else "the worker is gone"
