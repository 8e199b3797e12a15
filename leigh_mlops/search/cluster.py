"""Connection to a Ray cluster, or to one started on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from leigh_mlops.errors import LeighError

__all__ = ["ray_cluster"]


@contextmanager
def ray_cluster(address: str | None = None, *, workers: int | None = None, verbose: bool = False) -> Iterator[None]:
    """Connect to a cluster, or start a local one with a CPU for each worker, and leave it at the end.

    Without an address, that of ``RAY_ADDRESS`` is taken. Where there is none, no running cluster is joined: the file
    that names it lies in a folder that every user of the machine can write to.

    Raises:
        LeighError: The address does not answer.
    """
    # Ray counts the cores that a container may use; the user may ask for more workers than cores.
    cpus = workers if workers and not address and workers > len(os.sched_getaffinity(0)) else None
    # The callback reports failed trials.
    level = logging.INFO if verbose else logging.CRITICAL
    try:
        ray.init(
            address=address or os.environ.get("RAY_ADDRESS") or "local",
            num_cpus=cpus,
            include_dashboard=False if address is None else None,
            log_to_driver=verbose,
            logging_level=level,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LeighError(f"The Ray cluster {address or 'of this machine'} can't be used ({error}); check it.") from None
    logging.getLogger("ray.tune").setLevel(level)
    logging.getLogger("ray.data").setLevel(level)
    try:
        yield
    finally:
        ray.shutdown()
