"""What a worker of a batch job does: read, explain, save, verify, and leave one record per field."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import Context, FieldExplanation, explain_fields, predict_fields
from leigh_mlops.explanations.sweep import sweep, sweep_alphas
from leigh_mlops.images import IntensityScale, adjusted, read_image, unadjusted
from leigh_mlops.jobs.judging import Judge, Saved
from leigh_mlops.jobs.reading import Adjust, Field, FieldReader
from leigh_mlops.jobs.towards import row_of_field
from leigh_mlops.models import InverseError, ModelPackage, load_package
from leigh_mlops.report.files import read_tiff16, replacing, write_counts, write_gif, write_png, write_tiff16
from leigh_mlops.report.films import there_and_back, write_mp4, write_webp
from leigh_mlops.report.pictures import composite, heatmap_overlay, strip

__all__ = ["FieldWorker", "WorkOrder", "field_id"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WorkOrder:
    """What every worker of a job is told; all of it is plain JSON.

    Attributes:
        package: Folder of the model package.
        table: Parquet file of the image table.
        out: The job's folder.
        methods: Names of explanations.
        target: Class that counterfactuals and interpolations lead to; ``None`` for the second best.
        window: Side of the occluding window in pixels.
        stride: Its step in pixels.
        steps: Steps of an interpolation.
        counts: Whether counterfactuals are written as whole counts of the camera, too.
        adjust: Of the model, by plate.
        kinds: How far counterfactuals go.
        confidence: Probability that the confident ones have.
        oracle: Folder of the package of a classifier that was trained apart.
        oracle_adjust: Of that classifier, by plate.
        demo: Folder of a demo plate, whose twins are compared.
        sweep: Images of a sweep to the confident counterfactual and past it; 0 for none.
        towards_field: ``PLATE/WELL/SITE`` of the field that interpolations lead to; ``None`` for a class's mean.
    """

    package: str
    table: str
    out: str
    methods: tuple[str, ...]
    target: str | None = None
    window: int = 15
    stride: int = 6
    steps: int = 8
    counts: bool = False
    adjust: Adjust = None
    kinds: tuple[str, ...] = ("boundary", "confident")
    confidence: float = 0.95
    oracle: str | None = None
    oracle_adjust: Adjust = None
    demo: str | None = None
    sweep: int = 0
    towards_field: str | None = None


class FieldWorker:
    """Explains fields; Ray Data keeps one for each actor."""

    def __init__(self, order: WorkOrder) -> None:
        self.order = order
        self.package = _package(order.package)
        self.table = pd.read_parquet(order.table)
        self.reader = FieldReader(self.package, self.table, order.adjust, Path(order.demo) if order.demo else None)
        oracle = _package(order.oracle) if order.oracle else None
        self.judge = Judge(self.package, self.reader, order.confidence, oracle, order.oracle_adjust)
        self.limits = self.package.about["display_limits"]
        self.towards = None if order.towards_field is None else self._towards(order.towards_field)

    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.int64]]:
        """Explain the rows of a batch; the records are on disk when it returns."""
        records = self.explain([int(row) for row in batch["row"]])
        name = hashlib.sha256(json.dumps([record["field"] for record in records]).encode()).hexdigest()[:16]
        with replacing(Path(self.order.out) / "parts" / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(records))
        return {"row": batch["row"]}

    def explain(self, rows: list[int]) -> list[dict[str, Any]]:
        """One record per row: its columns, its pictures, or why it failed."""
        records: list[dict[str, Any]] = []
        read: list[Field] = []
        for row in rows:
            try:
                read.append(self.reader.read(row))
            except LeighError as error:
                records.append(self._failure(row, error))
        try:
            return records + self._explained(read)
        except Exception:  # whatever one field brought up must not take its neighbours with it
            return records + [self._alone(field) for field in read]

    def _alone(self, field: Field) -> dict[str, Any]:
        try:
            return self._explained([field])[0]
        except Exception as error:  # the field's own record says what went wrong
            return self._failure(field.row, error)

    def _failure(self, row: int, error: Exception) -> dict[str, Any]:
        reason = str(error) or type(error).__name__
        return {"field": field_id(self.table.iloc[row]), "path": self.reader.path(row), "failure": reason}

    def _explained(self, fields: list[Field]) -> list[dict[str, Any]]:
        if not fields:
            return []
        files: dict[tuple[int, str], Floats] = {}

        def as_saved(place: int, kind: str, image: Floats) -> Floats:
            """Save in the units of the acquisition, and read again."""
            adjust, path = fields[place].adjust, self._folder(fields[place]) / f"counterfactual_{kind}.tif"
            write_tiff16(path, unadjusted(image, adjust), self.package.channels, self.package.scale["full_scale"])
            files[place, kind] = read_tiff16(path)[0].astype(np.float32)
            return adjusted(files[place, kind], adjust)

        raw = np.stack([field.raw for field in fields])
        explained = explain_fields(self.package, raw, self.order.methods, self._context(fields), as_saved)
        self.judge.measure_originals(fields, explained)
        saved = [Saved(fields[place], kind, file, explained[place]) for (place, kind), file in files.items()]
        self.judge.judge(saved)
        if self.order.counts:
            for each in saved:
                self._write_counts(each)
        return [self._save(field, found) for field, found in zip(fields, explained, strict=True)]

    def _context(self, fields: Sequence[Field]) -> Context:
        order = self.order
        return Context(
            target=order.target,
            labels=torch.tensor([self._label(field.row) for field in fields]),
            kinds=order.kinds,
            confidence=order.confidence,
            window=order.window,
            stride=order.stride,
            steps=order.steps,
            towards=self.towards,
        )

    def _towards(self, name: str) -> torch.Tensor:
        raw = self.reader.read(row_of_field(self.table, name)).raw
        return torch.from_numpy(IntensityScale.from_json(self.package.scale).apply(raw)[None])

    def _label(self, row: int) -> int:
        """Class index of a row, -1 where its class is not known or not the model's."""
        classes = self.package.model.spec.classes
        name = self.table.iloc[row].get("Metadata_Condition")
        return classes.index(name) if name in classes else -1

    def _save(self, field: Field, found: FieldExplanation) -> dict[str, Any]:
        folder = self._folder(field)
        pictures = {"image": self._png(folder / "image.png", field.raw)}
        for key, image in found.images.items():
            pictures[key] = self._png(folder / f"{key}.png", image)
        for key, heat in found.maps.items():
            limit = float(np.abs(heat).max()) or 1.0
            found.numbers[f"{key}_full_colour"] = limit
            overlay = heatmap_overlay(composite(field.raw, self.package.channels, self.limits), heat, limit)
            pictures[key] = self._relative(write_png(folder / f"{key}.png", overlay))
        for key, frames in found.frames.items():
            drawn = [composite(frame, self.package.channels, self.limits) for frame in frames]
            titles = [f"{100 * step / (len(drawn) - 1):.0f} %" for step in range(len(drawn))]
            pictures[f"{key}_strip"] = self._relative(write_png(folder / f"{key}.png", strip(drawn, titles)))
            pictures[f"{key}_film"] = self._relative(write_gif(folder / f"{key}.gif", drawn + drawn[-2:0:-1], 150))
        if "interpolation" in found.frames and self.order.towards_field:
            found.numbers["interpolation_towards"] = self.order.towards_field
        if self.order.sweep and "confident" in found.certified:
            pictures |= self._sweep(folder, found)
        return {"field": folder.name, "seen": field.seen, "numbers": found.numbers, "pictures": pictures}

    def _sweep(self, folder: Path, found: FieldExplanation) -> dict[str, str]:
        """From the original to the confident counterfactual and past it, as strip and as films."""
        made = found.certified["confident"]
        way, alpha = (made.shifted - made.latent) / made.alpha, torch.tensor([made.alpha])
        alphas = sweep_alphas(alpha, self.order.sweep)
        try:
            frames = sweep(self.package.model, made.latent[None], way[None], alphas)[:, 0]
        except InverseError as error:  # a latent past the counterfactual is needed for nothing else
            found.numbers["sweep_note"] = str(error)
            return {}
        raw = IntensityScale.from_json(self.package.scale).invert(frames.cpu().numpy())
        drawn = [composite(frame, self.package.channels, self.limits) for frame in raw]
        titles = [f"alpha {float(length):.2f}" for length in alphas[:, 0]]
        found.numbers["sweep_video"] = self._relative(write_mp4(folder / "sweep.mp4", there_and_back(drawn)))
        return {
            "sweep_strip": self._relative(write_png(folder / "sweep.png", strip(drawn, titles))),
            "sweep_film": self._relative(write_webp(folder / "sweep.webp", there_and_back(drawn))),
        }

    def _write_counts(self, saved: Saved) -> None:
        """Whole counts are coarser: what they are called is judged by themselves."""
        path = self._folder(saved.field) / f"{saved.name}.ome.tif"
        write_counts(path, saved.acquired, self.package.channels, self.package.scale["full_scale"])
        pages = [read_image(path, page) for page in range(len(saved.acquired))]
        counts = adjusted(np.concatenate(pages).astype(np.float32), saved.field.adjust)
        said = int(predict_fields(self.package, counts[None])[0].argmax())
        saved.found.numbers[f"{saved.name}_counts_class"] = self.package.model.spec.classes[said]

    def _folder(self, field: Field) -> Path:
        return Path(self.order.out) / "images" / field_id(self.table.iloc[field.row])

    def _png(self, path: Path, image: Floats) -> str:
        return self._relative(write_png(path, composite(image, self.package.channels, self.limits)))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.order.out).as_posix()


def _package(folder: str) -> ModelPackage:
    package = load_package(Path(folder))
    if torch.cuda.is_available():
        package.model.to("cuda")
    return package


def field_id(row: "pd.Series[Any]") -> str:
    """A folder name for a field; letters that have a meaning in paths are replaced."""
    key = [row["Metadata_Plate"], row["Metadata_Well"], f"f{row['Metadata_Site']}"]
    for column, letter in (("Metadata_Z", "z"), ("Metadata_Time", "t")):
        if column in row and not pd.isna(row[column]):
            key.append(f"{letter}{row[column]}")
    text = "_".join(map(str, key))
    plain = re.sub(r"[^\w.-]", "-", text).lstrip(".")
    # Two names that differ only in such letters must not share a folder.
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
