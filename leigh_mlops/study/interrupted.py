"""Closing the runs of searches that did not finish."""

from rich.console import Console

from leigh_mlops.events import Opened, Paused
from leigh_mlops.study.console_summary import print_interrupted
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.search_folder import SavedSearch, interrupted_searches, locked_search
from leigh_mlops.tracking import Run, Store

__all__ = ["STOPPED_WAIT_S", "close_interrupted", "create_delivery"]

STOPPED_WAIT_S = 10.0
"""Time to wait at the end for a store that does not answer."""


def close_interrupted(store: Store, console: Console) -> None:
    """End the runs of searches whose process is gone as KILLED, and print how to resume.

    Searches of other stores are ignored, and so are those that the store no longer has.
    """
    for folder, opened in interrupted_searches().items():
        with locked_search(folder) as saved:
            parent = store.find_search_run(folder.name)
            if parent is None or opened.study["store"] != store.location:
                continue
            print_interrupted(console, opened)
            events = saved.journal.events
            if not events or isinstance(events[-1], Paused):
                continue
            # After the last sign of life no time was spent.
            saved.journal.append(Paused("its process is gone; continue with --resume", "KILLED", time=events[-1].time))
            with create_delivery(saved, opened, store, parent) as delivery:
                delivery.flush(STOPPED_WAIT_S)


def create_delivery(saved: SavedSearch, opened: Opened, store: Store, parent: Run) -> Delivery:
    """Create the delivery of a search that was opened."""
    return Delivery(
        saved.journal,
        store,
        parent,
        facts=opened.facts,
        spaces={space["family"]: space for space in opened.study["spaces"]},
        done=saved.folder / "delivered",
    )
