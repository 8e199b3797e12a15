"""Command ``synthesize``: draw a plate to try everything on."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import Seed, console, run, split_list
from leigh_mlops.plates.demo import write_demo_plate

__all__ = ["synthesize"]


def synthesize(
    out: Annotated[Path, typer.Argument(help="Folder to write; an earlier demo plate there is replaced.")],
    *,
    wells_per_class: Annotated[int, typer.Option(min=1, max=400, help="Wells of each class.")] = 18,
    fields: Annotated[int, typer.Option(min=1, max=99, help="Images (fields) of each well.")] = 3,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of an image, pixels.")] = 128,
    classes: Annotated[
        str,
        typer.Option(help="Classes, with commas: WT healthy, DS patient, TT treated with FCCP."),
    ] = "DS,TT",
    seed: Seed = 0,
) -> None:
    """Draw a plate of neurons as a microscope would photograph it, to try the commands without data."""
    names = split_list(classes) or []
    folder = write_demo_plate(
        out,
        classes=names,
        wells_per_class=wells_per_class,
        fields_per_well=fields,
        image_size_px=size,
        seed=seed,
    )
    wells = len(names) * wells_per_class
    console.print(f"Drew {wells} wells, {wells * fields} fields of {', '.join(names)} into {folder}.", markup=False)
    console.print("These images are drawn: they show that the tools work, not how cells behave.")
    console.print(f"Next: python -m leigh_mlops.ingest {folder}", markup=False)


if __name__ == "__main__":
    run(synthesize)
