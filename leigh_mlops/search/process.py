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

from leigh_mlops.search.request import STOP, Heartbeat, Message, SearchRequest

__all__ = ["SILENCE_S", "START_S", "SearchProcess"]

SILENCE_S = 120.0
START_S = 180.0


def _serve(*arguments: Any) -> None:  # noqa: ANN401
    from leigh_mlops.search.worker_process import serve  # imports Ray, which the driver does not need

    serve(*arguments)


def _run_in_own_group(serve: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
    """Run in a process group of its own, so that Ctrl-C reaches the driver alone."""
    os.setsid()
    serve(*arguments)


@dataclass
class _RunningProcess:
    """Process with the driver's end of its pipe, and how long it may be silent."""

    process: BaseProcess
    pipe: Connection
    patience_s: float

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

    Args:
        serve: Target of the process, called with its end of a pipe, ``address``, ``workers`` and ``verbose``.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        verbose: bool = False,
        serve: Callable[..., None] = _serve,
    ) -> None:
        self.address, self.workers, self.verbose = address, workers, verbose
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

    def send(self, message: SearchRequest | str) -> None:
        """Send a request or the stop message to the process; ignored if it is dead."""
        if self._running is not None:
            with suppress(OSError):
                self._running.pipe.send(message)

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
                    yield message
                elif time.monotonic() > last_message + running.patience_s:
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
