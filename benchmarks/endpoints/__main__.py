"""Endpoints other than the transport: networks and simple corrections of transported fields, evaluated as it is.

``python -m benchmarks.endpoints [DATA] [--methods correction denoiser refiner translator] [--minutes 6]`` splits wells
as ``benchmarks.transport`` does: all is fitted on one third, evaluators are trained on another, and the last is
evaluated. For what is fitted to transported fields, these come from transports of the other half of their wells.

- correction: the histogram or the spectrum of transported fields is matched to that of real ones, or the transports of
  three draws of rotations are averaged. Histograms are matched by each of three divisions into halves, and also only as
  far as both halves agree.
- denoiser: transported fields are denoised by a network that is trained on noisy real fields of both classes. Noise is
  added before all but the first two; four steps lower it to 0.
- refiner: a residual network changes transported fields so that discriminators don't tell them from real ones, and that
  patches and fields have the same distributions of random filters (sliced Wasserstein distance).
- translator: the same network and losses, from the images themselves in place of transported ones.

``--minutes`` is the processor time in which the translator is trained; the refiner takes half of it, the denoiser a
quarter. The evaluators, the AUC, and the share of typical fields are those of ``benchmarks.transport``; DAPI is the
change of the mean DAPI relative to that of the real wells that are evaluated; ms is processor time per field, without
the transport where a method, whose name begins with +, follows it. As trainings end by time, figures differ a little
from run to run.
"""

import tempfile
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks.endpoints.corrections import Change, corrections
from benchmarks.endpoints.denoiser import denoise, train_denoiser
from benchmarks.endpoints.directions import Direction, fit_direction
from benchmarks.endpoints.translator import train_translator, translate
from benchmarks.transport import (
    Floats,
    Plate,
    RealFields,
    draw_sheet,
    fit_evaluators,
    milliseconds_per_field,
    open_plate,
    plate_parser,
    saved_intensities,
    well_differences,
)
from leigh_mlops.images import IntensityScale, fit_scale
from leigh_mlops.report.style import save_figure

METHODS = ("correction", "denoiser", "refiner", "translator")
NOISES = ((0.05, 1, False), (0.15, 1, False), (0.1, 2, True), (0.3, 4, True))
"""Noise in standard deviations, denoising steps, and whether the noise is added first."""


def evaluate(
    plate: Plate, scale: IntensityScale, given: Direction, found: dict[str, Change], real: RealFields
) -> tuple[list[dict[str, object]], dict[str, Floats]]:
    """A row for each change, and fields by title."""
    rows = plate.rows(2, given.source)
    raw, wells = plate.cache.raw(rows), plate.wells[rows]
    direction = f"{plate.classes[given.source]} to {plate.classes[1 - given.source]}"
    wanted = well_differences(plate, given.source, 2)[0][0]
    table, shown = list[dict[str, object]](), dict[str, Floats]()
    for name, change in found.items():
        begun = given.changed if name.startswith("+") else given.evaluated
        made = saved_intensities(raw, change(begun), scale)
        shown[f"{direction}: {name}"] = made
        record = {"direction": direction, "endpoint": name} | real.compare(made, wells)
        record["DAPI"] = float((made[:, 0] - raw[:, 0]).mean() / wanted)
        table.append(record | {"ms": milliseconds_per_field(change, begun)})
    return table, shown


def changes(given: list[Direction], method: str, minutes: float) -> list[dict[str, Change]]:
    """Changes by name for each direction; those that begin with + are applied to transported fields."""
    reals = [each.real for each in given]
    if method == "correction":
        return [corrections(each) for each in given]
    if method == "denoiser":
        network = train_denoiser(reals, minutes / 4)
        names = {
            each: f"+ noise {each[0]:g}, {each[1]} step{'s' * (each[1] > 1)}{', added' if each[2] else ''}"
            for each in NOISES
        }
        return [
            {name: partial(denoise, network, each.source, *noise) for noise, name in names.items()} for each in given
        ]
    if method == "refiner":
        network = train_translator([each.moved for each in given], reals, 0.3, minutes / 2)
        return [{"+ refiner": partial(translate, network, each.source)} for each in given]
    network = train_translator([each.images for each in given], reals, 0.02, minutes)
    return [{"translator": partial(translate, network, each.source)} for each in given]


def show_references(plate: Plate, source: int) -> dict[str, Floats]:
    """Fields of a class and of the other that are evaluated, by title."""
    names = plate.classes[source], plate.classes[1 - source]
    titles = f"{names[0]} to {names[1]}: image", f"{names[0]} to {names[1]}: real {names[1]}"
    return {
        title: plate.cache.raw(plate.rows(2, label)) for title, label in zip(titles, (source, 1 - source), strict=True)
    }


def main() -> None:
    """Evaluate each method in both directions and print its results."""
    parser = plate_parser(__doc__)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--minutes", type=float, default=6.0, help="processor minutes of the longest training")
    parser.add_argument("--sheet", type=Path, help="PNG of six fields of each direction and endpoint")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plate = open_plate(given.data, given.size, Path(folder), given.seed)
        scale = fit_scale(plate.cache, plate.rows(0), "log")
        panel = fit_evaluators(plate, given.seed, given.epochs)
        directions = [fit_direction(plate, scale, source, given.seed) for source in (0, 1)]
        reals = [RealFields(plate, 1 - source, panel, given.seed) for source in (0, 1)]
        shown = [show_references(plate, source) for source in (0, 1)]
        begin = [{"transport": each.draws[0].apply} for each in directions]
        for method in ("", *given.methods):
            torch.manual_seed(given.seed)
            found = changes(directions, method, given.minutes) if method else begin
            for number, each in enumerate(zip(directions, found, reals, strict=True)):
                table, fields = evaluate(plate, scale, *each)
                print(pd.DataFrame(table).round(3).to_string(index=False), flush=True)
                shown[number] |= fields
    if given.sheet:
        save_figure(draw_sheet(shown[0] | shown[1]), given.sheet)


if __name__ == "__main__":
    main()
