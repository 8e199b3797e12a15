"""Command ``synthesize``: draw demo plates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leigh_mlops.command_line import command_line
from leigh_mlops.commands import console, run, split_list
from leigh_mlops.errors import LeighError
from leigh_mlops.progress import Progress

if TYPE_CHECKING:
    from leigh_mlops.plates import DemoDesign

__all__ = ["synthesize"]

_CLASS_TEXTS = {
    "WT": "healthy",
    "DS": "patient, with dimmer and fragmented mitochondria",
    "TT": "treated with FCCP, with nearly no membrane potential",
    "perinuclear": "mitochondria retracted beside the nucleus, neurites nearly without",
    "polyploid": "fewer cells with large nuclei",
    "apoptotic": "most nuclei condensed and bright, their mitochondria dark",
    "swollen": "mitochondria swollen to spheres, a little dimmer",
    "hyperpolarised": "the usual mitochondria, twice as bright",
}
_USUAL_CLASSES = ("WT", "DS", "TT")
_EFFECT_TEXTS = {
    "both": "TMRM intensity and mitochondrial shape",
    "intensity": "TMRM intensity, not in mitochondrial shape",
    "morphology": "mitochondrial shape, not in total TMRM intensity",
}
_FLAW_TEXTS = {
    "saturated": "saturated",
    "out_of_focus": "out of focus",
    "empty": "without cells",
    "debris": "with debris",
}
_CONFOUNDER_TEXTS = {
    "position": "each class has its own block of wells, so plate position predicts the class",
    "background": "background intensity increases from class to class",
    "plate": "each plate contains one class, so the plate predicts the class",
    "donor": "each class has its own donors, whose nuclei differ in size",
    "density": "cells are denser from class to class",
    "focus": "images are blurred more from class to class",
    "stamp": "all classes but the first have a scale bar in a corner",
}
_COMPOUND_TEXTS = {
    "inert": "does nothing",
    "rescuer": "makes patient cells look healthy",
    "toxic": "kills most cells, and those that survive look healthy",
    "swelling": "makes patient cells look healthy, with swollen nuclei",
}


def synthesize(
    out: Annotated[Path, typer.Argument(help="Output folder; an earlier demo plate in it is replaced.")],
    *,
    wells_per_class: Annotated[
        int | None, typer.Option(min=1, max=400, help="Wells per class and plate; by default 18.")
    ] = None,
    wells: Annotated[
        int | None,
        typer.Option(help="96 or 384: fill whole plates, including the edges, instead of --wells-per-class."),
    ] = None,
    plates: Annotated[int, typer.Option(min=1, max=99, help="Number of plates.")] = 1,
    fields: Annotated[int, typer.Option(min=1, max=99, help="Images (fields) per well.")] = 3,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Image side in pixels.")] = 128,
    classes: Annotated[
        str,
        typer.Option(help=f"Comma-separated classes, or the number of the first ones of {', '.join(_CLASS_TEXTS)}."),
    ] = "DS,TT",
    effect: Annotated[
        str, typer.Option(help=f"Difference between the classes in TMRM: {', '.join(_EFFECT_TEXTS)}.")
    ] = "both",
    confounder: Annotated[
        str,
        typer.Option(help=f"Known confounder, to test its detection: none, {', '.join(_CONFOUNDER_TEXTS)}."),
    ] = "none",
    twins: Annotated[bool, typer.Option("--twins", help="Also draw the same cells in every other class.")] = False,
    plate_effect: Annotated[
        float,
        typer.Option(min=0, max=1, help="Relative intensity differences between plates, rows, columns and edges."),
    ] = 0.05,
    plate_shift: Annotated[
        float,
        typer.Option(min=0, max=1, help="Differences between plates in gain, offset, focus and density of the cells."),
    ] = 0.0,
    illumination: Annotated[
        float, typer.Option(min=0, max=0.8, help="Relative loss of light in the corners of an image.")
    ] = 0.35,
    illumination_images: Annotated[
        bool, typer.Option("--illumination-images", help="Also write the illumination images (.npy).")
    ] = False,
    saturated: Annotated[float, typer.Option(min=0, max=1, help="Share of overexposed fields.")] = 0.0,
    out_of_focus: Annotated[float, typer.Option(min=0, max=1, help="Share of fields out of focus.")] = 0.0,
    empty: Annotated[float, typer.Option(min=0, max=1, help="Share of fields without cells.")] = 0.0,
    debris: Annotated[float, typer.Option(min=0, max=1, help="Share of fields with bright debris.")] = 0.0,
    compounds: Annotated[
        str,
        typer.Option(help=f"Comma-separated compounds of a screen, in wells of DS: {', '.join(_COMPOUND_TEXTS)}."),
    ] = "",
    wells_per_compound: Annotated[
        int, typer.Option(min=1, max=400, help="Wells of each compound on each plate; they count as wells of DS.")
    ] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the plates.")] = 0,
) -> None:
    """Draw plates of neurons in a microscope's file format, to try the commands without data."""
    from leigh_mlops.plates import DemoDesign, write_demo_plate
    from leigh_mlops.plates.demo.design import first_classes

    if wells is not None and wells_per_class is not None:
        raise LeighError(
            f"--wells {wells} and --wells-per-class {wells_per_class} exclude each other; pass one of them."
        )
    number = classes.strip()
    design = DemoDesign(
        classes=first_classes(int(number)) if number.isdecimal() else split_list(classes) or [],
        wells_per_class=wells_per_class or 18,
        fields_per_well=fields,
        image_size_px=size,
        seed=seed,
        wells=wells,
        plates=plates,
        effect=effect,
        confounder=confounder,
        plate_effect=plate_effect,
        plate_shift=plate_shift,
        illumination=illumination,
        saturated=saturated,
        out_of_focus=out_of_focus,
        empty=empty,
        debris=debris,
        compounds=split_list(compounds) or [],
        wells_per_compound=wells_per_compound,
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
    console.print(f"Wrote {wells} wells{plates}, {design.field_count} fields of {named} to {folder}.", markup=False)
    if set(design.classes) - set(_USUAL_CLASSES):
        for name in design.classes:
            console.print(f"Class {name}: {_CLASS_TEXTS[name]}.")
    elif len(design.classes) > 1:
        console.print(f"The classes differ in {_EFFECT_TEXTS[design.effect]}.")
    if design.is_drawn_by_lot:
        console.print("Chance places the classes, so that no column names one.")
    if design.confounder != "none":
        console.print(f"Confounder: {_CONFOUNDER_TEXTS[design.confounder]}.")
    for name in design.compounds:
        console.print(f"Compound {name}: {_COMPOUND_TEXTS[name]}.")
    if flaws := flawed_fields(folder)["flaw"].value_counts().to_dict():
        counts = ", ".join(f"{flaws[flaw]} {words}" for flaw, words in _FLAW_TEXTS.items() if flaw in flaws)
        console.print(f"Flawed fields: {counts}; see {folder / 'truth.json'}.", markup=False)
    if twins := find_twins(folder):
        console.print(
            f"Twins, the same cells in each class: {next(iter(twins.values())).parent}/CLASS "
            "(a hidden folder, which ingest ignores).",
            markup=False,
        )
    console.print("These images are synthetic: they test the software and show no biology.")
    console.print(f"Next: {command_line('ingest', str(folder))}", markup=False)


if __name__ == "__main__":
    run(synthesize)
