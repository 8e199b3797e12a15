"""Connection to a Ray cluster, or to one started on this machine, which nobody else reaches."""

import logging
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # its stub lacks the class

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.search.cluster_start import ClusterStartError
from leigh_mlops.search.machine_faults import is_disk_full
from leigh_mlops.user_folders import private_folder

__all__ = ["ray_cluster"]

_PRELOAD, _THREADS = "RAY_preload_python_modules", "OMP_NUM_THREADS"
_IDLE_MS, _DAY_MS = "RAY_idle_worker_killing_time_threshold_ms", "86400000"


@contextmanager
def ray_cluster(
    address: str | None = None, *, workers: int | None = None, verbose: bool = False, module: str = ""
) -> Iterator[None]:
    """Connect to a cluster, or start a local one with a CPU for each worker, and leave it at the end.

    The processes of a local cluster import ``module`` as they start, before there is anything to do. A task that
    imports it would not help: Ray gives no actor a process that has run a task.

    A local cluster listens on loopback only, admits those who have a random token, which is in the environment of this
    process and its children alone, and keeps its sockets and logs in a folder of mode 0700. Neither ``RAY_ADDRESS``
    nor the file in the temporary folder that names a running cluster is obeyed.

    Raises:
        LeighError: The address does not answer, or the folder of temporary files can't be used.
        ClusterStartError: Processes of a local cluster did not start; another attempt may succeed.
    """
    # The callback reports failed trials.
    level = logging.INFO if verbose else logging.CRITICAL
    with _join_cluster(address, level) if address else _local_cluster(workers, level, module):
        logging.getLogger("ray.tune").setLevel(level)
        logging.getLogger("ray.data").setLevel(level)
        yield


@contextmanager
def _join_cluster(address: str, level: int) -> Iterator[None]:
    try:
        with _keep_signal_handler():
            ray.init(address=address, log_to_driver=level == logging.INFO, logging_level=level)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LeighError(f"The Ray cluster {address} can't be used ({error}); check it.") from None
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _local_cluster(workers: int | None, level: int, module: str) -> Iterator[None]:
    # Ray counts the cores that a container may use; the user may ask for more workers than cores.
    cpus = workers if workers and workers > len(os.sched_getaffinity(0)) else None
    with _loopback_only(), _random_token():
        with _environment(_preload_variables(module)):
            _start_node(cpus, level)
        try:
            yield
        finally:
            ray.shutdown()


def _preload_variables(module: str) -> dict[str, str | None]:
    """Return the environment in which the processes of a node import a module as they start.

    Ray limits the threads of linear algebra only before a task begins, when the libraries are loaded already. It ends
    processes that have been idle for a second as soon as trials reserve their cores, often before these take them.
    """
    threads = os.environ.get(_THREADS, "1")
    return {_PRELOAD: module, _THREADS: threads, _IDLE_MS: _DAY_MS} if module else {}


def _start_node(cpus: int | None, level: int) -> None:
    before = set(psutil.Process().children(recursive=True))
    try:
        with _keep_signal_handler():
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=level == logging.INFO,
                logging_level=level,
                _temp_dir=str(_ray_folder() / "r"),
            )
    except BaseException as error:
        ray.shutdown()
        for process in set(psutil.Process().children(recursive=True)) - before:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if not isinstance(error, Exception):
            raise
        if _is_permanent(error):
            raise LeighError(
                f"Ray can't start on this machine ({error}); check the folder of temporary files, RAY_TMPDIR."
            ) from None
        raise ClusterStartError((str(error).strip() or type(error).__name__).splitlines()[-1]) from None


def _is_permanent(error: Exception) -> bool:
    """Return whether another attempt would end the same way; a busy machine's processes and sockets time out."""
    if is_disk_full(error):
        return True
    if isinstance(error, OSError):
        return error.filename is not None and not isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, ValueError | ImportError)


def _ray_folder() -> Path:
    """Return a folder that only this user can enter; Ray opens the folders that it makes to every user."""
    # The order in which Ray looks; short names, since the path of a socket has at most 107 characters.
    parent = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    return private_folder(parent / f"ray-{os.geteuid()}") or Path(tempfile.mkdtemp(prefix="ray-", dir=parent))


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let the node have the address 127.0.0.1, to which all its processes bind.

    Ray replaces a given ``_node_ip_address`` of the loopback interface by that of the network, except where it expects
    no other machines. The variable is for processes that begin later.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with _environment({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _random_token() -> Iterator[None]:
    """Let a new token protect the cluster; Ray's own would be in a file in the home folder.

    Where no mode is given, Ray asks for the token.
    """
    loader = AuthenticationTokenLoader.instance()
    try:
        with _environment({"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_AUTH_MODE": None}):
            loader.reset_cache()
            yield
    finally:
        loader.reset_cache()


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables, or remove those without a value, and restore them at the end."""
    before = {name: os.environ.get(name) for name in values}
    _set_variables(values)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _keep_signal_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces by one that exits with 15."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        if error.code == signal.SIGTERM:
            raise StoppedError(signal.SIGTERM) from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
