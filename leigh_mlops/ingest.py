"""Command ``ingest``: say which images are there before anything is trained on them."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from leigh_mlops.commands import Platemap, console, run
from leigh_mlops.plates import Found, find_images, probe_position, write_table

__all__ = ["ingest", "summarize"]

_EXAMPLES = 3
_SUSPICIOUS_AUC = 0.8


def ingest(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of images (class folders or a microscope's folder) or an image table."),
    ],
    preset: Annotated[str, typer.Option(help="How the files are named; auto finds out.")] = "auto",
    platemap: Platemap = None,
    out: Annotated[Path | None, typer.Option(help="Write the image table here (.parquet or .csv).")] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the summary here, for other programs.")
    ] = None,
) -> None:
    """Show which images are in a folder, what they are, and whether their layout can mislead."""
    found = find_images(data, platemap, preset=preset)
    summary = summarize(found)
    _warn_of_position(summary)
    _show(found, summary)
    if out is not None:
        write_table(found.table, out)
        console.print(f"Wrote the image table to {out}.", markup=False)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print(f"Next: {_next_command(data, out, platemap, summary)}", markup=False)


def summarize(found: Found) -> dict[str, Any]:
    """What was found, as plain numbers and names.

    Returns:
        ``fields``, ``wells``, ``plates``, ``preset``, ``channels``, ``classes`` (name to wells and
        fields), ``unmatched`` (files), ``unjoined`` (wells), ``flags`` (fields per kind of flaw) and
        ``confounds`` (``position``: accuracy and auc, empty where they cannot be computed).
    """
    table = found.table
    lacking = table[[f"FileName_{channel}" for channel in found.channels]].isna().any(axis=1)
    classes = table.dropna(subset="Metadata_Condition").groupby("Metadata_Condition")
    return {
        "fields": len(table),
        "wells": _count_wells(table),
        "plates": int(table["Metadata_Plate"].nunique()),
        "preset": found.preset,
        "channels": list(found.channels),
        "classes": {str(name): {"wells": _count_wells(rows), "fields": len(rows)} for name, rows in classes},
        "unmatched": [str(path) for path in found.unmatched],
        "unjoined": found.unjoined,
        "flags": {"missing_channel": int(lacking.sum())},
        "confounds": {"position": probe_position(table)},
    }


def _count_wells(table: pd.DataFrame) -> int:
    return len(table[["Metadata_Plate", "Metadata_Well"]].drop_duplicates())


def _warn_of_position(summary: dict[str, Any]) -> None:
    auc = summary["confounds"]["position"].get("auc", 0.0)
    if auc > _SUSPICIOUS_AUC:
        console.print(
            f"[bold yellow]The position on the plate alone tells the classes apart (AUC {auc:.2f}): "
            "no score on these images can tell biology from position.[/]"
        )


def _show(found: Found, summary: dict[str, Any]) -> None:
    console.print(
        f"Found {summary['fields']} fields in {summary['wells']} wells; plates: {summary['plates']}; "
        f"file names: {found.preset}; channels: {', '.join(found.channels)}.",
        markup=False,
    )
    if found.unmatched:
        _list("Image files that match no known name", [path.name for path in found.unmatched])
    if found.unjoined:
        _list("Wells that are not in the plate map", found.unjoined)
    if missing := summary["flags"]["missing_channel"]:
        console.print(f"Fields that lack a channel: {missing}.")
    classes = Table("class", "wells", "fields")
    for name, counts in summary["classes"].items():
        classes.add_row(name, str(counts["wells"]), str(counts["fields"]))
    console.print(classes)
    if unclassed := summary["fields"] - sum(counts["fields"] for counts in summary["classes"].values()):
        console.print(f"Fields without a class, left out of training: {unclassed}.")


def _list(what: str, names: list[str]) -> None:
    more = ", …" if len(names) > _EXAMPLES else ""
    console.print(f"{what}: {len(names)} ({', '.join(names[:_EXAMPLES])}{more}).", markup=False)


def _next_command(data: Path, out: Path | None, platemap: Path | None, summary: dict[str, Any]) -> str:
    if len(summary["classes"]) < 2:
        return "name the class of each well in a platemap.csv (well_position,condition), then ingest again."
    words = ["python", "-m", "leigh_mlops.tune", "--data", str(out or data)]
    if platemap is not None and out is None:
        words += ["--platemap", str(platemap)]
    return shlex.join(words)


if __name__ == "__main__":
    run(ingest)
