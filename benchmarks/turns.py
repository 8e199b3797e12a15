"""Timing of several alternatives in turns, so that other load slows all of them alike."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["median_seconds", "processor_seconds"]


def processor_seconds() -> float:
    """Return the time that all threads of this process have computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def median_seconds(
    sides: Mapping[str, Callable[[], object]],
    *,
    turns: int,
    discarded: int = 2,
    title: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Measure the median seconds of each side; print a table with the fastest and the slowest turn.

    Args:
        sides: Functions to time, by name; all of them run once in every turn.
        turns: Turns that count, at least 1.
        discarded: First turns that do not: caches fill and libraries choose their kernels.
        title: Title of the table.
        clock: Seconds since any moment.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(discarded + turns):
        for name, work in sides.items():
            took = _seconds(work, clock)
            if turn >= discarded:
                seconds[name].append(took)
    print(f"{title}, {turns} turns: median (fastest to slowest) in seconds")
    for name, each in seconds.items():
        print(f"  {name:32} {statistics.median(each):9.3f} ({min(each):.3f} to {max(each):.3f})")
    return {name: statistics.median(each) for name, each in seconds.items()}


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    _wait()
    start = clock()
    work()
    _wait()
    return clock() - start


def _wait() -> None:
    """Wait until the accelerator, if there is one, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
