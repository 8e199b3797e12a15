"""Searches that did not reach their end: what becomes of their runs."""

import time

from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.saved import SavedSearch, dead_searches, held_search
from leigh_mlops.tracking import Run, Store

__all__ = ["STOPPED_WAIT_S", "ago", "close_dead", "delivery_of"]

STOPPED_WAIT_S = 10.0
"""How long a store that does not answer is waited for at the end."""


def close_dead(store: Store, console: Console) -> None:
    """Runs of searches whose process is gone end as KILLED, and their user hears how to go on.

    Searches of other stores are left alone, and so are those that a store does not know any more.
    """
    for folder in dead_searches():
        with held_search(folder) as saved:
            opened, parent = saved.opened, store.search_run(folder.name)
            if opened is None or parent is None or opened["study"]["store"] != store.words:
                continue
            console.print(
                f"A search of {opened['facts']['data']} that was begun {ago(opened['time'])} did not reach its end; "
                "--resume goes on with it.",
                markup=False,
            )
            if saved.journal.events[-1]["what"] == "paused":
                continue
            # The last sign of life, from which on no time is spent.
            last = saved.journal.events[-1]["time"]
            saved.journal.append("paused", time=last, reason="its process is gone; --resume goes on", status="KILLED")
            with delivery_of(saved, store, parent) as delivery:
                delivery.flush(STOPPED_WAIT_S)


def delivery_of(saved: SavedSearch, store: Store, parent: Run) -> Delivery:
    """The delivery of a search that was opened."""
    opened = saved.journal.first("opened")
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


def ago(moment: float) -> str:
    """How long ago that was, in words."""
    minutes = (time.time() - moment) / 60
    return f"{minutes:.0f} minutes ago" if minutes < 120 else f"{minutes / 60:.0f} hours ago"
