"""Driver's handle of the search process."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from leigh_mlops.search.cluster_start import PATIENCE_S
from leigh_mlops.search.request import (
    STOP,
    Heartbeat,
    Message,
    ProcessFailure,
    SearchPlan,
    SearchRefusal,
    StartFailure,
)

__all__ = ["SILENCE_S", "START_S", "SearchProcess"]

SILENCE_S = 120.0
START_S = 300.0
_END_WAIT_S = 5.0


def _serve(*arguments: Any) -> None:  # noqa: ANN401
    from leigh_mlops.search.worker_process import serve  # imports Ray, which the driver does not need

    serve(*arguments)


def _run_in_own_group(serve: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
    """Run in a process group of its own, so that Ctrl-C reaches the driver alone."""
    os.setsid()
    serve(*arguments)


@dataclass
class _RunningProcess:
    """Process with the driver's end of its pipe, how long it may be silent, and whether its cluster runs."""

    process: BaseProcess
    pipe: Connection
    patience_s: float
    is_ready: bool = False
    is_silent: bool = False

    def kill_group(self) -> None:
        """Kill the process and all its children without waiting."""
        if self.process.pid is None:
            return
        for kill in (os.killpg, os.kill):  # a process that has just started leads no group yet
            with suppress(ProcessLookupError, PermissionError):
                kill(self.process.pid, signal.SIGKILL)


class SearchProcess:
    """Separate process that runs Ray Tune and may die at any moment; a context manager that terminates it.

    Attributes:
        address: Ray cluster; None is this machine.
        workers: Maximal number of concurrent trials; None is as many as the cluster holds.
        verbose: Whether Ray prints its log.
        start_patience_s: Seconds in which the start of Ray is tried again and again.

    Args:
        serve: Target of the process, called with its end of a pipe, ``address``, ``workers`` and ``verbose``.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        verbose: bool = False,
        serve: Callable[..., None] = _serve,
        start_patience_s: float = PATIENCE_S,
    ) -> None:
        self.address, self.workers, self.verbose = address, workers, verbose
        self.start_patience_s = start_patience_s
        self._serve = serve
        self._running: _RunningProcess | None = None

    def __enter__(self) -> "SearchProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.terminate()

    def start(self) -> None:
        """Start the process unless it runs; it needs some seconds to become ready, in which the caller can go on."""
        if self._running is not None:
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = self._serve, theirs, self.address, self.workers, self.verbose
        process = context.Process(target=_run_in_own_group, args=arguments, name="search")
        # A process that did not start has no PID, and killing a group without a PID would kill the driver's own.
        process.start()
        theirs.close()
        self._running = _RunningProcess(process, ours, START_S)

    def send(self, message: SearchPlan | str) -> None:
        """Send a plan or the stop message to the process; ignored if it is dead."""
        if self._running is not None:
            with suppress(OSError):
                self._running.pipe.send(message)

    @property
    def is_ready(self) -> bool:
        """State of the process's cluster: whether it has started."""
        return self._running is not None and self._running.is_ready

    def describe_end(self) -> str:
        """Return how the process ended, or that it is silent."""
        if self._running is None:
            return "its process does not run"
        if self._running.is_silent:
            return f"its process did not answer for {self._running.patience_s:.0f} s"
        self._running.process.join(_END_WAIT_S)  # its pipe may close a moment before it has ended
        return f"its process ended with code {self._running.process.exitcode}"

    def stop(self) -> None:
        """Ask the process to stop after the running epochs."""
        self.send(STOP)

    def messages(self) -> Iterator[Message]:
        """Yield the messages of the process until it dies or stops responding; those sent before are not lost."""
        running, last_message = self._running, time.monotonic()
        if running is None:
            return
        with suppress(EOFError, OSError):
            while True:
                if running.pipe.poll(0.5):
                    message = running.pipe.recv()
                    last_message, running.patience_s = time.monotonic(), SILENCE_S
                    running.is_ready |= not isinstance(message, StartFailure | ProcessFailure | SearchRefusal)
                    yield message
                elif time.monotonic() > last_message + running.patience_s:
                    running.is_silent = True
                    return
                else:
                    yield Heartbeat()

    def kill_group(self) -> None:
        """Kill the process and all its children without waiting; safe in a signal handler."""
        if self._running is not None:
            self._running.kill_group()

    def terminate(self) -> None:
        """Terminate the process and all its children."""
        if self._running is None:
            return
        self._running.kill_group()
        self._running.process.kill()
        self._running.process.join()
        self._running.pipe.close()
        self._running = None
