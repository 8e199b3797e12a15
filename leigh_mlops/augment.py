"""Command ``augment``: show what an augmentation does to a field and to its intensities."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import Augment, Data, Platemap, Seed, console, run


def augment(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="PNG file of the preview.")] = Path("preview.png"),
    augmentation: Augment = None,
    field: Annotated[
        str | None, typer.Option(help="Field to show, such as plate/B03/1; by default one of medium intensity.")
    ] = None,
    platemap: Platemap = None,
    image_size: Annotated[int, typer.Option(help="Image side in pixels, a multiple of 32.")] = 224,
    flip: Annotated[float, typer.Option(min=0, max=1, help="Probability of each of the two flips.")] = 0.5,
    rotation_degrees: Annotated[float, typer.Option(min=0, max=180, help="Largest rotation either way.")] = 10.0,
    seed: Seed = 0,
) -> None:
    """Draw sixteen versions of a field in each channel, next to the field, with histograms of their intensities."""
    from leigh_mlops.report.augmentation_sheet import augmentation_sheet
    from leigh_mlops.report.sentences import intensity_sentences
    from leigh_mlops.report.style import save_figure
    from leigh_mlops.settings import read_augmentation
    from leigh_mlops.study.augmentation_preview import preview_augmentation

    text = read_augmentation(augmentation, Path())
    preview = preview_augmentation(
        data, text, console, platemap=platemap, field=field, image_size=image_size, flip=flip,
        rotation_degrees=rotation_degrees, seed=seed,
    )  # fmt: skip
    title = f"Augmentation {augmentation or 'published'} of {preview.field}"
    save_figure(augmentation_sheet(preview.field_raw, preview.versions, preview.channels, title), out)
    for sentence in intensity_sentences(preview.channels, preview.changes):
        console.print(sentence, markup=False)
    console.print(f"Wrote the preview to {out}.", markup=False)


if __name__ == "__main__":
    run(augment)
