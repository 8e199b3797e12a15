"""Searches on Ray Tune, in a process of their own: what happens to it never reaches the driver's records."""

import errno
import functools
import json
import logging
import math
import os
import queue
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.search import BasicVariantGenerator, Searcher

from leigh_mlops.errors import LeighError
from leigh_mlops.sampling import draw
from leigh_mlops.settings import Choice, Range, SearchSpace, TrainingSettings
from leigh_mlops.training import PreparedData, memory_of, run_trial, save_checkpoint
from leigh_mlops.trials import Event, Trial

__all__ = ["STOP", "SearchRequest", "ray_cluster", "run_search", "serve"]

STOP = "stop"
NUMBER, CHECKPOINT = "trial.number", "trial.checkpoint"
_BEST = "best.json"
_DEATHS = 3
_HEARTBEAT_S = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOST = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS)

Tell = Callable[[Event], None]


@dataclass(frozen=True)
class SearchRequest:
    """One family's search, or what is left of it.

    Attributes:
        space: What is varied and how the best is chosen.
        data: Folder of prepared data that every worker sees.
        folder: New folder for trials and checkpoints that every worker sees.
        seed: Of the sampling and of every trial's training.
        workers: Most trials at once; by default as many as the cluster holds.
        time_budget_s: All trials end after so many seconds.
        trials: What is known of earlier trials; those that are not over go on from their checkpoints.
    """

    space: SearchSpace
    data: Path
    folder: Path
    seed: int = 0
    workers: int | None = None
    time_budget_s: float | None = None
    trials: list[Trial] = field(default_factory=list)


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


def serve(connection: Connection, address: str | None, workers: int | None, verbose: bool) -> None:
    """Run the searches that come through a pipe and send back what happens; the target of a process.

    It leads a process group of its own, so that Ctrl-C reaches the driver alone, and ends when the driver does.
    """
    os.setsid()
    requests: queue.SimpleQueue[SearchRequest] = queue.SimpleQueue()
    stop = threading.Event()
    sending = threading.Lock()

    def tell(event: Event) -> None:
        with sending:
            connection.send(event)

    def listen() -> None:
        try:
            while True:
                message = connection.recv()
                stop.set() if message == STOP else requests.put(message)
        finally:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=listen, daemon=True).start()
    try:
        with ray_cluster(address, workers=workers, verbose=verbose):
            threading.Thread(target=_heartbeat, args=(tell,), daemon=True).start()
            for _ in range(int(ray.cluster_resources().get("CPU", 1)) if address is None else 0):
                ray.remote(_warm).remote()
            while True:
                tell({"what": "done", "how": run_search(requests.get(), tell, stop)})
    except LeighError as error:
        tell({"what": "refused", "reason": str(error)})
    except Exception as error:
        if verbose:
            traceback.print_exc()
        tell(_last_words(error))


def _last_words(error: Exception) -> Event:
    if _is_full(error):
        return {"what": "refused", "reason": _full_disk(error)}
    # Ray's own processes may be gone: the driver starts all of it again.
    return {"what": "broken", "reason": f"{type(error).__name__}: {error}".strip().splitlines()[-1]}


def _is_full(error: BaseException) -> bool:
    """Whether a full disk is behind it; those who wrap an error may keep no more than its words."""
    words = [os.strerror(code) for code in _FULL]
    return any(
        getattr(each, "errno", None) in _FULL or any(word in str(each) for word in words)
        for each in (error, error.__cause__, error.__context__)
    )


def _full_disk(error: BaseException) -> str:
    reason = (str(error) or type(error).__name__).strip().splitlines()[-1]
    return f"The disk is full ({reason}); make space, then go on with --resume."


def _warm() -> None:
    """Nothing: to find it, a worker imports this module, which takes longer than to begin a trial."""


def _heartbeat(tell: Tell) -> None:
    """Says that the cluster answers; without its control process a search would wait for ever."""
    with suppress(Exception):  # whatever it is, the silence tells the driver
        while any(node["Alive"] for node in ray.nodes()):
            tell({"what": "alive"})
            threading.Event().wait(_HEARTBEAT_S)


def run_search(request: SearchRequest, tell: Tell, stop: threading.Event | None = None) -> str:
    """Search one family on the cluster that is connected.

    Args:
        request: What to search.
        tell: Hears of every trial ``drawn``, of every ``epoch`` whose checkpoint is on the disk, and how trials
            ``ended``.
        stop: Once set, no trial begins and those that run end with their epoch; they are not told as ended.

    Returns:
        ``complete``, ``time`` where the time budget ended it, or ``stopped``.

    Raises:
        LeighError: The disk is full; a machine can't read the data; or no machine can hold a trial, or what an
            earlier search began of one.
    """
    space, stop = request.space, stop or threading.Event()
    relay, resources = _Relay(request, tell, stop), _Resources(request)
    for trial in relay.left():
        resources.check_again(trial)
    whole = space.algorithm == "pbt"
    members = _population(relay, resources) if whole else {}
    if not relay.left() and len(relay.trials) >= space.trials:
        return relay.close()
    tuner = tune.Tuner(
        tune.with_resources(_trainable(request), resources),
        param_space=members,
        tune_config=tune.TuneConfig(
            metric=space.metric,
            mode=space.mode,
            num_samples=1 if whole else space.trials + len(relay.left()),
            search_alg=BasicVariantGenerator() if whole else _Drawing(relay, resources),
            scheduler=_scheduler(request),
            max_concurrent_trials=None if whole else _concurrent(request),
            time_budget_s=request.time_budget_s,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: f"{space.family}-{trial.config[NUMBER]}",
        ),
        run_config=tune.RunConfig(
            name=request.folder.name,
            storage_path=str(request.folder.parent),
            verbose=0,
            callbacks=[relay],
            stop=relay,
            failure_config=tune.FailureConfig(max_failures=-1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=_kept(space)),
        ),
    )
    tuner.fit()
    return relay.close()


def _trainable(request: SearchRequest) -> Callable[[dict[str, Any]], None]:
    return functools.partial(_trial, space=request.space, data=str(request.data), seed=request.seed)


def _trial(config: dict[str, Any], *, space: SearchSpace, data: str, seed: int) -> None:
    """Runs in a worker; what goes wrong by itself would go wrong again, and is a result."""
    try:
        prepared = PreparedData.load(Path(data))
    except (LeighError, OSError) as error:
        tune.report({space.metric: math.nan, "failed": str(error), "trace": "", "halt": _halt(error)})
        return
    try:
        _run(config, space, prepared, seed)
    except Exception as error:
        ill = _is_full(error) or getattr(error, "errno", None) in _LOST
        trace = "" if isinstance(error, LeighError) else traceback.format_exc()
        failed = " ".join(str(error).split()) or type(error).__name__
        report = {"failed": failed, "trace": trace, "halt": _halt(error) if ill else ""}
        tune.report({space.metric: math.nan} | report)


def _halt(error: Exception) -> str:
    """Why a machine can't run any trial."""
    if _is_full(error):
        return _full_disk(error)
    return f"{socket.gethostname()}: {' '.join(str(error).split()).rstrip('.')}; mend it, then go on with --resume."


def _run(config: dict[str, Any], space: SearchSpace, data: PreparedData, seed: int) -> None:
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    hyperparameters = {key: value for key, value in config.items() if key not in (NUMBER, CHECKPOINT)}
    resumed = tune.get_checkpoint()
    start = Path(resumed.path) if resumed else Path(config[CHECKPOINT]) if config[CHECKPOINT] else None
    best = json.loads((start / _BEST).read_text()) if start else {}
    epochs = run_trial(
        space.family,
        TrainingSettings.from_flat(hyperparameters),
        data,
        metric=space.metric,
        mode=space.mode,
        seed=seed,
        checkpoint=start,
        folds=space.folds,
    )
    for epoch in epochs:
        for objective in space.all_objectives:
            if objective.metric not in epoch.metrics:
                raise LeighError(
                    f"{objective.metric!r} is no score of {space.family}; choose one of {', '.join(epoch.metrics)}."
                )
        if epoch.state.best_epoch == epoch.number:
            best = epoch.metrics
        with tempfile.TemporaryDirectory() as temporary:
            save_checkpoint(epoch.state, Path(temporary))
            (Path(temporary) / _BEST).write_text(json.dumps(best))
            report = {"epoch": epoch.number, "best_epoch": epoch.state.best_epoch, "best": best}
            report |= {"metrics": epoch.metrics} | {space.metric: epoch.metrics[space.metric]}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(temporary))


def _concurrent(request: SearchRequest) -> int:
    """How many trials run at once: as many as the cluster holds, where nobody says less."""
    cluster, wanted = ray.cluster_resources(), request.space.resources
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    fit = int(gpus / wanted.gpus) if gpus and wanted.gpus else int(cpus // wanted.cpus)
    return max(1, min(request.workers or fit, fit, request.space.trials))


class _Resources:
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
        share = min(largest, cluster.get("CPU", 1.0) // _concurrent(request))
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
                raise LeighError(_halt(error)) from None

    def memory(self, config: dict[str, Any]) -> int:
        """Bytes of the machine's memory; on a GPU, where batches lie elsewhere, none are asked for."""
        space = self.space
        if space.resources.memory_gib is not None:
            return int(space.resources.memory_gib * 2**30)
        hyperparameters = {key: value for key, value in config.items() if key not in (NUMBER, CHECKPOINT)}
        settings = TrainingSettings.from_flat(hyperparameters)
        return 0 if self.gpus else memory_of(space.family, settings, _loaded(self.data), folds=space.folds)

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
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


def _scheduler(request: SearchRequest) -> TrialScheduler:
    if request.space.algorithm == "pbt":
        return _Population(request)
    return FIFOScheduler() if request.space.early_stopping == "none" else _Halving(request)


class _Halving(ASHAScheduler):  # type: ignore[misc]
    """Successive halving in which what earlier trials reached decides on later ones."""

    def __init__(self, request: SearchRequest) -> None:
        space, epochs = request.space, _epochs(request.space)
        super().__init__(time_attr="epoch", max_t=epochs, grace_period=max(1, epochs // 5), reduction_factor=3)
        self._family, sign = space.family, 1 if space.mode == "max" else -1
        for trial in request.trials:
            for number, metrics in enumerate(trial.epochs, start=1):
                self._brackets[0].on_result(SimpleNamespace(trial_id=trial.name), number, sign * metrics[space.metric])

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401
        """A trial that goes on is the one that is known, not one more."""
        super().on_trial_add(tune_controller, trial)
        name = f"{self._family}-{trial.config[NUMBER]}"
        for _, reached in self._brackets[0]._rungs:
            if name in reached:
                reached[trial.trial_id] = reached.pop(name)


class _Population(PopulationBasedTraining):  # type: ignore[misc]
    """Population-based training whose members wait for each other, but not for one that is over."""

    def __init__(self, request: SearchRequest) -> None:
        space, interval = request.space, _interval(request.space)
        super().__init__(
            time_attr="epoch",
            perturbation_interval=interval,
            hyperparam_mutations={
                key: _domain(domain) for key, domain in space.space.items() if key in TrainingSettings.MUTABLE
            },
            custom_explore_fn=functools.partial(_inside, space=space),
            synch=True,
        )
        # Members that go on stand at different epochs; they meet where none has been.
        done = max((len(trial.epochs) for trial in request.trials if not trial.over), default=0)
        self._next_perturbation_sync = interval * (done // interval + 1)

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401
        """A member that goes on, or starts again, runs up to where all meet."""
        super().on_trial_add(tune_controller, trial)
        self._trial_state[trial].last_perturbation_time = self._next_perturbation_sync - self._perturbation_interval

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401
        """Nobody waits for it; Tune adds one that starts again after this."""
        tune_controller.get_live_trials().discard(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:  # noqa: ANN401
        """Where all wait for one that is over, they go on as if the last of them had just come."""
        chosen = super().choose_trial_to_run(tune_controller)
        left = [trial for trial in tune_controller.get_trials() if not trial.is_finished()]
        if chosen is None and left and all(trial.status == TuneTrial.PAUSED for trial in left):
            super().on_trial_result(tune_controller, left[0], left[0].last_result)
            chosen = super().choose_trial_to_run(tune_controller)
        return chosen

    def _quantiles(self) -> tuple[list[TuneTrial], list[TuneTrial]]:
        # One that took over another's later epoch would have a gap among its own.
        worst, best = (
            [trial for trial in part if self._trial_state[trial].last_train_time == self._next_perturbation_sync]
            for part in super()._quantiles()
        )
        return (worst, best) if best else ([], [])


def _interval(space: SearchSpace) -> int:
    """Epochs between two meetings of a population."""
    return max(1, _epochs(space) // 5)


def _kept(space: SearchSpace) -> int:
    """Checkpoints of a trial that stay: a member may still start from one of the last meeting at the next."""
    return max(3, _interval(space) + 2) if space.algorithm == "pbt" else 3


def _epochs(space: SearchSpace) -> int:
    return int(space.published.get("epochs", TrainingSettings().epochs))


def _domain(domain: Choice | Range) -> Any:  # noqa: ANN401
    if isinstance(domain, Choice):
        return list(domain.values)
    if domain.integer:
        sample = tune.lograndint if domain.log else tune.randint
        return sample(int(domain.low), int(domain.high) + 1)
    return (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)


def _inside(config: dict[str, Any], space: SearchSpace) -> dict[str, Any]:
    """A population's changes stay within the space."""
    for key, domain in space.space.items():
        if isinstance(domain, Range) and key in TrainingSettings.MUTABLE:
            config[key] = type(config[key])(min(max(config[key], domain.low), domain.high))
    return config


class _Relay(tune.Callback, tune.Stopper):  # type: ignore[misc]
    """Tells what Tune reports, keeps it, and stops trials where it is asked to."""

    def __init__(self, request: SearchRequest, tell: Tell, stop: threading.Event) -> None:
        self.request, self.space, self._tell, self.stopping = request, request.space, tell, stop
        self.trials = {trial.number: trial for trial in request.trials}
        # A member of a population that goes on from another takes over its configuration, number included.
        self._numbers: dict[str, int] = {}
        self._deaths: Counter[int] = Counter()
        self._deadline = time.monotonic() + (request.time_budget_s or math.inf)
        self._halt = ""
        self._idle = False

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles what it is given with the search; whoever listens lives in this process alone.
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial ends with this result."""
        return self.stopping.is_set() or "failed" in result

    def stop_all(self) -> bool:
        """Whether all trials end now."""
        return bool(self._halt) or self._idle

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:  # noqa: ANN401
        """Once asked to stop, nobody waits for trials that do not run."""
        self._idle = self.stopping.is_set() and not any(trial.status == TuneTrial.RUNNING for trial in trials)

    def tell(self, what: str, number: int, **facts: Any) -> None:  # noqa: ANN401
        """Pass on what is new."""
        event = {"what": what, "family": self.space.family, "number": number} | facts
        if what == "drawn":
            self.trials[number] = Trial(self.space.family, number, facts["config"])
        elif not self.trials[number].take(event):
            return
        if what == "ended":
            event["seconds"] = self.trials[number].seconds
        self._tell(event)

    def left(self) -> list[Trial]:
        """Trials that were drawn and are not over."""
        return [trial for trial in self.trials.values() if not trial.over]

    def draw(self) -> Trial | None:
        """The next trial, if there is one."""
        number = len(self.trials) + 1
        if number > self.space.trials:
            return None
        config = draw(self.space, number, self.trials.values(), seed=self.request.seed)
        self.tell("drawn", number, config=config)
        return self.trials[number]

    def _number(self, trial: TuneTrial) -> int:
        return self._numbers.setdefault(trial.trial_id, trial.config[NUMBER])

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        self._number(trial)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,  # noqa: ANN401
    ) -> None:
        number = self._number(trial)
        if result.get("halt"):
            self._halt = result["halt"]
        elif "failed" in result:
            self.tell("ended", number, state="failed", error=result["failed"], trace=result["trace"])
        else:
            config = {key: value for key, value in trial.config.items() if key not in (NUMBER, CHECKPOINT)}
            facts = {key: result[key] for key in ("epoch", "metrics", "best_epoch", "best")}
            place = Path(trial.storage.trial_fs_path, result["checkpoint_dir_name"])
            self.tell("epoch", number, config=config, checkpoint=str(place), **facts)
            self._deaths[number], trial.max_failures = 0, -1

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        self._deaths[self._number(trial)] += 1
        if self._deaths[self._number(trial)] >= _DEATHS - 1:
            trial.max_failures = 0

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        if not self.stopping.is_set() and not self._halt:
            self.tell("ended", self._number(trial), state="finished")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        number = self._number(trial)
        epoch = len(self.trials[number].epochs) + 1
        error = f"its worker died {_DEATHS} times in epoch {epoch}, as it does where memory runs out"
        self.tell("ended", number, state="failed", error=error)

    def close(self) -> str:
        """Say how the search ended.

        Raises:
            LeighError: A machine can't run any trial.
        """
        if self._halt:
            raise LeighError(self._halt)
        if self.stopping.is_set():
            return "stopped"
        if time.monotonic() < self._deadline:
            return "complete"
        for trial in self.left():
            if trial.epochs:
                self.tell("ended", trial.number, state="finished", stopped="time budget")
            else:
                self.tell("ended", trial.number, state="failed", error="the time ended before its first epoch")
        return "time"


def _tuned(trial: Trial) -> dict[str, Any]:
    # Tune may have been further than the journal, and have deleted what that names: the trial starts over.
    kept = trial.checkpoint if trial.checkpoint and (trial.checkpoint / "state.json").exists() else ""
    return trial.config | {NUMBER: trial.number, CHECKPOINT: str(kept)}


class _Drawing(Searcher):  # type: ignore[misc]
    """Gives Tune first the trials that an earlier search began, then new ones."""

    def __init__(self, relay: _Relay, resources: _Resources) -> None:
        super().__init__()
        self._relay, self._resources = relay, resources
        self._waiting = relay.left()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:  # noqa: ANN401
        """Metric and mode are the space's."""
        return True

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401
        """The next configuration, or that there is none."""
        while not self._relay.stopping.is_set():
            trial = self._waiting.pop(0) if self._waiting else self._relay.draw()
            if trial is None:
                break
            try:
                self._resources.check(trial.config)
            except LeighError as error:
                self._relay.tell("ended", trial.number, state="failed", error=str(error))
            else:
                return _tuned(trial)
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The relay has heard of it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what was drawn stands in the journal."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search goes on from its journal."""


def _population(relay: _Relay, resources: _Resources) -> dict[str, Any]:
    """A population is drawn as a whole, since its members are compared with each other."""
    while relay.draw():
        pass
    for trial in relay.left():
        try:
            resources.check(trial.config)
        except LeighError as error:
            relay.tell("ended", trial.number, state="failed", error=str(error))
    members = {trial.number: _tuned(trial) for trial in relay.left()}
    keys = sorted({key for member in members.values() for key in member} - {NUMBER})
    chosen = {key: tune.sample_from(functools.partial(_of_member, members=members, key=key)) for key in keys}
    return {NUMBER: tune.grid_search(list(members))} | chosen


def _of_member(spec: Any, members: dict[int, dict[str, Any]], key: str) -> Any:  # noqa: ANN401
    return members[spec.config[NUMBER]][key]
