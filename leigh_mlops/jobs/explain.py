"""The batch job: a registry version classifies and explains every field of a data set."""

import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd
import ray.data
from filelock import FileLock, Timeout
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import check_kinds, default_explainers, explainers_for
from leigh_mlops.jobs.batches import batch_size_for
from leigh_mlops.jobs.checks import check_channels, check_options, check_oracle
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.outputs import collect, records_of, write_outputs
from leigh_mlops.jobs.reading import Adjust, FieldReader
from leigh_mlops.jobs.sample import read_sample
from leigh_mlops.jobs.sanity import check_maps, report_checks, with_maps
from leigh_mlops.jobs.screen import check_screen
from leigh_mlops.jobs.towards import read_field_towards
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder, field_id
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.plates import twins_of
from leigh_mlops.progress import Progress
from leigh_mlops.report.files import replacing
from leigh_mlops.report.words import counted
from leigh_mlops.search.cluster import ray_cluster
from leigh_mlops.study import DataSource, find_data, plate_adjustments
from leigh_mlops.tracking import Run, Store, Version

__all__ = ["ExplainJob"]

_CHECKED = ("sample", "full_colour")
_INPUTS = "inputs"
_SCREENED = ("rescue_from", "rescue_to", "doses")
_NO_PARAMETERS = ("model", "asked", "oracle_asked", "begun", "run", "adjust", "oracle_adjust", *_CHECKED)


class _Oracle(NamedTuple):
    """A version that judges, its folder, and what is in it."""

    uri: str
    folder: Path
    package: ModelPackage


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
        options: How they are made.
        batch_size: Fields at once; by default as many as fit into memory, at most 8, or 32 on a GPU.
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
    options: ExplainOptions = field(default_factory=ExplainOptions)
    batch_size: int | None = None
    workers: int | None = None
    ray_address: str | None = None
    verbose: bool = False

    def run(self) -> dict[str, Any]:
        """Explain every field, write tables, sheet and page, log them; returns what ``job.json`` says.

        Raises:
            LeighError: The version, the data or the folder do not fit, another process works on the folder, or a
                worker died.
        """
        lock = FileLock(self.out.absolute().with_name(f".{self.out.absolute().name}.lock"))
        self.out.absolute().parent.mkdir(parents=True, exist_ok=True)
        try:
            with lock.acquire(timeout=0):
                return self._run()
        except Timeout:
            raise LeighError(f"Another job works on {self.out}; wait for its end, or give another --out.") from None
        finally:
            if not lock.is_locked and not self.out.exists():
                Path(lock.lock_file).unlink(missing_ok=True)

    def _run(self) -> dict[str, Any]:
        version = self._version()
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.store.download(version, Path(temporary))
            package = load_package(folder)
            methods = explainers_for(package.model, self.methods or default_explainers(package.model))
            check_options(self.options, package, methods)
            oracle = self._oracle(version, package, Path(temporary) / "oracle")
            table, channels, _ = find_data(self.source, self.console)
            check_channels(self.source.path, package, channels)
            classes = package.model.spec.classes if package.model.task == "classify" else ()
            screened = self.options
            check_screen(table, classes, source=screened.rescue_from, target=screened.rescue_to, doses=screened.doses)
            if self.options.towards_field is not None:
                read_field_towards(FieldReader(package, table, None, None), self.options.towards_field)
            adjust: dict[str, Adjust] = {
                "adjust": plate_adjustments(package, table, self.console),
                "oracle_adjust": None if oracle is None else plate_adjustments(oracle.package, table, self.console),
            }
            job = self._open(version, oracle, methods, adjust, len(table))
            left = self._left(package, table)
            if left:
                self._check(job, package, table)
                self._work(self._order(folder, oracle, table, job), left, package)
        return self._close(job, version, package, table)

    def _version(self) -> Version:
        """The version that the address names now; a job that was begun goes on with the one that it named then."""
        version, before = self.store.version(self.model), self._before()
        if not before or before.get("asked", self.model) != self.model or before["model"] == version.uri:
            return version
        self.console.print(
            f"{self.model} is {version.uri} by now; {self.out} was begun with {before['model']} and goes on with it. "
            "Give another --out for the newer one.",
            markup=False,
        )
        return self.store.version(before["model"])

    def _before(self) -> dict[str, Any]:
        """What ``job.json`` says of a job that was begun; empty where none was."""
        file = self.out / "job.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def _oracle(self, version: Version, package: ModelPackage, folder: Path) -> _Oracle | None:
        """Fetch the oracle's package; None where none is asked for."""
        if self.options.oracle is None:
            return None
        before = self._before()
        pinned = before.get("oracle") if before.get("oracle_asked") == self.options.oracle else None
        oracle = self.store.version(pinned or self.options.oracle)
        if oracle.uri == version.uri:
            raise LeighError(f"{oracle.uri} is asked about its own counterfactuals; give another --oracle, or none.")
        found = self.store.download(oracle, folder)
        judging = load_package(found)
        check_oracle(package, judging, oracle.uri)
        return _Oracle(oracle.uri, found, judging)

    def _open(
        self,
        version: Version,
        oracle: _Oracle | None,
        methods: Sequence[str],
        adjust: dict[str, Adjust],
        fields: int,
    ) -> dict[str, Any]:
        """Begin, or take up, a job; a folder of another job is refused.

        A plate that was begun keeps its adjustment, or fields of one table would have two yardsticks.
        """
        job: dict[str, Any] = {
            "model": version.uri,
            "data": str(self.source.path),
            "platemap": None if self.source.platemap is None else str(self.source.platemap),
            "methods": list(methods),
            **asdict(self.options),
            # As they come out of JSON again; an alias may move, a version does not.
            "counterfactual": list(check_kinds(self.options.counterfactual)),
            "metrics": list(self.options.metrics),
            "oracle": None if oracle is None else oracle.uri,
        }
        file, before = self.out / "job.json", self._before()
        if before:
            # What a screen is asked changes tables, not fields; a folder of an earlier version lacks later options.
            kept = [key for key in job if key in before and key not in _SCREENED]
            other = [key for key in kept if before[key] != job[key]]
            if other:
                raise LeighError(
                    f"{self.out} holds another job ({other[0]} is {before.get(other[0])!r}, asked for is "
                    f"{job[other[0]]!r}); give another --out, or remove the folder."
                )
            for name, levels in adjust.items():
                adjust[name] = None if levels is None else {**levels, **(before.get(name) or {})}
            job |= {name: before[name] for name in (*_CHECKED, "asked", "begun", "run") if name in before}
        elif self.out.exists() and any(self.out.iterdir()):
            raise LeighError(f"{self.out} is not empty and holds no job; give another --out.")
        job = {"asked": self.model, "oracle_asked": self.options.oracle, "begun": _now()} | job | adjust
        _write_json(file, job | {"fields": fields, "finished": False})
        return job

    def _check(self, job: dict[str, Any], package: ModelPackage, table: pd.DataFrame) -> None:
        """Fix the scale of all maps and check them; a job that is taken up again keeps what it has."""
        if all(name in job for name in _CHECKED) or not with_maps(job["methods"]):
            return
        fields = read_sample(FieldReader(package, table, job["adjust"], None), table)
        self.console.print(f"Checking what maps are worth on {counted(len(fields), 'field')}.")
        checked = check_maps(package, fields, job["methods"], self.options)
        report_checks(self.out, checked, self.console)
        if not checked.full_colour:  # no field of the sample could be explained; the next start tries again
            return
        sample = [field_id(table.iloc[field.row]) for field in fields]
        job |= {"sample": sample, "full_colour": checked.full_colour}
        _write_json(self.out / "job.json", job | {"fields": len(table), "finished": False})

    def _left(self, package: ModelPackage, table: pd.DataFrame) -> list[int]:
        """Rows that are not done, or were done on files that have been replaced since."""
        done = {record["field"]: record.get("files") for record in collect(self.out) if "failure" not in record}
        fields, reader = [field_id(row) for _, row in table.iterrows()], FieldReader(package, table, None, None)
        left = [row for row, field in enumerate(fields) if field not in done or done[field] != reader.stamp(row)]
        if done:
            self.console.print(
                f"{len(table) - len(left)} of {len(table)} fields were done before; {len(left)} are left."
            )
        return left

    def _order(self, folder: Path, oracle: _Oracle | None, table: pd.DataFrame, job: dict[str, Any]) -> WorkOrder:
        # Every worker sees the job's folder, also one on another machine.
        inputs = self.out.absolute() / _INPUTS
        shutil.rmtree(inputs, ignore_errors=True)
        shutil.copytree(folder, inputs / "package")
        if oracle is not None:
            shutil.copytree(oracle.folder, inputs / "oracle")
        table.to_parquet(inputs / "table.parquet")
        # A worker may have another working directory.
        demo = None if self.source.path is None else os.path.abspath(self.source.path)
        return WorkOrder(
            package=str(inputs / "package"),
            table=str(inputs / "table.parquet"),
            out=str(self.out.absolute()),
            methods=tuple(job["methods"]),
            options=self.options,
            adjust=job["adjust"],
            oracle=None if oracle is None else str(inputs / "oracle"),
            oracle_adjust=job["oracle_adjust"],
            full_colour=job.get("full_colour", {}),
            sample=tuple(job.get("sample", ())),
            demo=demo if demo is not None and twins_of(demo) else None,
        )

    def _work(self, order: WorkOrder, left: list[int], package: ModelPackage) -> None:
        with ray_cluster(self.ray_address, verbose=self.verbose):
            results = self._results(order, left, package)
            try:
                with Progress(self.console, "explaining fields", len(left)) as progress:
                    for batch in results:
                        progress.advance(len(batch["row"]))
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                raise LeighError(
                    f"A worker of the job failed ({reason}); start the same command again: it does what is left."
                ) from None

    def _results(self, order: WorkOrder, left: list[int], package: ModelPackage) -> Iterable[dict[str, Any]]:
        cpus, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
        # Ray Data waits for ever where actors take every CPU.
        size = self.workers or gpus or max(1, cpus - 1)
        batch_size = self.batch_size or batch_size_for(package.model, size, min(1.0, gpus / size) if gpus else 0.0)
        blocks = math.ceil(len(left) / batch_size)
        size = min(blocks, size)
        rows = ray.data.from_items([{"row": row} for row in left], override_num_blocks=blocks)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's advice on how else to say max_restarts does not exist yet
            explained = rows.map_batches(
                FieldWorker,
                fn_constructor_args=(order,),
                batch_size=batch_size,
                # The next batch is read while one is explained.
                compute=ray.data.ActorPoolStrategy(
                    size=size, max_concurrent_calls_per_actor=2, enable_true_multi_threading=True
                ),
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
        shutil.rmtree(self.out / _INPUTS, ignore_errors=True)
        done = job | {"done": len(fields), "failed": len(failures), "fields": len(table), "finished": True}
        done |= {"ended": _now()}
        _write_json(self.out / "job.json", done)
        with self._logged(job, version, package) as run:
            # Noted before the files go up: a start after a kill goes on with this run.
            done["run"] = run.id
            _write_json(self.out / "job.json", done)
            run.log_metrics({"fields/done": len(fields), "fields/failed": len(failures)})
            run.log_file(self.out)
        return done

    @contextmanager
    def _logged(self, job: dict[str, Any], version: Version, package: ModelPackage) -> Iterator[Run]:
        """The job's run: a job that is started every night has one, and its files stand there once."""
        if "run" in job:
            with self.store.again(job["run"]) as run:
                yield run
            return
        tags = {"model_version": version.uri, "model": package.model.spec.family, "demo": package.about["demo"]}
        with self.store.run(f"explain {version.uri}", kind="explain", **tags) as run:
            run.log_params({key: value for key, value in job.items() if key not in _NO_PARAMETERS})
            yield run


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")
