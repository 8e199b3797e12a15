"""Processes in the place of a search, light enough to be started often: each tells of one trial in its own way.

They do not look into what is asked of them, which would take the search's own libraries: a file tells them how often
they were started.
"""

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from leigh_mlops.events import Drawn, Ended, EpochDone
from leigh_mlops.search.request import (
    Heartbeat,
    ProcessFailure,
    SearchCompletion,
    SearchRefusal,
    SearchStart,
    StartFailure,
)

EPOCHS = 4


def begin(connection: Connection) -> int:
    """Take the request when the cluster runs; returns how many starts there were before."""
    connection.send(Heartbeat())
    connection.recv_bytes()
    return count_start()


def count_start() -> int:
    """Count a start; returns how many there were before."""
    starts = Path(os.environ["STARTS"])
    before = int(starts.read_text()) if starts.exists() else 0
    starts.write_text(str(before + 1))
    return before


def tell(connection: Connection, done: int, epochs: int) -> bool:
    """Tell some epochs more; returns whether the trial is over."""
    connection.send(SearchStart("resnext", None))
    if not done:
        connection.send(Drawn("resnext", 1, {}))
    for epoch in range(done + 1, min(done + epochs, EPOCHS) + 1):
        connection.send(EpochDone("resnext", 1, {}, "c", epoch, metrics={}, best_epoch=1, best={}))
    if done + epochs < EPOCHS:
        return False
    connection.send(Ended("resnext", 1, "finished"))
    connection.send(SearchCompletion("resnext", "complete"))
    return True


def steady(connection: Connection, *arguments: Any) -> None:
    """Does all at once."""
    tell(connection, begin(connection), EPOCHS)
    time.sleep(60)


def mortal(connection: Connection, *arguments: Any) -> None:
    """Dies after every second epoch."""
    if tell(connection, 2 * begin(connection), 2):
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGKILL)


def mute(connection: Connection, *arguments: Any) -> None:
    """Falls silent after every second epoch."""
    tell(connection, 2 * begin(connection), 2)
    time.sleep(60)


def barren(connection: Connection, *arguments: Any) -> None:
    """Dies before its first epoch."""
    begin(connection)
    os.kill(os.getpid(), signal.SIGKILL)


def refusing(connection: Connection, *arguments: Any) -> None:
    """Can't begin."""
    begin(connection)
    connection.send(SearchRefusal("The cluster is gone; start it."))
    time.sleep(60)


def tardy(connection: Connection, *arguments: Any) -> None:
    """Has no cluster before the seventh start: it says so, or it ends before it can."""
    before = count_start()
    if before >= 6:
        connection.send(Heartbeat())
        tell(connection, 0, EPOCHS)
        time.sleep(60)
    if before == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    connection.send(StartFailure("The node timed out during startup."))
    time.sleep(60)


def absent(connection: Connection, *arguments: Any) -> None:
    """Never has a cluster."""
    connection.send(StartFailure("The node timed out during startup."))
    time.sleep(60)


def obedient(connection: Connection, *arguments: Any) -> None:
    """Stops when it is asked to."""
    tell(connection, begin(connection), 1)
    connection.recv_bytes()
    connection.send(SearchCompletion("resnext", "stopped"))
    time.sleep(60)


def deaf(connection: Connection, *arguments: Any) -> None:
    """Goes on whatever it is asked."""
    tell(connection, begin(connection), 1)
    time.sleep(60)


def broken(connection: Connection, *arguments: Any) -> None:
    """Finds its cluster gone."""
    begin(connection)
    connection.send(ProcessFailure("RayError: the head is gone"))
    time.sleep(60)
