"""What a worker of a batch job does: read, explain, save, verify, and leave one record per field."""

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import Context, FieldExplanation, explain_fields, sweep_of
from leigh_mlops.images import IntensityScale, adjusted, unadjusted
from leigh_mlops.jobs.context import context_of
from leigh_mlops.jobs.folder import FieldFolder
from leigh_mlops.jobs.judging import Judge, Saved
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.reading import Adjust, Field, FieldReader
from leigh_mlops.jobs.sample import scaled
from leigh_mlops.jobs.towards import read_field_towards
from leigh_mlops.models import InverseError, ModelPackage, load_package
from leigh_mlops.report.files import replacing

__all__ = ["FieldWorker", "WorkOrder", "field_id"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WorkOrder:
    """What every worker of a job is told; all of it is plain data.

    Attributes:
        package: Folder of the model package.
        table: Parquet file of the image table.
        out: The job's folder.
        methods: Names of explanations.
        options: How they are made.
        adjust: Of the model, by plate.
        oracle: Folder of the package of a classifier that was trained apart.
        oracle_adjust: Of that classifier, by plate.
        demo: Folder of a demo plate, whose twins are compared.
        full_colour: Value at full colour of each kind of map.
        sample: Names of the fields from which prediction differences take what they put under windows.
    """

    package: str
    table: str
    out: str
    methods: tuple[str, ...]
    options: ExplainOptions = field(default_factory=ExplainOptions)
    adjust: Adjust = None
    oracle: str | None = None
    oracle_adjust: Adjust = None
    demo: str | None = None
    full_colour: Mapping[str, float] = field(default_factory=dict)
    sample: tuple[str, ...] = ()


class FieldWorker:
    """Explains fields; Ray Data keeps one for each actor."""

    def __init__(self, order: WorkOrder) -> None:
        self.order = order
        self.package = _package(order.package)
        self.table = pd.read_parquet(order.table)
        self.reader = FieldReader(self.package, self.table, order.adjust, Path(order.demo) if order.demo else None)
        oracle = _package(order.oracle) if order.oracle else None
        self.judge = Judge(self.package, self.reader, order.options.confidence, oracle, order.oracle_adjust)
        self.towards = self._towards(order.options.towards_field)
        self.references = self._references() if "prediction_difference" in order.methods else None
        self._turn = threading.Lock()

    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.int64]]:
        """Explain the rows of a batch; the records are on disk when it returns.

        Threads take turns with the model, so that one reads while another explains.
        """
        read, records = self.read([int(row) for row in batch["row"]])
        with self._turn:
            records += self.explained(read)
        name = hashlib.sha256(json.dumps([record["field"] for record in records]).encode()).hexdigest()[:16]
        with replacing(Path(self.order.out) / "parts" / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(records))
        return {"row": batch["row"]}

    def explain(self, rows: list[int]) -> list[dict[str, Any]]:
        """One record per row: its columns, its pictures, or why it failed."""
        read, failures = self.read(rows)
        return failures + self.explained(read)

    def read(self, rows: list[int]) -> tuple[list[Field], list[dict[str, Any]]]:
        """The fields of some rows, and records of those that can't be read."""
        read, failures = [], []
        for row in rows:
            try:
                read.append(self.reader.read(row))
            except LeighError as error:
                failures.append(self._failure(row, error))
        return read, failures

    def explained(self, read: list[Field]) -> list[dict[str, Any]]:
        """One record per field: its columns and pictures, or why it failed."""
        try:
            return self._explained(read)
        except Exception:  # whatever one field brought up must not take its neighbours with it
            return [self._alone(field) for field in read]

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
            field = fields[place]
            files[place, kind] = self._folder(field).write_counterfactual(kind, unadjusted(image, field.adjust))
            return adjusted(files[place, kind], field.adjust)

        raw = np.stack([field.raw for field in fields])
        explained = explain_fields(self.package, raw, self.order.methods, self._context(fields), as_saved)
        self.judge.measure_originals(fields, explained)
        saved = [Saved(fields[place], kind, file, explained[place]) for (place, kind), file in files.items()]
        if saved:
            self.judge.judge(saved)
            if self.order.options.counts:
                counts = [self._folder(each.field).write_counts(each.kind, each.acquired) for each in saved]
                self.judge.judge_counts(saved, counts)
        return [self._save(field, found) for field, found in zip(fields, explained, strict=True)]

    def _context(self, fields: Sequence[Field]) -> Context:
        labels = torch.tensor([self._label(field.row) for field in fields])
        return context_of(self.order.options, labels=labels, towards=self.towards, references=self.references)

    def _references(self) -> torch.Tensor | None:
        """The sampled fields that can still be read, on the model's device."""
        names = [field_id(row) for _, row in self.table.iterrows()]
        read: list[Field] = []
        for name in self.order.sample:
            try:
                read.append(self.reader.read(names.index(name)))
            except (LeighError, ValueError):  # replaced or removed since the job began
                continue
        references = scaled(read, IntensityScale.from_json(self.package.scale))
        return None if references is None else references.to(next(self.package.model.parameters()).device)

    def _towards(self, name: str | None) -> torch.Tensor | None:
        if name is None:
            return None
        raw = read_field_towards(self.reader, name).raw
        return torch.from_numpy(IntensityScale.from_json(self.package.scale).apply(raw)[None])

    def _label(self, row: int) -> int:
        """Class index of a row, -1 where its class is not known or not the model's."""
        classes = self.package.model.spec.classes
        name = self.table.iloc[row].get("Metadata_Condition")
        return classes.index(name) if name in classes else -1

    def _save(self, field: Field, found: FieldExplanation) -> dict[str, Any]:
        folder, options = self._folder(field), self.order.options
        probabilities = [value for name, value in found.numbers.items() if name.startswith("probability_")]
        if not np.isfinite(np.array(probabilities, float)).all():
            raise LeighError("The network's answer is not a number; look at the field's intensities.")
        pictures = folder.write_pictures(field.raw, found)
        if "interpolation" in found.frames and options.towards_field:
            found.numbers["interpolation_towards"] = options.towards_field
        if options.sweep and "confident" in found.certified:
            pictures |= self._sweep(folder, found)
        about = {"field": folder.name, "files": field.stamp, "seen": field.seen}
        return about | {"numbers": {**found.numbers, **field.quality}, "pictures": pictures}

    def _sweep(self, folder: FieldFolder, found: FieldExplanation) -> dict[str, str]:
        """The way to the confident counterfactual; why there is none joins the field's numbers."""
        made = found.certified["confident"]
        if not made.alpha:
            found.numbers["sweep_note"] = "the counterfactual is the image itself, so there is no step to show"
            return {}
        try:
            frames, alphas = sweep_of(self.package, made, self.order.options.sweep)
        except InverseError as error:  # a latent past the counterfactual is needed for nothing else
            found.numbers["sweep_note"] = str(error)
            return {}
        return folder.write_sweep(found, frames, alphas)

    def _folder(self, field: Field) -> FieldFolder:
        return FieldFolder(
            Path(self.order.out), field_id(self.table.iloc[field.row]), self.package, self.order.full_colour
        )


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
