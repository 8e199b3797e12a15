"""Starts of Ray's node that fail, as they do on a busy machine, and the patience with them."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from rich.console import Console

from leigh_mlops.errors import LeighError

__all__ = ["PATIENCE_S", "ClusterStartError", "StartPatience", "describe_load"]

PATIENCE_S = 3600.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 300.0

T = TypeVar("T")


class ClusterStartError(LeighError):
    """Ray's processes did not start in time; another attempt may succeed."""


def describe_load() -> str:
    """Return the load of this machine in words, such as ``load 37.2 on 2 cores``."""
    cores = len(os.sched_getaffinity(0))
    return f"load {os.getloadavg()[0]:.1f} on {cores} core{'' if cores == 1 else 's'}"


class StartPatience:
    """Waits between failed starts that grow from 5 s to 5 min, until the patience is over.

    Args:
        console: Console to print to.
        limit_s: Seconds between the first failed start in a row and the last attempt.
        pause: Called with the seconds to wait.
    """

    def __init__(
        self, console: Console, limit_s: float = PATIENCE_S, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.console, self.limit_s, self._pause = console, limit_s, pause
        self._failures = 0
        self._deadline = 0.0

    def reset(self) -> None:
        """Forget earlier failures, since a start has succeeded."""
        self._failures = 0

    def wait(self, reason: str) -> None:
        """Print why a start failed, and wait before the next one.

        Raises:
            LeighError: The patience is over.
        """
        if not self._failures:
            self._deadline = time.monotonic() + self.limit_s
        self._failures += 1
        left_s = self._deadline - time.monotonic()
        why = f"{reason.rstrip('.')}; {describe_load()}"
        if left_s <= 0:
            raise LeighError(
                f"Ray did not start in {self._failures} attempt{'' if self._failures == 1 else 's'} within "
                f"{self.limit_s / 60:g} minutes ({why}); continue when the machine is less busy, or give a longer "
                "--ray-patience."
            )
        wait_s = min(_FIRST_WAIT_S * 2 ** (self._failures - 1), _LONGEST_WAIT_S, left_s)
        self.console.print(
            f"  Ray did not start ({why}); trying again in {wait_s:.0f} s, for at most {left_s / 60:.0f} minutes",
            style="yellow",
            markup=False,
        )
        self._pause(wait_s)

    def retry(self, start: Callable[[], T]) -> T:
        """Return what a start returns, as soon as one succeeds.

        Raises:
            LeighError: The patience is over.
        """
        while True:
            try:
                return start()
            except ClusterStartError as error:
                self.wait(str(error))
