"""A search's process that trains nothing: epochs give scores by number, and checkpoints are small files."""

import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.nights.disk import Disk
from benchmarks.nights.faults import Fault
from leigh_mlops.events import Drawn, Ended, EpochDone, Outcome, TrialEvent
from leigh_mlops.search.request import (
    STOP,
    Heartbeat,
    Message,
    ProcessFailure,
    SearchCompletion,
    SearchPlan,
    SearchRefusal,
    SearchRequest,
    SearchStart,
    StartFailure,
)
from leigh_mlops.trials import Trial, update_trials

__all__ = ["EPOCHS", "FAILING", "METRIC", "SimulatedProcess", "read_checkpoint", "score"]

EPOCHS = 3
FAILING = 2
"""Number of the trial that fails by itself in its second epoch."""
METRIC = "val/mse"
_WORKERS = 2
_KEPT_CHECKPOINTS = 3
_EPOCH_S = 20.0
_START_S = 10.0
_SILENCE_S = 120.0
_MOST_AHEAD = 4


def score(number: int, epoch: int) -> float:
    """Score of an epoch, the same in every night."""
    return random.Random(f"score {number} {epoch}").random()


@dataclass
class Trainer:
    """Trials of one request behind the pipe, at most two at a time.

    Attributes:
        request: The search.
        disk: Disk of the checkpoints.
        messages: What was sent and not yet received.
    """

    request: SearchRequest
    disk: Disk
    messages: deque[Message] = field(default_factory=deque)
    must_stop: bool = False
    is_over: bool = False

    def __post_init__(self) -> None:
        self.messages.append(SearchStart(self.request.space.family, None))
        self.trials = {trial.number: trial for trial in self.request.trials}
        self._waiting = [trial for trial in self.trials.values() if not trial.has_ended]
        self._epochs: dict[int, int] = {}  # of the trials that run

    def advance(self) -> None:
        """Do the next thing: start a trial, finish an epoch, or end."""
        dice = self.disk.world.dice
        if self.is_over:
            return
        trial = None if self.must_stop or len(self._epochs) == _WORKERS else self._next_trial()
        if trial is not None:
            self._begin(trial)
        elif self._epochs:
            self._train(self.trials[dice.choice(list(self._epochs))])
        else:
            self.is_over = True
            how: Outcome = "stopped" if self.must_stop else "complete"
            self.messages.append(SearchCompletion(self.request.space.family, how))

    def _next_trial(self) -> Trial | None:
        if self._waiting:
            return self._waiting.pop(0)
        number = len(self.trials) + 1
        if number > self.request.space.trials:
            return None
        self._publish(Drawn(self.request.space.family, number, {"learning_rate": score(number, 0), "epochs": EPOCHS}))
        return self.trials[number]

    def _begin(self, trial: Trial) -> None:
        """Go on from the trial's checkpoint; without one it starts again, and one that can't be read fails it."""
        if trial.checkpoint is None or not (trial.checkpoint / "state.json").exists():
            self._epochs[trial.number] = 0
            return
        try:
            self._epochs[trial.number] = int(read_checkpoint(trial.checkpoint)["epoch"])
        except (OSError, ValueError) as error:
            self._publish(Ended(trial.family, trial.number, "failed", error=str(error)))

    def _train(self, trial: Trial) -> None:
        number, epoch = trial.number, self._epochs[trial.number] + 1
        if self.must_stop:
            del self._epochs[number]
            return
        if number == FAILING and epoch == 2:
            del self._epochs[number]
            self._publish(Ended(trial.family, number, "failed", error="the loss is not finite", trace="Traceback"))
            return
        if epoch > EPOCHS:
            del self._epochs[number]
            self._publish(Ended(trial.family, number, "finished", seconds=1.5))
            return
        if self.disk.world.has(Fault.FULL):
            self.is_over = True
            self.messages.append(SearchRefusal("The disk is full; free space, then continue with --resume."))
            return
        self._epochs[number] = epoch
        self._publish(self._save(trial, epoch))

    def _save(self, trial: Trial, epoch: int) -> EpochDone:
        folder = f"{self.request.folder}/{trial.family}-{trial.number}"
        best_epoch = min(range(1, epoch + 1), key=lambda each: score(trial.number, each))
        best = {METRIC: score(trial.number, best_epoch)}
        checkpoint = f"{folder}/checkpoint_{epoch:06d}"
        for name in ("weights", "state.json"):
            about = {"number": trial.number, "epoch": epoch, "best_epoch": best_epoch, "best": best}
            self.disk.store_file(f"{checkpoint}/{name}", json.dumps(about).encode())
        self.disk.drop_tree(f"{folder}/checkpoint_{epoch - _KEPT_CHECKPOINTS:06d}")
        metrics = {METRIC: score(trial.number, epoch), "train/seconds": self.disk.world.dice.random()}
        return EpochDone(trial.family, trial.number, trial.config, checkpoint, epoch, metrics, best_epoch, best)

    def _publish(self, event: TrialEvent) -> None:
        if update_trials(self.trials, event):
            self.messages.append(event)


class SimulatedProcess:
    """The driver's handle of the process, as :class:`leigh_mlops.search.SearchProcess`."""

    address = None
    workers = _WORKERS
    verbose = False
    start_patience_s = 3600.0

    def __init__(self, disk: Disk) -> None:
        self._disk, self._world = disk, disk.world
        self._trainer: Trainer | None = None
        self._end = ""
        self.is_ready = False
        self._runs = False

    def __enter__(self) -> "SimulatedProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.terminate()

    def start(self) -> None:
        """Start the process unless it runs."""
        if not self._runs:
            self._world.act("start the process", lambda: None)
            self._runs, self.is_ready, self._trainer, self._end = True, False, None, ""

    def send(self, message: SearchPlan | str) -> None:
        """Send a plan, which is of one family in every night."""
        if isinstance(message, SearchPlan) and self._runs:
            (request,) = message.requests
            # What crosses a pipe is a copy.
            trials = [Trial(**(vars(trial) | {"epochs": list(trial.epochs)})) for trial in request.trials]
            self._trainer = Trainer(replace(request, trials=trials), self._disk)
        elif message == STOP and self._trainer is not None:
            self._trainer.must_stop = True

    def stop(self) -> None:
        """Ask the process to stop after the running epochs."""
        self.send(STOP)

    def describe_end(self) -> str:
        """Return how the process ended."""
        return self._end

    def kill_group(self) -> None:
        """Kill the process without waiting."""
        self._runs = False

    def terminate(self) -> None:
        """Kill the process; what it did meanwhile is on the disk."""
        if self._trainer is not None:
            self.die()
        self._runs, self._trainer = False, None

    def die(self) -> None:
        """Go on for a moment without the driver, unless there is no power, and end."""
        trainer, self._trainer = self._trainer, None
        if trainer is not None and self._world.has_power:
            for _ in range(self._world.dice.randint(0, 3)):
                trainer.advance()

    def messages(self) -> Iterator[Message]:
        """Yield what the process sends until it dies or falls silent."""
        if not self.is_ready and (failure := self._start_cluster()) is not None:
            yield failure
            return
        yield Heartbeat()
        trainer = self._trainer
        while trainer is not None and self._runs:
            fault = self._world.take(Fault.DEATH, Fault.SILENCE, Fault.BREAKAGE)
            if fault is not None:
                yield from self._fail(trainer, fault)
                return
            while not trainer.is_over and len(trainer.messages) < self._world.dice.randint(1, _MOST_AHEAD):
                trainer.advance()
            self._world.wait("message", _EPOCH_S)
            if not self._runs:
                return
            yield trainer.messages.popleft() if trainer.messages else Heartbeat()

    def _start_cluster(self) -> Message | None:
        """Start the cluster; returns a message where that fails."""
        self._world.wait("start the cluster", _START_S)
        if self._world.take(Fault.FAILED_START):
            return StartFailure("The node timed out during startup.")
        self.is_ready = True
        return None

    def _fail(self, trainer: Trainer, fault: Fault) -> Iterator[Message]:
        """Yield what was sent before the end."""
        while trainer.messages:
            self._world.wait("message before the end", 0.01)
            yield trainer.messages.popleft()
        if fault is Fault.SILENCE:
            self._world.pause(_SILENCE_S)
        elif fault is Fault.BREAKAGE:
            yield ProcessFailure("RayError: the head is gone")
        self._end = "its process ended with code -9"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        OSError: A file is missing.
        ValueError: A file is cut short.
    """
    weights, state = (json.loads((path / name).read_text()) for name in ("weights", "state.json"))
    if weights != state:
        raise ValueError(f"{path} holds weights of another epoch")
    return dict(state)
