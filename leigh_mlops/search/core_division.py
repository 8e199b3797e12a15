"""Division of a machine's cores among trials."""

__all__ = ["divide_cores"]


def divide_cores(cores: float, largest: float, trials: int, places: int, needed: float) -> float:
    """Divide the cores of a cluster among the trials that run at once.

    Args:
        cores: Cores of all machines.
        largest: Cores of the largest machine, as a trial runs on one.
        trials: Trials that have not ended.
        places: Trials that run at once where there are enough of them.
        needed: Cores that each trial needs.

    Returns:
        Cores of a trial, a whole number unless each needs less than one.

    Example:
        >>> [divide_cores(8, 8, trials, places=8, needed=1) for trials in (20, 8, 3, 1)]
        [1, 1, 2, 8]
        >>> divide_cores(8, 4, trials=1, places=8, needed=1)
        4
    """
    return max(needed, min(largest, cores // max(1, min(trials, places))))
