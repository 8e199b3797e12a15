"""Worker of a batch job: reads, explains, saves and verifies fields, and writes one record for each."""

import hashlib
import json
import re
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import MAP_METHODS, ExplanationContext, FieldExplanation, counterfactual_sweep
from leigh_mlops.explanations.prepared_field import Adjust, Field
from leigh_mlops.images import IntensityScale
from leigh_mlops.job_columns import INTERPOLATION, PROBABILITY, SMALLEST_EDIT, JobColumn
from leigh_mlops.jobs.counterfactual_metrics import CounterfactualEvaluator, explain_and_save
from leigh_mlops.jobs.edit_evaluation import evaluate_edits
from leigh_mlops.jobs.field_folder import FieldFolder
from leigh_mlops.jobs.field_reader import FieldReader, read_interpolation_target
from leigh_mlops.jobs.options import ExplainOptions, build_context, resolve_options
from leigh_mlops.jobs.oracle_evaluation import OracleEvaluation, RegisteredOracle
from leigh_mlops.jobs.sample import scale_fields
from leigh_mlops.jobs.saved_counterfactual import SavedCounterfactual
from leigh_mlops.models import InverseError, Network, load_to_device
from leigh_mlops.models.engines import Engine
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.search.machine_faults import is_disk_full, is_machine_lost
from leigh_mlops.study.plate_levels import load_statistics
from leigh_mlops.training import image_bytes

__all__ = ["FieldWorker", "WorkOrder", "check_prediction", "field_id", "field_ids", "fit_batch_size", "statistics_file"]

_MAX_BATCH, _MAX_GPU_BATCH = 8, 32
_MOST_TEXTURES, _MOST_EDITS = 2000, 200
"""About so many fields of a job have their texture kept, and their edits evaluated, which take long."""
_MAP_SIDE = 16
_FIELD_KEY = (Metadata.PLATE, Metadata.WELL, Metadata.SITE, Metadata.Z, Metadata.TIME)
_MEMORY_SHARE = 0.5
"""Share of the free memory to use; the rest is for Ray, files and what explanations keep besides a pass."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WorkOrder:
    """Instructions for every worker of a job, as plain data.

    Attributes:
        package: Folder of the model package.
        table: Parquet file of the image table.
        out: The job's folder.
        methods: Names of explanations.
        options: Options of the explanations.
        targets: Class that the explanations of a field are made for, by its name, where it is not that of the options.
        adjust: Offset and gain of the model, by plate.
        oracles: Folder of the package of each further independent classifier, by name.
        oracle_adjust: Offset and gain of each of them, by plate.
        demo: Folder of a demo plate, whose twins are compared.
        colour_limits: Value at full colour of each kind of map.
        sample: Names of the fields from which prediction differences sample the content of windows.
        threads: Threads of a worker's arithmetic; 0 for those of the process.
    """

    package: str
    table: str
    out: str
    methods: tuple[str, ...]
    options: ExplainOptions = field(default_factory=ExplainOptions)
    targets: Mapping[str, str] = field(default_factory=dict)
    adjust: Adjust = None
    oracles: Mapping[str, str] = field(default_factory=dict)
    oracle_adjust: Mapping[str, Adjust] = field(default_factory=dict)
    demo: str | None = None
    colour_limits: Mapping[str, float] = field(default_factory=dict)
    sample: tuple[str, ...] = ()
    threads: int = 0


class ExplainedField(NamedTuple):
    """Field whose explanation needs the network no more.

    Attributes:
        field: The field.
        found: Its explanation.
        sweep: Images and lengths of the path to its counterfactual, if one was asked for.
    """

    field: Field
    found: FieldExplanation
    sweep: tuple[Floats, Sequence[float]] | None


class FieldWorker:
    """Explains fields; Ray Data keeps one instance per actor."""

    def __init__(self, order: WorkOrder) -> None:
        if order.threads:
            torch.set_num_threads(order.threads)
            cv2.setNumThreads(order.threads)
        engine = Engine(order.options.engine or "torch", order.options.precision or "fp32")
        self.package = load_to_device(Path(order.package), engine)
        self.order = order = replace(order, options=resolve_options(order.options, self.package))
        self.table = pd.read_parquet(order.table)
        out, demo = Path(order.out), Path(order.demo) if order.demo else None
        statistics = load_statistics(statistics_file(out, ""))
        self.reader = FieldReader(self.package, self.table, order.adjust, demo, statistics)
        registered = {
            name: RegisteredOracle(
                load_to_device(Path(folder)), order.oracle_adjust.get(name), load_statistics(statistics_file(out, name))
            )
            for name, folder in order.oracles.items()
        }
        oracles = OracleEvaluation(self.package, registered)
        self.evaluator = CounterfactualEvaluator(self.package, self.reader, order.options.confidence, oracles)
        self.towards = self._read_target(order.options.towards_field)
        self.references = self._read_references() if "prediction_difference" in order.methods else None
        self._model_lock = threading.Lock()

    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.int64]]:
        """Explain the rows of a batch and write their records to disk."""
        records = self.explain([int(row) for row in batch["row"]])
        name = hashlib.sha256(json.dumps([record["field"] for record in records]).encode()).hexdigest()[:16]
        with atomic_write(Path(self.order.out) / "parts" / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(records))
        return {"row": batch["row"]}

    def explain(self, rows: list[int]) -> list[dict[str, Any]]:
        """Return one record per row: columns and pictures of the field, or the reason of its failure.

        Threads share the model by a lock, so that others read, draw and save while one explains.
        """
        read, records = self.read(rows)
        with self._model_lock:
            explained, failures = self._explain(read)
        return records + failures + [self._record(each) for each in explained]

    def read(self, rows: list[int]) -> tuple[list[Field], list[dict[str, Any]]]:
        """Read the fields of some rows; also return records of those that can't be read."""
        read, failures = [], []
        for row in rows:
            try:
                read.append(self.reader.read(row))
            except LeighError as error:
                failures.append(self._failure(row, error))
        return read, failures

    def _explain(self, read: list[Field]) -> tuple[list[ExplainedField], list[dict[str, Any]]]:
        """Do all that needs the network; also return records of the fields that can't be explained."""
        try:
            return self._explain_together(read), []
        except Exception as error:  # an error of one field must not fail the others of the batch
            _raise_machine_fault(error)
        explained, failures = list[ExplainedField](), []
        for each in read:
            try:
                explained += self._explain_together([each])
            except Exception as error:  # the record of the field reports the error
                _raise_machine_fault(error)
                failures.append(self._failure(each.row, error))
        return explained, failures

    def _record(self, explained: ExplainedField) -> dict[str, Any]:
        """Draw an explained field and return its record, or the reason of its failure."""
        try:
            return self._save(explained)
        except Exception as error:  # the record of the field reports the error
            _raise_machine_fault(error)
            return self._failure(explained.field.row, error)

    def _failure(self, row: int, error: Exception) -> dict[str, Any]:
        reason = str(error) or type(error).__name__
        return {"field": field_id(self.table.iloc[row]), "path": self.reader.path(row), "failure": reason}

    def _explain_together(self, fields: list[Field]) -> list[ExplainedField]:
        if not fields:
            return []
        for each in fields:
            self._folder(each).clean()

        def save(field: Field, kind: str, acquired: Floats) -> Floats:
            return self._folder(field).write_counterfactual(kind, acquired)

        explained, saved = explain_and_save(self.package, fields, self.order.methods, self._context(fields), save)
        for found in explained:
            check_prediction(found)
        self.evaluator.measure_originals(fields, explained)
        if saved:
            self.evaluator.evaluate(saved)
            if self.order.options.counts:
                counts = [self._folder(each.field).write_counts(each.kind, each.acquired) for each in saved]
                self.evaluator.evaluate_counts(saved, counts)
            self._add_edits(saved)
        return [
            ExplainedField(field, found, self._sweep(found)) for field, found in zip(fields, explained, strict=True)
        ]

    def _add_edits(self, saved: Sequence[SavedCounterfactual]) -> None:
        """Add parts of the change, a sham edit and the smallest edit of the typical images of some fields of a job."""
        chosen = [
            each
            for each in saved
            if each.kind == "typical" and each.column_prefix + "_map" in each.explanation.maps
            and self._is_sampled(each.field, _MOST_EDITS)
        ]  # fmt: skip
        if not chosen:
            return
        classes, found = self.package.model.spec.classes, [each.explanation for each in chosen]
        edits = evaluate_edits(
            self.package,
            np.stack([each.field.raw for each in chosen]),
            np.stack([each.verified["typical"].saved for each in found]),
            np.array([classes.index(str(each.numbers[JobColumn.PREDICTED])) for each in found]),
            np.array([classes.index(each.target) for each in chosen]),
            np.stack([each.explanation.maps[each.column_prefix + "_map"] for each in chosen]),
        )
        for each, edit in zip(found, edits, strict=True):
            each.numbers |= edit.numbers
            each.images |= {name: image for name, image in edit.images.items() if name in SMALLEST_EDIT}
            each.curves[SMALLEST_EDIT("curve")] = edit.curve

    def _is_sampled(self, field: Field, most: int) -> bool:
        """Return whether a field is one of about so many of the job, chosen by a hash of its name."""
        name = field_id(self.table.iloc[field.row])
        return zlib.crc32(name.encode()) < 2**32 * most / len(self.table)

    def _context(self, fields: Sequence[Field]) -> ExplanationContext:
        labels = torch.tensor([self._label(field.row) for field in fields])
        return build_context(
            self.order.options,
            target=self._targets(fields),
            labels=labels,
            towards=self.towards,
            references=self.references,
        )

    def _targets(self, fields: Sequence[Field]) -> torch.Tensor | None:
        """Class index of each field's target, -1 where none is asked for; None if the job names none for fields."""
        if not self.order.targets:
            return None
        names = [self.order.targets.get(field_id(self.table.iloc[field.row])) for field in fields]
        asked = [self.order.options.target if name is None else name for name in names]
        classes = self.package.model.spec.classes
        return torch.tensor([-1 if name is None else classes.index(name) for name in asked])

    def _read_references(self) -> torch.Tensor | None:
        """Read the sampled fields, as far as they still can be read, to the model's device."""
        names = field_ids(self.table)
        read: list[Field] = []
        for name in self.order.sample:
            try:
                read.append(self.reader.read(names.index(name)))
            except (LeighError, ValueError):  # replaced or removed since the job began
                continue
        references = scale_fields(read, IntensityScale.from_json(self.package.scale))
        return None if references is None else references.to(next(self.package.model.parameters()).device)

    def _read_target(self, name: str | None) -> torch.Tensor | None:
        if name is None:
            return None
        raw = read_interpolation_target(self.reader, name).raw
        return torch.from_numpy(IntensityScale.from_json(self.package.scale).apply(raw)[None])

    def _label(self, row: int) -> int:
        """Class index of a row, -1 if its class is not known or not the model's."""
        classes = self.package.model.spec.classes
        name = self.table.iloc[row].get(Metadata.CONDITION)
        return classes.index(name) if name in classes else -1

    def _save(self, explained: ExplainedField) -> dict[str, Any]:
        field, found, sweep = explained
        folder, options = self._folder(field), self.order.options
        pictures = folder.write_pictures(field.raw, found)
        if "interpolation" in found.frames and options.towards_field:
            found.numbers[INTERPOLATION("towards")] = options.towards_field
        if sweep is not None:
            pictures |= folder.write_sweep(found, *sweep)
        about = {"field": folder.name, "files": field.stamp, "seen": field.seen}
        record = about | {"numbers": {**found.numbers, **field.quality}, "pictures": pictures}
        if not self._is_sampled(field, _MOST_TEXTURES):
            return record
        return record | {"texture": _round_texture(found.texture)} | self._small_map(found)

    def _small_map(self, found: FieldExplanation) -> dict[str, Any]:
        """Return the first heatmap of a field at low resolution, by which a report clusters them; empty without any."""
        method = next((name for name in self.order.methods if name in MAP_METHODS and name in found.maps), None)
        if method is None:
            return {}
        small = cv2.resize(
            np.asarray(found.maps[method], np.float32), (_MAP_SIDE, _MAP_SIDE), interpolation=cv2.INTER_AREA
        )
        return {"map": {"method": method, "values": [[float(f"{each:.4g}") for each in row] for row in small]}}

    def _sweep(self, found: FieldExplanation) -> tuple[Floats, Sequence[float]] | None:
        """Make the path to the most informative counterfactual; if there is none, add a note to the field's numbers."""
        if not self.order.options.sweep or not found.verified.keys() & {"typical", "confident"}:
            return None
        made = list(found.verified.values())[-1]  # in the order of COUNTERFACTUAL_KINDS
        if not made.alpha:
            found.numbers["sweep_note"] = "the counterfactual is the image itself, so there is no step to show"
            return None
        try:
            return counterfactual_sweep(self.package, made, self.order.options.sweep)
        except InverseError as error:  # only the sweep needs latents past the counterfactual
            found.numbers["sweep_note"] = str(error)
            return None

    def _folder(self, field: Field) -> FieldFolder:
        return FieldFolder(
            Path(self.order.out), field_id(self.table.iloc[field.row]), self.package, self.order.colour_limits
        )


def _raise_machine_fault(error: Exception) -> None:
    """Raise an error that is no field's fault: on a full disk all further fields would count as failed."""
    if is_disk_full(error) or is_machine_lost(error):
        raise error


def _round_texture(texture: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, list[float]]:
    return {name: [float(f"{value:.6g}") for value in each] for name, each in texture.items()}


def statistics_file(out: Path, name: str) -> Path:
    """File of a job with the statistics of the plates, of its own model (an empty name) or of an oracle."""
    return out / "scales" / f"plate_statistics{'-' if name else ''}{name}.safetensors"


def check_prediction(found: FieldExplanation) -> None:
    """Refuse probabilities that are not finite.

    Raises:
        LeighError: One is not.
    """
    probabilities = [value for name, value in found.numbers.items() if name in PROBABILITY]
    if not np.isfinite(np.array(probabilities, float)).all():
        raise LeighError("The network's output is not a number; check the field's intensities.")


def fit_batch_size(model: Network, workers: int, gpus: float = 0.0) -> int:
    """Return the number of fields that fit into memory, from what one takes in a forward and a backward pass.

    Args:
        model: Network to explain.
        workers: Number of workers that share this machine's memory.
        gpus: Share of a GPU that each worker has; 0 without a GPU.

    Returns:
        Batch size, 1 to 8, or 1 to 32 on a GPU.
    """
    if gpus and torch.cuda.is_available():
        free, most = gpus * torch.cuda.get_device_properties(0).total_memory, _MAX_GPU_BATCH
    else:
        free, most = psutil.virtual_memory().available / workers, _MAX_BATCH
    return max(1, min(most, int(_MEMORY_SHARE * free / image_bytes(model))))


def field_id(row: "pd.Series[Any]") -> str:
    """Folder name of a field; characters with a meaning in paths are replaced."""
    return _field_name(*(row.get(column) for column in _FIELD_KEY))


def field_ids(table: pd.DataFrame) -> list[str]:
    """Folder names of all fields of an image table, see `field_id`."""
    nothing = [None] * len(table)
    columns = [table[column].tolist() if column in table else nothing for column in _FIELD_KEY]
    return [_field_name(*values) for values in zip(*columns, strict=True)]


def _field_name(plate: Any, well: Any, site: Any, z: Any, time: Any) -> str:  # noqa: ANN401
    named = ((z, "z"), (time, "t"))
    text = "_".join([f"{plate}_{well}_f{site}", *(f"{letter}{value}" for value, letter in named if not pd.isna(value))])
    plain = re.sub(r"[^\w.-]", "-", text).lstrip(".")
    # Two names that differ only in such characters must not share a folder.
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
