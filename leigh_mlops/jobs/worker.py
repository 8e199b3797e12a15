"""What a worker of a batch job does: read, explain, save, verify, and leave one record per field."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import Context, FieldExplanation, explain_fields, verify
from leigh_mlops.images import adjusted, field_files, pixel_digest, raw_at_size, read_field, read_image, unadjusted
from leigh_mlops.models import load_package
from leigh_mlops.report.files import read_tiff16, replacing, write_counts, write_gif, write_png, write_tiff16
from leigh_mlops.report.pictures import composite, heatmap_overlay, strip
from leigh_mlops.scores import certificate

__all__ = ["FieldWorker", "WorkOrder", "field_id"]

Floats = npt.NDArray[np.float32]


class Field(NamedTuple):
    """A row of the table as the model sees it.

    Attributes:
        row: Its number.
        raw: Raw intensities (C, S, S), brought to the level of the model's controls where it has one.
        counts: Whether counterfactuals are written as whole counts of the camera, too.
        adjust: Offset and gain (C, 2) that brought them there.
        seen: Whether the model was made with these pixels.
    """

    row: int
    raw: Floats
    adjust: Floats
    seen: bool

    @property
    def acquired(self) -> Floats:
        """Raw intensities (C, S, S) as acquired."""
        return unadjusted(self.raw, self.adjust)


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
        adjust: Offset and gain of each channel by plate, for a model that is scaled by controls.
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
    adjust: Mapping[str, Sequence[Sequence[float]]] | None = None


class FieldWorker:
    """Explains fields; Ray Data keeps one for each actor."""

    def __init__(self, order: WorkOrder) -> None:
        self.order = order
        self.package = load_package(Path(order.package))
        if torch.cuda.is_available():
            self.package.model.to("cuda")
        self.table = pd.read_parquet(order.table)
        self.files = field_files(self.table, self.package.channels)
        self.limits = self.package.about["display_limits"]
        digests = [array for name, array in self.package.arrays.items() if name.endswith("_digests")]
        self.seen = set(np.concatenate(digests).tolist())

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
                read.append(self._read(row))
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
        return {"field": field_id(self.table.iloc[row]), "path": self._path(row), "failure": reason}

    def _explained(self, fields: list[Field]) -> list[dict[str, Any]]:
        if not fields:
            return []
        raw = np.stack([field.raw for field in fields])
        order = self.order
        context = Context(
            target=order.target,
            labels=torch.tensor([self._label(field.row) for field in fields]),
            window=order.window,
            stride=order.stride,
            steps=order.steps,
        )
        explained = explain_fields(self.package, raw, order.methods, context)
        return [self._save(field, found) for field, found in zip(fields, explained, strict=True)]

    def _label(self, row: int) -> int:
        """Class index of a row, -1 where its class is not known or not the model's."""
        classes = self.package.model.spec.classes
        name = self.table.iloc[row].get("Metadata_Condition")
        return classes.index(name) if name in classes else -1

    def _path(self, row: int) -> str:
        files = self.files[row]
        return str(files[0].planes[0].path) if files else ""

    def _read(self, row: int) -> Field:
        files = self.files[row]
        if files is None:
            raise LeighError("The field lacks a channel that the model needs; add its file.")
        image, full_scale = read_field(files), self.package.scale["full_scale"]
        if np.iinfo(image.dtype).max != full_scale:
            raise LeighError(
                f"{files[0].planes[0].path} reaches {np.iinfo(image.dtype).max} where the model's images reach "
                f"{full_scale}; give images of the same bit depth."
            )
        raw, adjust = raw_at_size(image, self.package.model.spec.image_size, files), self._adjustment(row)
        return Field(row, adjusted(raw, adjust), adjust, int(pixel_digest(image)) in self.seen)

    def _adjustment(self, row: int) -> Floats:
        if self.order.adjust is None:
            return np.tile(np.array([0, 1], np.float32), (len(self.package.channels), 1))
        return np.asarray(self.order.adjust[str(self.table["Metadata_Plate"].iloc[row])], np.float32)

    def _save(self, field: Field, found: FieldExplanation) -> dict[str, Any]:
        name = field_id(self.table.iloc[field.row])
        folder = Path(self.order.out) / "images" / name
        pictures = {"image": self._png(folder / "image.png", field.raw)}
        for key, image in found.images.items():
            if key.startswith("counterfactual"):
                self._certify(folder / f"{key}.tif", key, field, found)
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
        return {"field": name, "seen": field.seen, "numbers": found.numbers, "pictures": pictures}

    def _certify(self, path: Path, key: str, field: Field, found: FieldExplanation) -> None:
        """Save a counterfactual in the units of the acquisition, read it again, and judge what was read."""
        full_scale = self.package.scale["full_scale"]
        write_tiff16(path, unadjusted(found.images[key], field.adjust), self.package.channels, full_scale)
        saved = read_tiff16(path)[0].astype(np.float32)
        verified = verify(self.package, adjusted(saved, field.adjust), found, key)
        classes = self.package.model.spec.classes
        if self.order.counts:
            self._write_counts(path.with_suffix(".ome.tif"), key, saved, field, found)
        measures = certificate(
            field.acquired[None],
            saved[None],
            verified.log_probs[None],
            [classes.index(str(found.numbers["counterfactual_target"]))],
            [verified.reencoding_error],
            full_scale=full_scale,
            noise=full_scale / 255,
        )
        found.numbers[f"{key}_class"] = classes[int(measures.predicted[0])]
        found.numbers[f"{key}_probability"] = float(measures.probability[0])
        found.numbers[f"{key}_valid"] = bool(measures.valid[0])
        found.numbers[f"{key}_reencoding_error"] = verified.reencoding_error
        found.numbers[f"{key}_clipped"] = float(measures.clipped[0])
        found.numbers[f"{key}_changed"] = float(measures.changed[0])
        for channel, change in zip(self.package.channels, measures.change_signed[0], strict=True):
            found.numbers[f"{key}_change_{channel}"] = float(change)

    def _write_counts(self, path: Path, key: str, saved: Floats, field: Field, found: FieldExplanation) -> None:
        """Whole counts are coarser: what they are called is judged by themselves."""
        write_counts(path, saved, self.package.channels, self.package.scale["full_scale"])
        pages = [read_image(path, page) for page in range(len(saved))]
        counts = np.concatenate(pages).astype(np.float32)
        verified = verify(self.package, adjusted(counts, field.adjust), found, key)
        found.numbers[f"{key}_counts_class"] = self.package.model.spec.classes[int(verified.log_probs.argmax())]

    def _png(self, path: Path, image: Floats) -> str:
        return self._relative(write_png(path, composite(image, self.package.channels, self.limits)))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.order.out).as_posix()


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
