"""The process that searches, as its driver sees it."""

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
    from leigh_mlops.search.serving import serve  # imports Ray, which the driver does not need

    serve(*arguments)


def _lead(serve: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
    """Run in a process group of its own, so that Ctrl-C reaches the driver alone."""
    os.setsid()
    serve(*arguments)


class SearchProcess:
    """Runs Ray Tune apart from the driver, and may die at any moment; a context manager that ends it.

    Attributes:
        address: Ray cluster; None is this machine.
        workers: Most trials at once; None is as many as the cluster holds.
        verbose: Whether Ray speaks.

    Args:
        serve: What it runs, with its end of a pipe, ``address``, ``workers`` and ``verbose``.
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
        self.end()

    def begin(self) -> None:
        """Start it where it does not run; that takes some seconds, in which other things can be done."""
        if self._process is not None:
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = self._serve, theirs, self.address, self.workers, self.verbose
        process = context.Process(target=_lead, args=arguments, name="search")
        process.start()
        # One that did not start has no number, and a group without a number is the driver's own.
        self._process = process
        theirs.close()
        self._patience = START_S

    def send(self, message: SearchRequest | str) -> None:
        """Tell it what to search, or to stop; one that is dead hears nothing."""
        assert self._pipe is not None
        with suppress(OSError):
            self._pipe.send(message)

    def stop(self) -> None:
        """Ask it to let the epochs that run end."""
        self.send(STOP)

    def messages(self) -> Iterator[Event]:
        """What it sends, until it dies or falls silent; what it sent before is not lost."""
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
        """End it and all that it started, and wait for nothing: safe in the handler of a signal."""
        if self._process is not None and self._process.pid is not None:
            for kill in (os.killpg, os.kill):  # it leads no group yet when it has just begun
                with suppress(ProcessLookupError, PermissionError):
                    kill(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it and all that it started."""
        if self._process is None or self._pipe is None:
            return
        self.kill_group()
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._process = None
