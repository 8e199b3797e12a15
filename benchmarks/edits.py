"""Parts of the transport alone and smallest edits, evaluated on held-out wells.

``python -m benchmarks.edits [DATA] [--size 64] [--every 4]`` splits the wells as ``benchmarks.transport`` does: one
part fits the maps, one trains the evaluators, one evaluates. The first table gives the share of fields that each
evaluator predicts as the target class after one named part of the transport alone, and the mean absolute change of each
channel in 255ths of the full scale. The second gives the mask curve of every few fields, ordered by the transport's
absolute change and by chance: its mean area, the share of pixels of the smallest edit with which most evaluators
predict the target class (median), and the share of fields that have one, of the fields that they do not assign to the
target class as they are.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.transport import apply_map, class_fields, fit_evaluators, open_plate, plate_parser
from leigh_mlops.explanations import MaskCurve, mask_curve
from leigh_mlops.images import fit_scale
from leigh_mlops.models.oracles import OraclePanel
from leigh_mlops.models.transport import fit_transport, named_parts
from leigh_mlops.plates import find_images

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Row = dict[str, object]


def evaluate_parts(
    panel: OraclePanel, raw: Floats, typical: Floats, channels: tuple[str, ...], target: int
) -> list[Row]:
    """A row for the image, for its typical image and for each part between them."""
    begin = time.process_time()
    parts = named_parts(raw, typical, channels)
    ms = 1000 * (time.process_time() - begin) / len(raw)
    found = []
    for name, changed in {"nothing": raw, "typical": typical, **parts}.items():
        shares = {f"by {by}": float((each.argmax(1) == target).mean()) for by, each in panel.log_probs(changed).items()}
        changes = np.abs(changed - raw).mean(axis=(0, 2, 3))
        found.append({"part": name, **shares, **dict(zip(channels, changes, strict=True)), "ms for all": ms})
    return found


def evaluate_masks(panel: OraclePanel, raw: Floats, typical: Floats, target: int, order: str) -> Row:
    """Mean area and smallest edits of the mask curves."""

    def predict(fields: Floats) -> dict[str, Doubles]:
        return {name: np.exp(each) for name, each in panel.log_probs(fields).items()}

    rng, curves = np.random.default_rng(0), list[MaskCurve]()
    for image, goal in zip(raw, typical, strict=True):
        by_change = np.abs(goal - image).sum(axis=0)
        change_map = by_change if order == "change" else rng.uniform(size=by_change.shape)
        curves.append(mask_curve(image, goal, change_map, target, predict))
    curves = [curve for curve in curves if curve.agreeing[0] <= len(panel.names) / 2]
    smallest = [curve.smallest.share for curve in curves if curve.smallest is not None]
    return {
        "order": order,
        **{f"area by {name}": float(np.mean([curve.areas[name] for curve in curves])) for name in panel.names},
        "smallest edit": float(np.median(smallest)) if smallest else np.nan,
        "fields with one": len(smallest) / len(curves),
    }


def main() -> None:
    """Evaluate both directions and print the results."""
    parser = plate_parser(__doc__)
    parser.add_argument("--every", type=int, default=4, help="evaluate every n-th field")
    given = parser.parse_args()
    parts, masks = list[Row](), list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        plate = open_plate(given.data, given.size, Path(folder), given.seed)
        scale = fit_scale(plate.cache, plate.rows(0), "log")
        panel = fit_evaluators(plate, given.seed, given.epochs)
        channels = tuple(find_images(given.data).channels)
        for source, target in ((0, 1), (1, 0)):
            ours, theirs = (class_fields(plate, 0, label, scale) for label in (source, target))
            raw = plate.cache.raw(plate.rows(2, source)[:: given.every])
            typical = apply_map(fit_transport(ours, theirs, seed=given.seed), raw, scale)
            direction = {"direction": f"{plate.classes[source]} to {plate.classes[target]}"}
            parts += [direction | row for row in evaluate_parts(panel, raw, typical, channels, target)]
            masks += [direction | evaluate_masks(panel, raw, typical, target, order) for order in ("change", "chance")]
    for table in (parts, masks):
        print(pd.DataFrame(table).round(3).to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
