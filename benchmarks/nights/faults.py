"""Schedules of faults, each a pure function of its seed."""

import random
from enum import Enum

__all__ = ["Fault", "draw_faults"]

_LAST_STEP = 420
_MOST_FAULTS = 6


class Fault(Enum):
    """Kind of fault, with its weight among all."""

    KILL = "the driver is killed", 5
    CRASH = "the machine loses power", 4
    SIGNAL = "Ctrl-C or SIGTERM", 2
    FULL = "the disk is full for a while", 2
    AWAY = "the store does not answer for a while", 2
    ERROR = "the store answers 500 for a while", 2
    LOST = "the store does what is asked, or a part of it, and its answer is lost", 3
    DOUBLE = "the store does what is asked twice, since the client repeats a request", 3
    LATE = "the store answers late", 2
    CLOCK = "the clock jumps", 2
    DEATH = "the search's process dies", 3
    SILENCE = "the search's process falls silent", 1
    BREAKAGE = "the search's process finds its cluster gone", 1
    FAILED_START = "the cluster does not start", 1

    @property
    def weight(self) -> int:
        """Weight in the draw."""
        return int(self.value[1])


def draw_faults(seed: int) -> dict[int, Fault]:
    """Draw a schedule: faults by the number of the step at which they happen."""
    dice = random.Random(f"faults {seed}")
    kinds = list(Fault)
    chosen = dice.choices(kinds, [kind.weight for kind in kinds], k=dice.randint(1, _MOST_FAULTS))
    return {dice.randint(1, _LAST_STEP): kind for kind in chosen}
