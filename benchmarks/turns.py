"""Several ways to do the same thing, timed in turns, so that whatever else runs slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["median_seconds"]


def median_seconds(
    sides: Mapping[str, Callable[[], object]], *, turns: int, discarded: int = 2, title: str = ""
) -> dict[str, float]:
    """Median seconds of each side; prints a table with the fastest and the slowest turn.

    Args:
        sides: What to time, by name; all of them run once in every turn.
        turns: Turns that count, at least 1.
        discarded: First turns that do not: caches fill and libraries choose their kernels.
        title: Above the table.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(discarded + turns):
        for name, work in sides.items():
            took = _seconds(work)
            if turn >= discarded:
                seconds[name].append(took)
    print(f"{title}, {turns} turns: median (fastest to slowest) in seconds")
    for name, each in seconds.items():
        print(f"  {name:32} {statistics.median(each):9.3f} ({min(each):.3f} to {max(each):.3f})")
    return {name: statistics.median(each) for name, each in seconds.items()}


def _seconds(work: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    """Until the accelerator, where there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
