"""Command ``synthesize``: draw demo plates to try the commands on."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leigh_mlops.commands import console, run, split_list
from leigh_mlops.errors import LeighError
from leigh_mlops.progress import Progress

if TYPE_CHECKING:
    from leigh_mlops.plates import DemoDesign

__all__ = ["synthesize"]

_EFFECT_TEXTS = {
    "both": "the brightness of TMRM and the shape of the mitochondria",
    "intensity": "the brightness of TMRM, not the shape of the mitochondria",
    "morphology": "the shape of the mitochondria, not the total brightness of TMRM",
}
_FLAW_TEXTS = {
    "saturated": "saturated",
    "out_of_focus": "out of focus",
    "empty": "without cells",
    "debris": "with debris",
}
_CONFOUNDER_TEXTS = {
    "position": "each class stands in a block of its own, so that the place on the plate gives it away",
    "background": "the background is brighter from class to class",
    "plate": "each plate holds one class, so that the plate gives it away",
    "donor": "each class has its own donors, whose nuclei differ in size",
}


def synthesize(
    out: Annotated[Path, typer.Argument(help="Folder to write; an earlier demo plate there is replaced.")],
    *,
    wells_per_class: Annotated[
        int | None, typer.Option(min=1, max=400, help="Wells of each class on each plate; by default 18.")
    ] = None,
    wells: Annotated[
        int | None, typer.Option(help="96 or 384: fill whole plates, edges included, instead of --wells-per-class.")
    ] = None,
    plates: Annotated[int, typer.Option(min=1, max=99, help="Plates.")] = 1,
    fields: Annotated[int, typer.Option(min=1, max=99, help="Images (fields) of each well.")] = 3,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of an image, pixels.")] = 128,
    classes: Annotated[
        str,
        typer.Option(help="Classes, with commas: WT healthy, DS patient, TT treated with FCCP."),
    ] = "DS,TT",
    effect: Annotated[str, typer.Option(help=f"What differs in TMRM: {', '.join(_EFFECT_TEXTS)}.")] = "both",
    confounder: Annotated[
        str,
        typer.Option(help=f"What else gives the class away, to see it found: none, {', '.join(_CONFOUNDER_TEXTS)}."),
    ] = "none",
    twins: Annotated[bool, typer.Option("--twins", help="Draw each field in each class, too: the same cells.")] = False,
    plate_effect: Annotated[
        float, typer.Option(min=0, max=1, help="How much plates, rows, columns and edges differ, as a share.")
    ] = 0.05,
    illumination: Annotated[
        float, typer.Option(min=0, max=0.8, help="Share of the light that is lacking in a corner of an image.")
    ] = 0.35,
    illumination_images: Annotated[
        bool, typer.Option("--illumination-images", help="Write the illumination images (.npy), too.")
    ] = False,
    saturated: Annotated[float, typer.Option(min=0, max=1, help="Share of fields that are exposed too long.")] = 0.0,
    out_of_focus: Annotated[float, typer.Option(min=0, max=1, help="Share of fields that are out of focus.")] = 0.0,
    empty: Annotated[float, typer.Option(min=0, max=1, help="Share of fields without cells.")] = 0.0,
    debris: Annotated[float, typer.Option(min=0, max=1, help="Share of fields with bright debris.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same plates.")] = 0,
) -> None:
    """Draw plates of neurons as a microscope would photograph them, to try the commands without data."""
    from leigh_mlops.plates import DemoDesign, write_demo_plate

    if wells is not None and wells_per_class is not None:
        raise LeighError(f"--wells {wells} fills the plate and --wells-per-class {wells_per_class} does not; keep one.")
    design = DemoDesign(
        classes=split_list(classes) or [],
        wells_per_class=wells_per_class or 18,
        fields_per_well=fields,
        image_size_px=size,
        seed=seed,
        wells=wells,
        plates=plates,
        effect=effect,
        confounder=confounder,
        plate_effect=plate_effect,
        illumination=illumination,
        saturated=saturated,
        out_of_focus=out_of_focus,
        empty=empty,
        debris=debris,
    )
    with Progress(console, "drawing fields", design.field_count) as progress:
        folder = write_demo_plate(
            out, design, twins=twins, illumination_images=illumination_images, progress=progress.advance
        )
    _print_summary(folder, design)


def _print_summary(folder: Path, design: "DemoDesign") -> None:
    from leigh_mlops.plates import find_twins, flawed_fields

    plates = f" on {design.plates} plates" if design.plates > 1 else ""
    wells, named = design.plates * design.wells_per_plate, ", ".join(design.classes)
    console.print(f"Drew {wells} wells{plates}, {design.field_count} fields of {named} into {folder}.", markup=False)
    if len(design.classes) > 1:
        console.print(f"The classes differ in {_EFFECT_TEXTS[design.effect]}.")
    if design.confounder != "none":
        console.print(f"Planted to mislead: {_CONFOUNDER_TEXTS[design.confounder]}.")
    if flaws := flawed_fields(folder)["flaw"].value_counts().to_dict():
        said = ", ".join(f"{flaws[flaw]} {words}" for flaw, words in _FLAW_TEXTS.items() if flaw in flaws)
        console.print(f"Flawed fields: {said}; {folder / 'truth.json'} says which.", markup=False)
    if twins := find_twins(folder):
        console.print(
            f"Twins, the same cells in each class: {next(iter(twins.values())).parent}/CLASS "
            "(a hidden folder, so that no twin is taken for data).",
            markup=False,
        )
    console.print("These images are drawn: they show that the tools work, not how cells behave.")
    console.print(f"Next: {shlex.join(['python', '-m', 'leigh_mlops.ingest', str(folder)])}", markup=False)


if __name__ == "__main__":
    run(synthesize)
