"""Command ``leaderboard``: the ranked trials of a search."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import Store, console, run
from leigh_mlops.errors import LeighError


def leaderboard(
    search: Annotated[
        str | None, typer.Option(help="Run of the search, as named in the UI; by default the newest.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of trials to show per family.")] = 20,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file for all trials.")] = None,
    store: Store = None,
) -> None:
    """Show the ranked trials of a search, with the baselines for comparison."""
    from leigh_mlops.report import terminal_tables
    from leigh_mlops.report.image_files import atomic_write
    from leigh_mlops.report.sentences import format_count
    from leigh_mlops.tracking import Store as Tracking

    tracking = Tracking.open(store)
    parent = tracking.newest_search() if search is None else tracking.get_run(search)
    rows = terminal_tables.leaderboard_rows(tracking.child_records(parent))
    if not rows:
        raise LeighError(f"The run {parent.id} has no trials; pass the run of a search, or omit --search.")
    if json_path is not None:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    winners = {row["model"] for row in rows if row["winner"]}
    console.print(terminal_tables.leaderboard_table(rows, winners=winners, top=top))
    for status, count in Counter(row["status"] for row in rows if row["kind"] == "network").items():
        console.print(f"{format_count(count, 'trial')} {status.lower()}")


if __name__ == "__main__":
    run(leaderboard)
