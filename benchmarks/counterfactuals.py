"""Reliability of the counterfactuals of a trained i-ResNet on wells that it has never seen.

``python -m benchmarks.counterfactuals PACKAGE DATA [--oracle PACKAGE] [--sheet PICTURE]``: every counterfactual
is saved as a 16-bit TIFF, read again, and evaluated as read; one that can't be made counts as invalid. The oracle is
a classifier trained apart, for the same channels and image size. It also reports the round trip
of the network, the certified Lipschitz bounds of its branches, and whether the intensity of each channel
changes as it differs between the real classes.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from benchmarks.report import report
from leigh_mlops.explanations import (
    DEFAULT_CONFIDENCE,
    DEFAULT_COUNTERFACTUAL_KINDS,
    ExplanationContext,
    FieldExplanation,
    explain_fields,
    predict_fields,
)
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.models.invertible import ResidualBlock
from leigh_mlops.models.iresnet import InvertibleResNet
from leigh_mlops.report.image_files import read_tiff16, write_tiff16
from leigh_mlops.report.rendering import composite
from leigh_mlops.report.sheets import Panel, SheetRow, contact_sheet
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores.paired_changes import paired_changes, well_means
from leigh_mlops.study.evaluate_version import matching_data
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.training import PreparedData

BATCH = 8
Floats = npt.NDArray[np.float32]


class EvaluationOptions(NamedTuple):
    """Target probability of ``confident`` counterfactuals, and a separately trained classifier, or ``None``."""

    confidence: float
    oracle: ModelPackage | None


def evaluate_counterfactuals(
    package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64], folder: Path, given: EvaluationOptions
) -> pd.DataFrame:
    """Evaluate the saved file of each field and kind of counterfactual, one row each.

    Args:
        package: The model.
        data: Fields with their classes.
        rows: Rows to explain, shape (n,).
        folder: Folder of the files; a batch overwrites those of the last.
        given: Confidence and oracle.
    """
    records: list[dict[str, object]] = []
    for start in track(range(0, len(rows), BATCH), "counterfactuals", console=Console(stderr=True)):
        some = rows[start : start + BATCH]
        raw = data.cache.raw(some)
        context = ExplanationContext(kinds=DEFAULT_COUNTERFACTUAL_KINDS, confidence=given.confidence, change_maps=False)
        explained = explain_fields(package, raw, ("counterfactual",), context, make_saver(package, folder))
        for row, image, found in zip(some, raw, explained, strict=True):
            known = {"well": data.wells[row], "class": data.classes[data.labels[row]]}
            records += [known | record for record in counterfactual_records(package, image, found, given.oracle)]
    return pd.DataFrame(records)


def draw_contact_sheet(
    package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64], folder: Path, given: EvaluationOptions
) -> Figure:
    """Contact sheet of the first two of some rows of each class and their counterfactuals."""
    firsts = [rows[data.labels[rows] == label][:2] for label in range(len(data.classes))]
    some = np.concatenate(firsts)
    raw, context = (
        data.cache.raw(some),
        ExplanationContext(kinds=DEFAULT_COUNTERFACTUAL_KINDS, confidence=given.confidence, change_maps=False),
    )
    explained = explain_fields(package, raw, ("counterfactual",), context, make_saver(package, folder))
    limits, shown = package.about["display_limits"], []
    for row, image, found in zip(some, raw, explained, strict=True):
        panels = [Panel(composite(image, package.channels, limits), "image")]
        for record in counterfactual_records(package, image, found, given.oracle):
            kind, target = str(record["kind"]), record["target"]
            if kind in found.verified:
                agreement = {True: "; oracle agrees", False: "; oracle disagrees"}.get(record.get("oracle"), "")
                caption = f"{kind}: {target} {record['probability']:.3f}{agreement}"
                panels.append(Panel(composite(found.verified[kind].saved, package.channels, limits), caption))
        shown.append(SheetRow(f"well {data.wells[row]}, class {data.classes[data.labels[row]]}", panels))
    return contact_sheet(shown, "Counterfactuals of wells that the model has not seen", "All on one intensity scale.")


def make_saver(package: ModelPackage, folder: Path) -> Callable[[int, str, Floats], Floats]:
    """Return a function that writes an image (C, H, W) in raw intensities and reads it again."""
    full_scale = package.scale["full_scale"]

    def as_saved(place: int, kind: str, image: Floats) -> Floats:
        path = folder / f"{place}_{kind}.tif"
        write_tiff16(path, image, package.channels, full_scale)
        return read_tiff16(path)[0].astype(np.float32)

    return as_saved


def counterfactual_records(
    package: ModelPackage, raw: Floats, found: FieldExplanation, oracle: ModelPackage | None
) -> Iterator[dict[str, object]]:
    """Yield the rows of one field; a kind without a file, whose latent cannot be inverted, is not valid."""
    target = found.numbers.get("counterfactual_target")
    before = raw.mean(axis=(1, 2), dtype=np.float64)
    known = {f"mean_{name}": mean for name, mean in zip(package.channels, before, strict=True)}
    known |= {"source": found.numbers["predicted"], "target": target, "valid": False}
    known |= {"oracle": False} if oracle is not None else {}
    columns = ("probability", "valid", "reencoding_error", "padding_energy", "attempts", "distance")
    for kind in DEFAULT_COUNTERFACTUAL_KINDS:
        record = known | {"kind": kind}
        if file := found.verified.get(kind):
            record |= {column: found.numbers[f"counterfactual_{kind}_{column}"] for column in columns}
            goal = package.model.spec.classes.index(target)
            record["latent_probability"] = latent_probability(package, file.shifted, goal)
            change = file.saved.mean(axis=(1, 2), dtype=np.float64) - before
            record |= {f"change_{name}": each for name, each in zip(package.channels, change, strict=True)}
            if oracle is not None:
                (probabilities,) = predict_fields(oracle, file.saved[None])
                record["oracle"] = oracle.model.spec.classes[int(probabilities.argmax())] == target
        yield record


def latent_probability(package: ModelPackage, latent: torch.Tensor, target: int) -> float:
    """Probability of the target for the latent (c, h, w) that was decoded."""
    with evaluating(package.model):
        logits = package.model.classify(latent[None])
    return float(logits.double().softmax(1)[0, target])


def class_differences(fields: pd.DataFrame) -> pd.DataFrame:
    """Compare the real difference of each channel between two classes with the change by counterfactuals.

    As in the job, fields are first averaged over their well, and only valid counterfactuals of fields whose
    class is the predicted one count.

    Args:
        fields: One row per field, kind and target: ``class``, ``source``, ``target``, ``well``, ``kind``,
            ``valid``, and for each channel its ``mean_<channel>`` in the image and ``change_<channel>``, raw
            intensities.

    Returns:
        One row per kind, direction and channel: ``real`` with its interval, ``change``, ``ratio`` (1 where the
        counterfactual changes as much as the classes differ, negative where the signs differ), ``q`` of the real
        difference, and whether it ``differs`` at a false discovery rate of 5 %.
    """
    channels = [name.removeprefix("change_") for name in fields if name.startswith("change_")]
    means = [f"mean_{name}" for name in channels]
    first = fields.drop_duplicates(["class", "well", *means])
    real = {name: well_means(group[means], list(group["well"])) for name, group in first.groupby("class")}
    right = fields[(fields["class"] == fields["source"]) & fields["valid"]]
    rows = []
    for (kind, source, target), group in right.groupby(["kind", "source", "target"]):
        before = group[means].to_numpy()
        after = before + group[[f"change_{name}" for name in channels]].to_numpy()
        found = paired_changes(before, after, list(group["well"]), source=real[source], target=real.get(target))
        for name, each in zip(channels, found, strict=True):
            row = {"kind": kind, "from": source, "to": target, "channel": name, "real": each.real, "low": each.real_low}
            row |= {"high": each.real_high, "q": each.real_q, "change": each.change, "ratio": each.ratio}
            rows.append(row | {"differs": each.has_class_difference})
    return pd.DataFrame(rows)


def round_trip(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Largest abs(f^-1(f(x)) - x) in network units, and the share of pixels that are the same in 8 bits."""
    scale, largest, same = IntensityScale.from_json(package.scale), 0.0, []
    for batch in data.batches_from_rows(rows, scale, BATCH):
        with evaluating(package.model):
            images = batch.images.to(next(package.model.parameters()).device)
            again = package.model.decode(package.model.encode(images))
        largest = max(largest, float((again - images).abs().max()))
        bits = [np.rint(scale.invert(x.cpu().numpy()) * (255 / scale.full_scale)) for x in (images, again)]
        same.append((bits[0] == bits[1]).mean(axis=(1, 2, 3)))
    return largest, float(np.concatenate(same).mean())


def report_network(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> None:
    """Report round trip and certified bounds."""
    largest, same = round_trip(package, data, rows)
    report("round trip", ours=largest, reference=1e-4, unit="largest error, network units", bar=1.0)
    report("round trip in 8 bits", ours=same, reference=1.0, unit="share of identical pixels", bar=0.999)
    blocks = [part for part in package.model.modules() if isinstance(part, ResidualBlock)]
    for block in blocks:
        print(f"  {block.name}: certified Lipschitz bound {block.lipschitz():.4f}")
    allowed = float(package.model.spec.architecture["lipschitz"]) ** 3
    worst = max(block.lipschitz() for block in blocks)
    report("certified Lipschitz bound", ours=worst, reference=allowed, unit="largest of all branches", bar=1.0)


def report_files(fields: pd.DataFrame) -> None:
    """Report the scores of the saved files by kind; the boundary is only reported for two classes."""
    known = {"valid": "mean", "reencoding_error": "median", "padding_energy": "median", "attempts": "mean"}
    known |= {"distance": "median", "probability": "median"} | ({"oracle": "mean"} if "oracle" in fields else {})
    print(fields.groupby("kind").agg(known).round(4).to_string())
    confident, boundary = (fields[fields["kind"] == kind] for kind in ("confident", "boundary"))
    unit = f"of {len(confident)} counterfactuals"
    report("validity, confident", ours=confident["valid"].mean(), reference=1.0, unit=unit, bar=0.99)
    if "oracle" in fields:
        report("oracle validity, confident", ours=confident["oracle"].mean(), reference=1.0, unit=unit, bar=0.9)
    median = confident["reencoding_error"].median()
    report("re-encoding error, confident", ours=median, reference=0.05, unit="median", bar=1.0)
    if fields["target"].nunique() > 2:
        return
    off = (boundary[["latent_probability", "probability"]] - 0.5).abs()
    print(
        off.agg(["median", "max"])
        .rename(columns={"probability": "saved file"})
        .add_prefix("abs(p - 0.5), ")
        .to_string()
    )
    largest = off["latent_probability"].max()
    report("boundary, latent", ours=largest, reference=1e-3, unit="largest abs(p - 0.5)", bar=1.0)


def report_changes(differences: pd.DataFrame) -> None:
    """Report signs and sizes of the changes; a channel without a significant class difference has no bar."""
    if differences.empty:
        print("No field has a valid counterfactual that leads from its own class; nothing can be said of changes.")
        return
    print(differences.round(4).to_string(index=False))
    confident = differences[(differences["kind"] == "confident") & differences["differs"].eq(True)]
    signs = float((confident["ratio"] > 0).mean())
    report("signs of changes, confident", ours=signs, reference=1.0, unit="share that agree", bar=1.0)
    unit = "change over real difference, smallest"
    report("sizes of changes, confident", ours=confident["ratio"].min(), reference=1.0, unit=unit, bar=0.5)


def unseen_rows(package: ModelPackage, data: PreparedData, most: int | None) -> npt.NDArray[np.int64]:
    """Rows of wells on which the model was neither trained nor chosen, evenly thinned to at most ``most``."""
    rows = data.rows_of_unseen_wells(package.seen_digests, part=None)
    if not len(rows):
        raise SystemExit("The model was trained or chosen on every well of the folder; give another one.")
    chosen = np.linspace(0, len(rows) - 1, min(most or len(rows), len(rows)))
    return rows[chosen.round().astype(int)]


def main() -> None:
    """Explain the unseen wells and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--oracle", type=Path)
    parser.add_argument("--fields", type=int, help="at most so many")
    parser.add_argument("--confidence", type=float, default=DEFAULT_CONFIDENCE, help="of the kind confident")
    parser.add_argument("--sheet", type=Path, help="PNG of two fields of each class and their counterfactuals")
    given = parser.parse_args()
    package, oracle = load_package(given.package), load_package(given.oracle) if given.oracle else None
    if not isinstance(package.model, InvertibleResNet):
        raise SystemExit(f"{given.package} holds a {package.model.spec.family}; give the package of an iresnet.")
    asked = EvaluationOptions(given.confidence, oracle)
    for each in (package, oracle):
        if each is not None and torch.cuda.is_available():
            each.model.to("cuda")
    data = matching_data(package, DataSource(given.data), Console())
    rows = unseen_rows(package, data, given.fields)
    print(f"{len(rows)} fields of {len(np.unique(data.wells[rows]))} wells that the model has not seen")
    report_network(package, data, rows)
    with tempfile.TemporaryDirectory() as temporary:
        if given.sheet:
            save_figure(draw_contact_sheet(package, data, rows, Path(temporary), asked), given.sheet)
        fields = evaluate_counterfactuals(package, data, rows, Path(temporary), asked)
    report_files(fields)
    report_changes(class_differences(fields))


if __name__ == "__main__":
    main()
