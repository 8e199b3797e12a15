"""Searches in a process of their own: what happens to it never reaches the driver's records."""

import importlib
import os
import queue
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

import ray

from leigh_mlops.errors import LeighError
from leigh_mlops.search.cluster import ray_cluster
from leigh_mlops.search.failures import full_disk, is_full
from leigh_mlops.search.request import STOP, SearchRequest, Tell
from leigh_mlops.trials import Event

__all__ = ["last_words", "serve"]

_HEARTBEAT_S = 5.0


def serve(connection: Connection, address: str | None, workers: int | None, verbose: bool) -> None:
    """Run the searches that come through a pipe and send back what happens; the target of a process.

    It leads a process group, which ends when the driver does.
    """
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
            from leigh_mlops.search.run import run_search  # Ray starts workers meanwhile

            while True:
                tell({"what": "done", "how": run_search(requests.get(), tell, stop)})
    except LeighError as error:
        tell({"what": "refused", "reason": str(error)})
    except Exception as error:
        if verbose:
            traceback.print_exc()
        tell(last_words(error))


def last_words(error: Exception) -> Event:
    """What the process says before it ends of an error."""
    if is_full(error):
        return {"what": "refused", "reason": full_disk(error)}
    # Ray's own processes may be gone: the driver starts all of it again.
    return {"what": "broken", "reason": f"{type(error).__name__}: {error}".strip().splitlines()[-1]}


def _warm() -> None:
    """What a worker imports before its first trial, imported while the driver still reads images."""
    importlib.import_module("leigh_mlops.search.trial")


def _heartbeat(tell: Tell) -> None:
    """Says that the cluster answers; without its control process a search would wait for ever."""
    with suppress(Exception):  # whatever it is, the silence tells the driver
        while any(node["Alive"] for node in ray.nodes()):
            tell({"what": "alive"})
            threading.Event().wait(_HEARTBEAT_S)
