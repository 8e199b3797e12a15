"""Simulated edges at which the search meets the world; everything between them is the real code."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from rich.console import Console

from benchmarks.nights.disk import Disk, SimulatedPath
from benchmarks.nights.process import METRIC, read_checkpoint
from benchmarks.nights.server import SimulatedStore
from benchmarks.nights.world import Thread, World
from leigh_mlops import events, trials
from leigh_mlops.models import ModelPackage
from leigh_mlops.search import cluster_start
from leigh_mlops.study import (
    checkpoints,
    delivery,
    interrupted,
    model_selection,
    open_search,
    search_folder,
    search_study,
    study_options,
    supervisor,
)
from leigh_mlops.study.evaluation import Evaluation
from leigh_mlops.study.open_search import OpenSearch
from leigh_mlops.study.run_artifacts import log_references
from leigh_mlops.study.search_study import SearchStudy
from leigh_mlops.tracking import runs

__all__ = ["SimulatedStudy", "replaced_edges"]

CONSOLE = Console(quiet=True)
STATE = "/state"


class SimulatedTime:
    """Module ``time``; a sleep is a little longer than was asked for, as on a busy machine."""

    def __init__(self, world: World) -> None:
        self._world = world

    def time(self) -> float:
        """Return the time of the clock on the wall."""
        return self._world.wall

    def time_ns(self) -> int:
        """Return the time of the clock on the wall in ns."""
        return int(self._world.wall * 1e9)

    def monotonic(self) -> float:
        """Return the seconds since some moment."""
        return self._world.now

    def sleep(self, seconds: float) -> None:
        """Let other threads run."""
        self._world.pause(seconds + self._world.dice.uniform(0, 0.5))


class SimulatedCondition:
    """Condition whose waiters wake when they are notified; its lock needs no simulation, since nobody waits in it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[Thread] = []

    def __enter__(self) -> "SimulatedCondition":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def notify_all(self) -> None:
        """Wake all waiters."""
        for thread in self._waiting:
            thread.wake = self._world.now
        self._waiting.clear()

    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait until the predicate holds at a notification, or the time is over."""
        end = None if timeout is None else self._world.now + timeout
        while not predicate():
            left = None if end is None else end - self._world.now
            if left is not None and left <= 0:
                return False
            self._waiting.append(self._world.current_thread())
            self._world.pause(left)
        return True


class SimulatedThread:
    """Thread of the world."""

    native_id = 1

    def __init__(self, world: World, target: Callable[[], None]) -> None:
        self._world, self._target = world, target
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start it."""
        self._thread = self._world.spawn(self._target)

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self._thread is not None and not self._thread.is_done

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        end = self._world.now + timeout
        while self.is_alive() and self._world.now < end:
            self._world.pause(0.5)


class SimulatedData:
    """Data of a study, of which nobody looks at an image."""

    demo, fingerprint, split_fingerprint, image_size, wells = False, "1", "2", 64, ("a/B03",)

    def __init__(self) -> None:
        self.data = self
        self.starts: dict[str, str] = {}

    def at_size(self, size: int) -> "SimulatedData":
        """Return the data."""
        return self

    def baselines_for_size(self, size: int) -> None:
        """Return no baselines."""

    def rows(self, part: str) -> list[int]:
        """Return no rows."""
        return []

    def count_training_plates(self) -> int:
        """Return the number of plates."""
        return 1

    def save(self, folder: SimulatedPath) -> None:
        """Write a file."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.json").write_text("{}")


class SimulatedSearch(OpenSearch):
    """Search whose references need no images."""

    def _log_references(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        scores = {"baseline": {"mse": 0.9}, "pca": {"mse": 0.8}}
        return log_references(self.store, self.parent, scores, self.facts, at=self.opened.time), {}


class SimulatedStudy(SearchStudy):
    """Study whose images nobody reads, and whose result nobody prints."""

    def _divide(self) -> Any:
        return self, None

    def _check_data(self, divided: object) -> None:
        pass

    def _prepare_data(self, *about: object) -> Any:
        return SimulatedData()

    def _print_result(self, *result: object) -> None:
        pass


def _load_network(family: str, settings: Any, data: Any, checkpoint: Path, last: bool = False) -> tuple[Any, Any, int]:
    about = read_checkpoint(checkpoint)
    spec = SimpleNamespace(classes=("DS", "WT"))
    return SimpleNamespace(task="reconstruct", spec=spec, state=about), None, about["epoch" if last else "best_epoch"]


def _make_package(model: Any, scale: Any, data: Any, baselines: Any, about: dict[str, Any], *rest: Any) -> Any:
    return ModelPackage(model, ("DAPI",), {"full_scale": 255}, about=about)


def _evaluate(package: ModelPackage, data: Any, rows: Any) -> Evaluation:
    state: Any = package.model.state
    return Evaluation({"mse": state["best"][METRIC]}, {"mse": 0.9}, {}, SimpleNamespace(rows=rows))  # type: ignore[arg-type]


def _replacements(world: World, disk: Disk, store: SimulatedStore) -> dict[Any, dict[str, Any]]:
    """Simulated objects by the module that uses them and the name that it has for the real ones."""
    time = SimulatedTime(world)
    machine, study = _machine_replacements(world, disk, time), _study_replacements(store)
    return {module: machine.get(module, {}) | study.get(module, {}) for module in [*machine, *study]}


def _machine_replacements(world: World, disk: Disk, time: SimulatedTime) -> dict[Any, dict[str, Any]]:
    """Clock, disk, threads and signals."""
    return {
        events: {"time": time},
        cluster_start: {"time": time, "describe_load": lambda: "load 1"},
        runs: {"time": time},
        trials: {"Path": SimulatedPath, "os": SimpleNamespace(fsync=disk.flush, truncate=_by_text(disk.truncate))},
        checkpoints: {
            "os": SimpleNamespace(fsync=disk.flush, walk=disk.walk),
            "shutil": SimpleNamespace(rmtree=_by_text(disk.remove_tree)),
        },
        supervisor: {
            "time": time,
            "Path": SimulatedPath,
            "describe_load": lambda: "load 1",
            "signal": SimpleNamespace(
                SIGINT=signal.SIGINT, SIGTERM=signal.SIGTERM, signal=lambda *pair: _handle(world, *pair)
            ),
        },
        delivery: {
            "time": time,
            "os": SimpleNamespace(replace=_by_text(disk.replace)),
            "threading": SimpleNamespace(
                Condition=lambda: SimulatedCondition(world),
                Thread=lambda target, name, daemon: SimulatedThread(world, target),
            ),
        },
        search_folder: {
            "time": time,
            "Path": SimulatedPath,
            "shutil": SimpleNamespace(rmtree=_by_text(disk.remove_tree)),
            "state_folder": lambda: SimulatedPath(STATE),
            "_acquire_lock": disk.lock,
        },
        open_search: {"time": time, "Path": SimulatedPath},
    }


def _study_replacements(store: SimulatedStore) -> dict[Any, dict[str, Any]]:
    """Store, networks, pictures, and what is printed."""
    return {
        open_search: {
            "print_family": _ignore,
            "ProgressBoard": _Silence,
            "Steps": _Silence,
            "winner_lines": lambda *_: [],
            "revision": lambda: "unknown",
            "load_trained_network": _load_network,
            "make_package": _make_package,
            "needs_references": lambda model: False,
            "counterfactual_scores": lambda *_: {},
            "log_trial_pictures": _ignore,
            "log_package": lambda store, run, package, data, name="model", step=0: store.log_package(
                run, package, name=name, step=step
            ),
            "log_summary": lambda run, *_: run.log_text("all trials", "search.html"),
        },
        model_selection: {
            "evaluate_package": _evaluate,
            "read_version_card": lambda *_: SimpleNamespace(to_markdown=lambda: "card"),
            "score_figures": lambda *_: {},
        },
        search_study: {
            "OpenSearch": SimulatedSearch,
            "SearchStudy": SimulatedStudy,
            "Store": SimpleNamespace(open=lambda *_, **__: store),
            "default_device": _ignore,
            "print_resumed": _ignore,
        },
        interrupted: {"print_interrupted": _ignore},
        study_options: {"revision": lambda: "unknown"},
    }


class _Silence:
    """Display of progress that shows nothing."""

    def __init__(self, *about: object) -> None:
        pass

    def __enter__(self) -> "_Silence":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, event: object) -> None:
        """Show nothing."""

    def begin(self, step: str) -> None:
        """Show nothing."""


def _ignore(*given: object, **named: object) -> None:
    pass


def _by_text(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that takes paths as text."""

    def convert(*given: object, **options: object) -> Any:
        return call(*(str(each) if isinstance(each, SimulatedPath) else each for each in given))

    return convert


def _handle(world: World, number: int, handler: Any) -> Any:
    """Set the handler of a signal; returns the one before."""
    before = world.handlers.pop(number, None)
    if handler is not None:
        world.handlers[number] = handler
    return before


@contextmanager
def replaced_edges(world: World, disk: Disk, store: SimulatedStore) -> Iterator[None]:
    """Let the search run in a world."""
    SimulatedPath.disk = disk
    with ExitStack() as stack:
        for module, names in _replacements(world, disk, store).items():
            for name, value in names.items():
                stack.enter_context(patch.object(module, name, value))
        yield
