"""Entry point of the search process, whose failures never reach the driver's records."""

import math
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import ray

from leigh_mlops.errors import LeighError
from leigh_mlops.search.cluster import ray_cluster
from leigh_mlops.search.cluster_start import ClusterStartError
from leigh_mlops.search.machine_faults import disk_full_message, is_disk_full
from leigh_mlops.search.request import (
    STOP,
    Heartbeat,
    Message,
    ProcessFailure,
    SearchPlan,
    SearchRefusal,
    StartFailure,
)

__all__ = ["failure_message", "serve"]

_HEARTBEAT_S = 5.0
_TRIAL_MODULE = "leigh_mlops.search.trainable"
_LONGEST_WAIT_S = 300.0


def serve(connection: Connection, address: str | None, workers: int | None, verbose: bool) -> None:
    """Run the searches received through a pipe and send back their messages; the target of a process.

    The process leads a process group, which is killed when the driver ends.
    """
    requests: queue.SimpleQueue[SearchPlan] = queue.SimpleQueue()
    stop = threading.Event()
    sending = threading.Lock()

    def send(message: Message) -> None:
        with sending:
            connection.send(message)

    def listen() -> None:
        try:
            while True:
                message = connection.recv()
                stop.set() if message == STOP else requests.put(message)
        finally:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=listen, daemon=True).start()
    try:
        with ray_cluster(address, workers=workers, verbose=verbose, module=_TRIAL_MODULE):
            send(Heartbeat())
            threading.Thread(target=_heartbeat, args=(send,), daemon=True).start()
            from leigh_mlops.search.run_families import run_families  # imported while Ray starts workers
            from leigh_mlops.search.started_processes import give_trials_started_processes

            if not address:
                give_trials_started_processes()
            while True:
                # On a cluster that is shared, others may hold all workers for hours.
                longest_wait_s = math.inf if address else _LONGEST_WAIT_S
                run_families(requests.get(), send, stop, longest_wait_s)
    except ClusterStartError as error:
        send(StartFailure(str(error)))
    except LeighError as error:
        send(SearchRefusal(str(error)))
    except Exception as error:
        if verbose:
            traceback.print_exc()
        send(failure_message(error))


def failure_message(error: Exception) -> SearchRefusal | ProcessFailure:
    """Last message of the process before an error ends it."""
    if is_disk_full(error):
        return SearchRefusal(disk_full_message(error))
    # Ray's own processes may be gone: the driver restarts everything.
    return ProcessFailure(f"{type(error).__name__}: {error}".strip().splitlines()[-1])


def _heartbeat(send: Callable[[Message], None]) -> None:
    """Signal that the cluster is alive; without its control process a search would wait for ever."""
    with suppress(Exception):  # whatever the error, the missing heartbeat informs the driver
        while any(node["Alive"] for node in ray.nodes()):
            send(Heartbeat())
            threading.Event().wait(_HEARTBEAT_S)
