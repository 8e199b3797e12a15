"""Command ``trends``: what changes from night to night, over finished jobs."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import console, run


def trends(
    out: Annotated[list[Path], typer.Argument(metavar="OUT_FOLDER…", help="Output folders of finished explain jobs.")],
    html: Annotated[Path, typer.Option("--html", help="File for the page.")] = Path("trends.html"),
) -> None:
    """Draw Z', flags and believed counterfactuals of many finished jobs on one page, to see drifts of plates."""
    from leigh_mlops.errors import escape_unprintable
    from leigh_mlops.jobs.reporting.nights import collect_nights
    from leigh_mlops.report.job.trends_page import write_trends
    from leigh_mlops.report.sentences import format_count

    nights = collect_nights(out)
    missing = [f"Left out: {escape_unprintable(folder)} ({reason})." for folder, reason in nights.left_out.items()]
    columns = {str(name): values.tolist() for name, values in nights.table.items()}
    write_trends(html, columns, missing)
    for sentence in missing:
        console.print(sentence, markup=False)
    console.print(
        f"Wrote the trends over {format_count(len(set(nights.table['folder'])), 'job')} to {html}.", markup=False
    )


if __name__ == "__main__":
    run(trends)
