"""Closing the runs of searches that did not finish."""

import time

from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.search_folder import SavedSearch, interrupted_searches, locked_search
from leigh_mlops.tracking import Run, Store

__all__ = ["STOPPED_WAIT_S", "format_elapsed", "close_interrupted", "create_delivery"]

STOPPED_WAIT_S = 10.0
"""Time to wait at the end for a store that does not answer."""


def close_interrupted(store: Store, console: Console) -> None:
    """End the runs of searches whose process is gone as KILLED, and print how to resume.

    Searches of other stores are ignored, and so are those that the store no longer has.
    """
    for folder in interrupted_searches():
        with locked_search(folder) as saved:
            opened, parent = saved.opening_event, store.find_search_run(folder.name)
            if opened is None or parent is None or opened["study"]["store"] != store.location:
                continue
            console.print(
                f"A search of {opened['facts']['data']} that was begun {format_elapsed(opened['time'])} did not reach "
                "its end; --resume goes on with it.",
                markup=False,
            )
            if saved.journal.events[-1]["what"] == "paused":
                continue
            # The last sign of life, from which on no time is spent.
            last = saved.journal.events[-1]["time"]
            saved.journal.append("paused", time=last, reason="its process is gone; --resume goes on", status="KILLED")
            with create_delivery(saved, store, parent) as delivery:
                delivery.flush(STOPPED_WAIT_S)


def create_delivery(saved: SavedSearch, store: Store, parent: Run) -> Delivery:
    """Create the delivery of a search that was opened."""
    opened = saved.journal.find_first("opened")
    if opened is None:
        raise LeighError(f"{saved.folder} holds no search; remove it.")
    return Delivery(
        saved.journal,
        store,
        parent,
        facts=opened["facts"],
        image_sizes={space["family"]: space["image_size"] for space in opened["study"]["spaces"]},
        done=saved.folder / "delivered",
    )


def format_elapsed(moment: float) -> str:
    """Describe the time since a moment in words."""
    minutes = (time.time() - moment) / 60
    return f"{minutes:.0f} minutes ago" if minutes < 120 else f"{minutes / 60:.0f} hours ago"
