"""Searches of several families in one process, side by side where there is room."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from leigh_mlops.events import Outcome
from leigh_mlops.search.request import Message, SearchCompletion, SearchPlan, SearchRequest, SearchStart
from leigh_mlops.search.run_search import run_search
from leigh_mlops.search.trial_pool import TrialPool

__all__ = ["run_families"]

_LOOK_S = 0.5
_END_WAIT_S = 30.0


def run_families(
    plan: SearchPlan, send: Callable[[Message], None], stop: threading.Event, longest_wait_s: float = math.inf
) -> None:
    """Search the families of a plan in order.

    The next family starts when all trials of the earlier ones run and leave cores or GPUs idle, or have ended. A
    population shares with nobody, since all its members train at once.

    Args:
        plan: Families to search, and their common time budget.
        send: Message handler; it hears the start, the events and the end of each family.
        stop: Once set, no family and no trial starts, and running trials stop after their epoch.
        longest_wait_s: How long trials may wait for a worker while none runs.

    Raises:
        Exception: What ended the search of a family, after those of the others were ended as well.
    """
    queue = _FamilyQueue(plan, send, stop, longest_wait_s)
    try:
        while queue.waiting or queue.running:
            queue.start_families()
            queue.collect_ends()
    except BaseException:
        queue.abandon()
        raise


class _FamilyQueue:
    """Families that wait, and those that are searched, each in a thread of its own."""

    def __init__(
        self, plan: SearchPlan, send: Callable[[Message], None], stop: threading.Event, longest_wait_s: float
    ) -> None:
        self.waiting, self.running = list(plan.requests), dict[Future[Outcome], SearchRequest]()
        self._send, self._stop, self._longest_wait_s = send, stop, longest_wait_s
        self._pool = TrialPool(plan.requests)
        self._threads = ThreadPoolExecutor(len(plan.requests), thread_name_prefix="family")
        self._deadline = None if plan.time_budget_s is None else time.monotonic() + plan.time_budget_s

    def start_families(self) -> None:
        """Start the next family if there is room; after a stop, none starts any more."""
        if self._stop.is_set():
            for request in self.waiting:
                self._send(SearchCompletion(request.space.family, "stopped"))
            self.waiting.clear()
        while self.waiting and self._may_start(self.waiting[0]):
            request = replace(self.waiting[0], time_budget_s=self._share_time())
            del self.waiting[0]
            self._send(SearchStart(request.space.family, request.time_budget_s))
            self.running[self._threads.submit(self._search, request)] = request

    def _may_start(self, request: SearchRequest) -> bool:
        if not self.running:
            return True
        spaces = [each.space for each in self.running.values()]
        if any(space.algorithm == "pbt" for space in (request.space, *spaces)):
            return False
        return self._pool.has_room(request, [space.family for space in spaces])

    def _share_time(self) -> float | None:
        """Share the time that is left among the families that have not started; return that of the first."""
        if self._deadline is None:
            return None
        shares = [request.space.time_share for request in self.waiting]
        return max(1.0, shares[0] / sum(shares) * (self._deadline - time.monotonic()))

    def _search(self, request: SearchRequest) -> Outcome:
        try:
            return run_search(request, self._send, self._stop, self._longest_wait_s, self._pool)
        finally:
            self._pool.leave(request.space.family)

    def collect_ends(self) -> None:
        """Wait a moment for the ends of families, and send them.

        Raises:
            Exception: What ended the search of a family.
        """
        ended, _ = wait(self.running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
        for future in ended:
            how = future.result()
            self._send(SearchCompletion(self.running.pop(future).space.family, how))

    def abandon(self) -> None:
        """End all searches at once, and wait a moment for them, as Ray must not end before them."""
        self._pool.is_abandoned = True
        wait(self.running, timeout=_END_WAIT_S)
        self._threads.shutdown(wait=False)
