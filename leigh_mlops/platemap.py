"""Command ``platemap``: show how a plate map is read, before anything else runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import console, run

__all__ = ["platemap"]


def platemap(
    path: Annotated[Path, typer.Argument(help="Plate map (CSV or TSV), or a list of plates with the map of each.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="PNG of the plates; by default next to the plate map.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file for columns, cells and wells.")] = None,
) -> None:
    """Show what the columns of a plate map are taken for, the cells that can't be read, and each well in a picture."""
    from leigh_mlops.plates import parse_platemap
    from leigh_mlops.report.image_files import atomic_write
    from leigh_mlops.report.platemap_sentences import count_lines, platemap_lines, summarize_platemap
    from leigh_mlops.report.style import save_figure
    from leigh_mlops.report.well_picture import platemap_picture

    reading = parse_platemap(path)
    for line in (*platemap_lines(reading.headers, reading.problems), *count_lines(reading)):
        console.print(line, markup=False)
    if json_path is not None:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(summarize_platemap(reading), indent=2) + "\n", encoding="utf-8")
    if reading.table.empty:
        return
    picture = save_figure(platemap_picture(reading, path.name), out or path.with_suffix(".platemap.png"))
    console.print(f"Wrote the plates to {picture}.", markup=False)


if __name__ == "__main__":
    run(platemap)
