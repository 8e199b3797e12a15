"""Driver's handle of the search process."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from leigh_mlops.search.request import STOP, SearchRequest
from leigh_mlops.trials import Event

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
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._patience = START_S

    def __enter__(self) -> "SearchProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.terminate()

    def start(self) -> None:
        """Start the process unless it runs; it needs some seconds to become ready, in which the caller can go on."""
        if self._process is not None:
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = self._serve, theirs, self.address, self.workers, self.verbose
        process = context.Process(target=_run_in_own_group, args=arguments, name="search")
        process.start()
        # A process that did not start has no PID, and killing a group without a PID would kill the driver's own.
        self._process = process
        theirs.close()
        self._patience = START_S

    def send(self, message: SearchRequest | str) -> None:
        """Send a request or the stop message to the process; ignored if it is dead."""
        assert self._pipe is not None
        with suppress(OSError):
            self._pipe.send(message)

    def stop(self) -> None:
        """Ask the process to stop after the running epochs."""
        self.send(STOP)

    def messages(self) -> Iterator[Event]:
        """Yield the events of the process until it dies or stops responding; events sent before are not lost."""
        assert self._pipe is not None
        heard = time.monotonic()
        with suppress(EOFError, OSError):
            while True:
                if self._pipe.poll(0.5):
                    message = self._pipe.recv()
                    heard, self._patience = time.monotonic(), SILENCE_S
                    yield message
                elif time.monotonic() > heard + self._patience:
                    return
                else:
                    yield {"what": "alive"}

    def kill_group(self) -> None:
        """Kill the process and all its children without waiting; safe in a signal handler."""
        if self._process is not None and self._process.pid is not None:
            for kill in (os.killpg, os.kill):  # a process that has just started leads no group yet
                with suppress(ProcessLookupError, PermissionError):
                    kill(self._process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Terminate the process and all its children."""
        if self._process is None or self._pipe is None:
            return
        self.kill_group()
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._process = None
