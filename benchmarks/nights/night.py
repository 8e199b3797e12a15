"""One night: a search that is begun, disturbed by the faults of its schedule, and continued until it is over."""

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from benchmarks.nights.disk import Disk
from benchmarks.nights.edges import CONSOLE, SimulatedStudy, replaced_edges
from benchmarks.nights.faults import Fault
from benchmarks.nights.process import EPOCHS, METRIC, SimulatedProcess
from benchmarks.nights.server import URI, Server, SimulatedStore
from benchmarks.nights.world import Killed, World
from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study import interrupted
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.interrupted import close_interrupted
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.search_folder import interrupted_searches
from leigh_mlops.study.search_study import resume_newest
from leigh_mlops.study.study_options import StudyOptions

__all__ = ["OPTIONS", "TRIALS", "Night"]


TRIALS = 4
SPACE = SearchSpace.model_validate(
    {
        "family": "autoencoder",
        "metric": METRIC,
        "trials": TRIALS,
        "keep": 2,
        "early_stopping": "none",
        "image_size": 64,
        "published": {"learning_rate": 0.1, "epochs": EPOCHS},
    }
)
OPTIONS = StudyOptions(DataSource(None), [SPACE])
_MOST_STARTS = 30
_LONGEST_WAIT_S = 5000.0


@dataclass
class Night:
    """A machine, a store and a user who continues what was interrupted.

    Attributes:
        seed: Seed of everything that chance decides.
        faults: Faults by the step at which they happen.
        log: Called with a line for each step.
        problems: What went wrong that the store does not show.
    """

    seed: int
    faults: dict[int, Fault]
    log: Callable[[str], None] = lambda line: None
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(f"user {self.seed}")
        self.world = World(random.Random(f"world {self.seed}"), dict(self.faults), self.log)
        self.world.problems = self.problems
        self.disk = Disk(self.world)
        self.world.on_crash = self.disk.lose_power
        self.server = Server(self.world, random.Random(f"ids {self.seed}"))
        self.store = SimulatedStore(self.server)
        self._deliveries: list[Delivery] = []
        self._is_over = False

    def play(self) -> None:
        """Search, and continue after every end that is none."""
        with replaced_edges(self.world, self.disk, self.store), patch.object(interrupted, "Delivery", self._deliver):
            for _ in range(_MOST_STARTS):
                if self._start():
                    return
                self._wait()
        self.problems.append(f"the search is not over after {_MOST_STARTS} starts")

    def _deliver(self, *about: Any, **named: Any) -> Delivery:
        self._deliveries.append(Delivery(*about, **named))
        return self._deliveries[-1]

    def _start(self) -> bool:
        """Begin or continue the search; return whether it is over."""
        process = SimulatedProcess(self.disk)
        try:
            self.world.run(lambda: self._search(process))
        except (Killed, StoppedError, LeighError) as end:
            self.log(f"---- it ends: {end!r}")
        except OSError as end:
            self.log(f"---- it ends: {end!r}")
            if end.filename is None:
                self.problems.append(f"the search ended with {end!r}")
        except Exception:
            self.problems.append(traceback.format_exc())
            return True
        finally:
            self.disk.locks.clear()
            process.die()
            self.problems += [f"not delivered: {reason}" for each in self._deliveries for reason in each.refused]
            self._deliveries.clear()
        return self._is_over

    def _search(self, process: Any) -> None:
        """Do what a user does."""
        if interrupted_searches():
            self.log("---- the search is continued")
            if self._dice.random() < 0.2:  # another search would begin
                close_interrupted(self.store, CONSOLE)
            resume_newest(CONSOLE, store=URI, process=process)
        elif any(run.tags.get("kind") == "search" for run in self.server.runs.values()):
            self._is_over = True
        else:
            self.log("---- a search is begun")
            SimulatedStudy(OPTIONS, CONSOLE, URI, process).run()

    def _wait(self) -> None:
        """Wait, and free the disk."""
        self.world.pause(self._dice.uniform(0, _LONGEST_WAIT_S))
        self.world.outages.pop(Fault.FULL, None)
