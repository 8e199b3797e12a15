"""The batch job: a registry version classifies and explains every field of a data set."""

import json
import math
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import ray.data
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import default_explainers, explainers_for
from leigh_mlops.jobs.checks import check_channels, check_options, check_oracle
from leigh_mlops.jobs.outputs import collect, records_of, write_outputs
from leigh_mlops.jobs.reading import Adjust
from leigh_mlops.jobs.towards import row_of_field
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder, field_id
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.plates import twins_of
from leigh_mlops.progress import Progress
from leigh_mlops.report.files import replacing
from leigh_mlops.search import ray_cluster
from leigh_mlops.study import DataSource, find_data, plate_adjustments
from leigh_mlops.tracking import Store, Version

__all__ = ["ExplainJob"]

KINDS = ("boundary", "confident")


@dataclass
class ExplainJob:
    """One run of the job; started again on the same folder, it does what is left.

    Attributes:
        store: Registry and runs.
        model: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        source: Images.
        out: The job's folder.
        console: Where words go.
        methods: Names of explanations; ``None`` for those of the family.
        target: Class that counterfactuals lead to; ``None`` for the second best.
        window: Side of the occluding window in pixels.
        stride: Its step in pixels.
        counts: Whether counterfactuals are written as whole counts of the camera, too.
        kinds: How far counterfactuals go, some of `explanations.KINDS`.
        confidence: Probability that the confident ones have, above 0.5 and below 1.
        oracle: ``models:/…`` of a classifier trained apart, which is asked about counterfactuals, too.
        sweep: Images from the original to the confident counterfactual and past it; 0 for none.
        towards_field: ``PLATE/WELL/SITE`` of the field that interpolations lead to; ``None`` for a class's mean.
        batch_size: Fields at once.
        workers: Actors; by default one less than the cluster has CPUs, or one for each GPU.
        ray_address: Cluster; by default this machine.
        verbose: Let Ray speak.
    """

    store: Store
    model: str
    source: DataSource
    out: Path
    console: Console
    methods: Sequence[str] | None = None
    target: str | None = None
    window: int = 15
    stride: int = 6
    counts: bool = False
    kinds: Sequence[str] = KINDS
    confidence: float = 0.95
    oracle: str | None = None
    sweep: int = 0
    towards_field: str | None = None
    batch_size: int = 8
    workers: int | None = None
    ray_address: str | None = None
    verbose: bool = False

    def run(self) -> dict[str, Any]:
        """Explain every field, write tables, sheet and page, log them; returns what ``job.json`` says.

        Raises:
            LeighError: The version, the data or the folder do not fit.
        """
        version = self.store.version(self.model)
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.store.download(version, Path(temporary))
            package = load_package(folder)
            methods = explainers_for(package.model, self.methods or default_explainers(package.model))
            check_options(self, package, methods)
            oracle = self._oracle(version, package, Path(temporary) / "oracle")
            table, channels, _ = find_data(self.source, self.console)
            check_channels(self.source.path, package, channels)
            if self.towards_field is not None:
                row_of_field(table, self.towards_field)
            adjust: dict[str, Adjust] = {
                "adjust": plate_adjustments(package, table, self.console),
                "oracle_adjust": None,
            }
            if oracle is not None:
                adjust["oracle_adjust"] = plate_adjustments(load_package(oracle), table, self.console)
            job = self._open(version, methods, adjust, len(table))
            left = self._left(table)
            if left:
                self._work(self._order(folder, oracle, table, methods, job), left)
        return self._close(job, version, package, table)

    def _oracle(self, version: Version, package: ModelPackage, folder: Path) -> Path | None:
        """Fetch the oracle's package; None where none is asked for."""
        if self.oracle is None:
            return None
        oracle = self.store.version(self.oracle)
        if oracle.uri == version.uri:
            raise LeighError(f"{oracle.uri} is asked about its own counterfactuals; give another --oracle, or none.")
        found = self.store.download(oracle, folder)
        check_oracle(package, load_package(found), oracle.uri)
        return found

    def _open(self, version: Version, methods: Sequence[str], adjust: dict[str, Adjust], fields: int) -> dict[str, Any]:
        """Begin, or take up, a job; a folder of another job is refused.

        A plate that was begun keeps its adjustment, or fields of one table would have two yardsticks.
        """
        job: dict[str, Any] = {
            "model": version.uri,
            "data": str(self.source.path),
            "platemap": None if self.source.platemap is None else str(self.source.platemap),
            "methods": list(methods),
            "target": self.target,
            "window": self.window,
            "stride": self.stride,
            "counts": self.counts,
            "counterfactual": list(self.kinds),
            "confidence": self.confidence,
            "oracle": None if self.oracle is None else self.store.version(self.oracle).uri,
            "sweep": self.sweep,
            "towards_field": self.towards_field,
        }
        file = self.out / "job.json"
        if file.exists():
            before = json.loads(file.read_text())
            other = [key for key in job if before.get(key) != job[key]]
            if other:
                raise LeighError(
                    f"{self.out} holds another job ({other[0]} is {before.get(other[0])!r}, asked for is "
                    f"{job[other[0]]!r}); give another --out, or remove the folder."
                )
            for name, levels in adjust.items():
                adjust[name] = None if levels is None else {**levels, **(before.get(name) or {})}
        elif self.out.exists() and any(self.out.iterdir()):
            raise LeighError(f"{self.out} is not empty and holds no job; give another --out.")
        job |= adjust
        _write_json(file, job | {"fields": fields, "finished": False})
        return job

    def _left(self, table: pd.DataFrame) -> list[int]:
        done = {record["field"] for record in collect(self.out) if "failure" not in record}
        fields = [field_id(row) for _, row in table.iterrows()]
        left = [number for number, field in enumerate(fields) if field not in done]
        if done:
            self.console.print(
                f"{len(table) - len(left)} of {len(table)} fields were done before; {len(left)} are left."
            )
        return left

    def _order(
        self, folder: Path, oracle: Path | None, table: pd.DataFrame, methods: Sequence[str], job: dict[str, Any]
    ) -> WorkOrder:
        table.to_parquet(folder / "table.parquet")
        # Files are named by their whole path in the table.
        demo = None if self.source.path is None else self.source.path.absolute()
        return WorkOrder(
            package=str(folder),
            table=str(folder / "table.parquet"),
            out=str(self.out.absolute()),
            methods=tuple(methods),
            target=self.target,
            window=self.window,
            stride=self.stride,
            counts=self.counts,
            adjust=job["adjust"],
            kinds=tuple(self.kinds),
            confidence=self.confidence,
            oracle=None if oracle is None else str(oracle),
            oracle_adjust=job["oracle_adjust"],
            demo=str(demo) if demo is not None and twins_of(demo) else None,
            sweep=self.sweep,
            towards_field=self.towards_field,
        )

    def _work(self, order: WorkOrder, left: list[int]) -> None:
        with ray_cluster(self.ray_address, verbose=self.verbose):
            results = self._results(order, left)
            try:
                with Progress(self.console, "explaining fields", len(left)) as progress:
                    for batch in results:
                        progress.advance(len(batch["row"]))
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                raise LeighError(
                    f"A worker of the job failed ({reason}); start the same command again: it does what is left."
                ) from None

    def _results(self, order: WorkOrder, left: list[int]) -> Iterable[dict[str, Any]]:
        cpus, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
        blocks = math.ceil(len(left) / self.batch_size)
        # Ray Data waits for ever where actors take every CPU.
        size = min(blocks, self.workers or gpus or max(1, cpus - 1))
        rows = ray.data.from_items([{"row": row} for row in left], override_num_blocks=blocks)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's advice on how else to say max_restarts does not exist yet
            explained = rows.map_batches(
                FieldWorker,
                fn_constructor_args=(order,),
                batch_size=self.batch_size,
                compute=ray.data.ActorPoolStrategy(size=size),
                num_cpus=min(1.0, max(1, cpus - 1) / size),
                num_gpus=min(1.0, gpus / size) if gpus else 0,
                # The job itself is what is started again; a worker is not.
                max_restarts=0,
            )
        return cast(Iterable[dict[str, Any]], explained.iter_batches(batch_size=None))

    def _close(
        self, job: dict[str, Any], version: Version, package: ModelPackage, table: pd.DataFrame
    ) -> dict[str, Any]:
        fields, failures = records_of(self.out, table)
        write_outputs(self.out, fields, failures, package, job)
        done = job | {"done": len(fields), "failed": len(failures), "fields": len(table), "finished": True}
        _write_json(self.out / "job.json", done)
        tags = {"model_version": version.uri, "model": package.model.spec.family, "demo": package.about["demo"]}
        with self.store.run(f"explain {version.uri}", kind="explain", **tags) as run:
            run.log_params(
                {key: value for key, value in job.items() if key not in ("model", "adjust", "oracle_adjust")}
            )
            run.log_metrics({"fields/done": len(fields), "fields/failed": len(failures)})
            run.log_file(self.out)
        return done


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")
