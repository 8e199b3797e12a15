"""Share of a machine that each worker of a job takes."""

from typing import NamedTuple

__all__ = ["MachineShare", "divide_machine", "worker_bytes"]

_PROCESS_BYTES = 3 * 2**28
"""Memory of a worker without any network: the libraries, and what they compile and keep."""
_MEMORY_SHARE = 0.5
"""Share of the free memory that workers may take; the rest is for Ray, for files, and for larger batches."""
_MOST_CALLS = 8


class MachineShare(NamedTuple):
    """Division of the cores, GPUs and memory of a cluster among equal workers.

    Attributes:
        workers: Number of workers.
        threads: Threads of the arithmetic of each.
        cpus: Cores that Ray reserves for each, possibly a part of one.
        gpus: GPUs of each, possibly a part of one.
        calls: Batches that a worker has at once: one is explained, others are read, drawn and saved meanwhile.
        is_short: Whether memory holds fewer workers than there are cores.
    """

    workers: int
    threads: int
    cpus: float
    gpus: float
    calls: int
    is_short: bool


def divide_machine(
    cpus: int, gpus: int, needed_bytes: float, free_bytes: float, workers: int | None = None
) -> MachineShare:
    """Divide a cluster among as many workers as it has GPUs, or else cores, as far as memory holds them.

    A number of workers that the user gives is kept, with a thread each, so that their sums do not depend on it.

    Args:
        cpus: Cores, at least 1.
        gpus: GPUs.
        needed_bytes: Memory that a worker needs, see `worker_bytes`.
        free_bytes: Free memory.
        workers: Number of workers; None for as many as fit.

    Example:
        >>> divide_machine(2, 0, 1e9, 16e9)
        MachineShare(workers=2, threads=1, cpus=0.5, gpus=0.0, calls=2, is_short=False)
        >>> divide_machine(16, 0, 4e9, 16e9).workers
        2
    """
    held = max(1, int(_MEMORY_SHARE * free_bytes / needed_bytes))
    chosen = workers or gpus or min(max(1, cpus), held)
    is_short = not workers and not gpus and held < cpus
    threads = cpus // chosen if is_short else 1
    return MachineShare(
        workers=chosen,
        threads=threads,
        # Ray Data waits forever if actors take every core.
        cpus=min(float(threads), max(1, cpus - 1) / chosen),
        gpus=min(1.0, gpus / chosen),
        # A GPU would wait for the pictures if one thread drew them.
        calls=min(_MOST_CALLS, max(2, cpus // chosen)) if gpus else 2,
        is_short=is_short,
    )


def worker_bytes(package_bytes: int, image_bytes: int) -> int:
    """Memory that a worker needs at least.

    Args:
        package_bytes: Size of the files of all packages that it loads; loading them takes as much again.
        image_bytes: Memory of one field in a pass of the network.
    """
    return _PROCESS_BYTES + 2 * package_bytes + image_bytes
