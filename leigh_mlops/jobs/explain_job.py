"""Batch job in which a registry version classifies and explains every field of a data set."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from filelock import FileLock, Timeout
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import check_kinds, default_explainers, select_explainers
from leigh_mlops.explanations.prepared_field import Adjust
from leigh_mlops.jobs.colour_limits import colour_bar_files
from leigh_mlops.jobs.field_folder import has_pictures
from leigh_mlops.jobs.field_reader import FieldReader, read_interpolation_target
from leigh_mlops.jobs.field_targets import read_field_targets
from leigh_mlops.jobs.finished_job import describe_inputs, describe_state
from leigh_mlops.jobs.job_engine import fix_engine
from leigh_mlops.jobs.job_file import JOB_FILE, read_job, write_job
from leigh_mlops.jobs.job_oracles import JobOracle, download_oracles
from leigh_mlops.jobs.map_checks import check_maps, report_checks, select_map_methods
from leigh_mlops.jobs.options import ExplainOptions, resolve_options
from leigh_mlops.jobs.pinned_version import pin_version
from leigh_mlops.jobs.records import pack_records, read_records
from leigh_mlops.jobs.reporting.card_sections import read_cluster_names
from leigh_mlops.jobs.reporting.outputs import build_tables, write_outputs
from leigh_mlops.jobs.sample import read_sample
from leigh_mlops.jobs.validation import check_channels, check_options, check_same_job, check_targets
from leigh_mlops.jobs.worker import WorkOrder, field_id, field_ids, statistics_file
from leigh_mlops.jobs.worker_pool import explain_batches
from leigh_mlops.models import ModelPackage, Network, load_package
from leigh_mlops.models.engines import Engine
from leigh_mlops.plates import find_twins
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.progress import Progress, Steps
from leigh_mlops.report.run_notes import explanation_note
from leigh_mlops.report.sentences import format_count
from leigh_mlops.screening.screen import check_screen
from leigh_mlops.search.cluster import ray_cluster
from leigh_mlops.search.cluster_start import PATIENCE_S, StartPatience
from leigh_mlops.study.chosen_engine import describe_engine
from leigh_mlops.study.field_width import match_field_width, report_other_widths
from leigh_mlops.study.plate_levels import PlateLevels, load_statistics, save_statistics
from leigh_mlops.study.prepare import DataSource, find_data
from leigh_mlops.tracking import Run, Store, Version

__all__ = ["ExplainJob"]

_CHECK_KEYS = ("sample", "full_colour")
_LOGGED = "logged_before_ns"
"""Moment of the file system before which all files were logged to the job's run."""
_INPUTS = "inputs"
_OWN = ""  # key of the explained model among the oracles' names
_UNLOGGED_KEYS = (
    "model", "asked", "oracle_asked", "begun", "run", "adjust", "oracle_adjust", "other_widths", "cluster_names",
    "targets", _LOGGED, *_CHECK_KEYS,
)  # fmt: skip


@dataclass
class ExplainJob:
    """One run of the job; started again on the same folder, it resumes.

    Attributes:
        store: Registry and runs.
        model: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        source: Images.
        out: The job's folder.
        console: Console for messages.
        methods: Names of explanations; ``None`` for those of the family.
        options: Options of the explanations.
        batch_size: Fields at once; by default as many as fit into memory, at most 8, or 32 on a GPU.
        workers: Actors; by default one for each GPU, or else for each core, as far as memory holds them.
        ray_address: Address of a Ray cluster; by default one on this machine.
        verbose: Whether to show messages of Ray.
        start_patience_s: Seconds in which the start of Ray is tried again and again.
        cluster_names: CSV file with the user's names of clusters; ``None`` for those of an earlier start, if any.
        targets: CSV file with the target of some fields, see `read_field_targets`.
        request: Digest of what the command was asked for, by which its repetition finds that nothing is left to do;
            empty to do everything again.
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
    start_patience_s: float = PATIENCE_S
    cluster_names: Path | None = None
    targets: Path | None = None
    request: str = ""

    def __post_init__(self) -> None:
        self._steps = Steps(self.console, "job")
        self._inputs: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """Explain every field, write and log tables, contact sheet and report; return the content of ``job.json``.

        Raises:
            LeighError: The version, the data or the folder do not fit, another process works on the folder, or a
                worker died.
        """
        out = Path(os.path.realpath(self.out))  # whatever the spelling of the path, there is one lock
        lock = FileLock(out.with_name(f".{out.name}.lock"))
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with lock.acquire(timeout=0), self._steps:
                return self._run()
        except Timeout:
            raise LeighError(
                f"Another job is writing to {self.out}; wait until it ends, or give another --out."
            ) from None
        finally:
            if not lock.is_locked and not self.out.exists():
                Path(lock.lock_file).unlink(missing_ok=True)

    def _run(self) -> dict[str, Any]:
        self._steps.begin("download of the model")
        version = pin_version(self.store, self.model, self.out, self.console)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            folder = self.store.download(version, Path(temporary))
            package = load_package(folder)
            methods = select_explainers(package.model, self.methods or default_explainers(package.model))
            self.options = resolve_options(self.options, package)
            check_options(self.options, package, methods)
            names = self._read_cluster_names(package)
            before, asked = read_job(self.out), self.options.oracle
            oracles = download_oracles(self.store, asked, before, version.uri, package, Path(temporary))
            self._steps.begin("reading the image table")
            self._inputs = self._describe_inputs()
            table, channels, _ = find_data(self.source, self.console)
            check_channels(self.source.path, package, channels)
            table = match_field_width(package, table)
            targets = {} if self.targets is None else read_field_targets(self.targets, table, package.model)
            check_targets(targets, self.options, package, methods)
            widths = report_other_widths(package, table, self.console)
            classes = package.model.spec.classes if package.model.task == "classify" else ()
            screened = self.options
            check_screen(table, classes, source=screened.rescue_from, target=screened.rescue_to, doses=screened.doses)
            if self.options.towards_field is not None:
                read_interpolation_target(FieldReader(package, table, None, None), self.options.towards_field)
            self._steps.begin("levels of the plates")
            packages = {_OWN: package} | {each.name: each.package for each in oracles}
            levels = {name: PlateLevels(each, table, self.console) for name, each in packages.items()}
            adjust: dict[str, Adjust] = {name: each.adjustments for name, each in levels.items()}
            self.options, difference = fix_engine(self.options, before, package, table, adjust[_OWN])
            job = self._describe_job(version, oracles, methods, adjust, names, targets)
            if difference:
                engine = Engine(str(self.options.engine), str(self.options.precision))
                self.console.print(describe_engine(engine, difference), markup=False)
            job |= {"other_widths": widths, "engine_difference": difference}
            write_job(self.out, job | {"fields": len(table), "finished": False})
            self._steps.begin("statistics of the plates")
            for name, of_package in levels.items():
                self._keep_statistics(name, of_package)
            self._steps.begin("fields that are left")
            reader = FieldReader(package, table, None, None)
            self._inputs = self._describe_inputs(reader)
            left = self._remaining_rows(reader)
            if left or not self._has_checks(job):
                self._fix_colour_limits(job, package, table)
            if left:
                self._work(self._prepare_work_order(folder, oracles, table, job), left, package.model)
        return self._close(job, version, package, table)

    def _read_cluster_names(self, package: ModelPackage) -> dict[str, str]:
        """Names that the user gives to clusters, or gave to them in an earlier start of the job."""
        if self.cluster_names is None:
            return dict(read_job(self.out).get("cluster_names") or {})
        if package.model.task != "cluster":
            raise LeighError(
                f"--cluster-names {self.cluster_names} names clusters, and {self.model} is no model of clusters; leave "
                "it out."
            )
        return read_cluster_names(self.cluster_names, package.model.spec.classes)

    def _describe_job(
        self,
        version: Version,
        oracles: Sequence[JobOracle],
        methods: Sequence[str],
        adjust: dict[str, Adjust],
        names: Mapping[str, str],
        targets: Mapping[str, str],
    ) -> dict[str, Any]:
        """Describe a job that begins or is resumed; a folder of another job is refused.

        Plates of a resumed job keep their adjustment, so that all fields of a table are scaled alike.
        """
        job: dict[str, Any] = {
            "model": version.uri,
            "data": str(self.source.path),
            "platemap": None if self.source.platemap is None else str(self.source.platemap),
            "methods": list(methods),
            **asdict(self.options),
            # In the types that JSON returns; oracles as versions, since an alias may move.
            "counterfactual": list(check_kinds(self.options.counterfactual)),
            "metrics": list(self.options.metrics),
            "oracle": [each.uri for each in oracles],
        }
        before = read_job(self.out)
        if before:
            check_same_job(self.out, before, job, targets)
            for name, levels in adjust.items():
                adjust[name] = None if levels is None else {**levels, **(_find_adjustment(before, name) or {})}
            job |= {name: before[name] for name in (*_CHECK_KEYS, "asked", "begun", "run", _LOGGED) if name in before}
        elif self.out.exists() and any(self.out.iterdir()):
            raise LeighError(f"{self.out} is not empty and does not hold a job; give another --out.")
        own = adjust.pop(_OWN)
        job = {"asked": self.model, "oracle_asked": list(self.options.oracle), "begun": _timestamp()} | job
        job |= {"adjust": own, "oracle_adjust": adjust} | ({"cluster_names": dict(names)} if names else {})
        job |= {"targets": dict(targets)} if targets else {}
        return job

    def _keep_statistics(self, name: str, levels: PlateLevels) -> None:
        """Measure the plates to which a network is adapted; those of a resumed job keep their statistics."""
        if not levels.package.is_adapted:
            return
        file = statistics_file(self.out, name)
        known = load_statistics(file) or {}
        if set(levels.table[Metadata.PLATE].astype(str)) - known.keys():
            measured = levels.statistics or {}
            save_statistics(file, {**measured, **known})
            plates = format_count(len(measured), "plate")
            self.console.print(f"The network is adapted to {plates} by the plates' own negative controls.")

    def _describe_inputs(self, reader: FieldReader | None = None) -> dict[str, str]:
        """Describe the source of the job, or the files of its fields, before anything is read from them."""
        if not self.request:
            return {}
        named = (self.source.path, self.source.platemap, self.cluster_names, self.targets)
        paths = [path for path in named if path] if reader is None else [path / "*" for path in reader.folders()]
        return describe_inputs(paths, self.out, self._inputs)

    def _has_checks(self, job: Mapping[str, Any]) -> bool:
        """Return whether the maps of a job have a scale, and its folder the checks and the colour bars."""
        if not select_map_methods(job["methods"]):
            return True
        files = [self.out / "methods.csv", *colour_bar_files(self.out, job.get("full_colour", {}))]
        return all(name in job for name in _CHECK_KEYS) and all(file.exists() for file in files)

    def _fix_colour_limits(self, job: dict[str, Any], package: ModelPackage, table: pd.DataFrame) -> None:
        """Fix the scale of all maps and check them; a resumed job keeps its scale."""
        if self._has_checks(job):
            return
        statistics = load_statistics(statistics_file(self.out, _OWN))
        fields = read_sample(FieldReader(package, table, job["adjust"], None, statistics), table)
        self.console.print(f"Checking the reliability of maps on {format_count(len(fields), 'field')}.")
        checked = check_maps(package, fields, job["methods"], self.options, report=self._steps.begin)
        if "full_colour" in job:  # their files were deleted
            checked = checked._replace(colour_limits=job["full_colour"])
        report_checks(self.out, checked, self.console)
        if not checked.colour_limits:  # no field of the sample could be explained; the next start tries again
            return
        sample = [field_id(table.iloc[field.row]) for field in fields]
        job.setdefault("sample", sample)
        job.setdefault("full_colour", checked.colour_limits)
        write_job(self.out, job | {"fields": len(table), "finished": False})

    def _remaining_rows(self, reader: FieldReader) -> list[int]:
        """Rows that are not done, whose files have been replaced since, or whose pictures were deleted."""
        records = (record for record in read_records(self.out) if "failure" not in record)
        done = {record["field"]: record.get("files") for record in records if has_pictures(self.out, record)}
        fields = field_ids(reader.table)
        left = [row for row, field in enumerate(fields) if field not in done or done[field] != reader.stamp(row)]
        if done:
            self.console.print(
                f"{len(fields) - len(left)} of {len(fields)} fields were done before; {len(left)} are left."
            )
        return left

    def _prepare_work_order(
        self, folder: Path, oracles: Sequence[JobOracle], table: pd.DataFrame, job: dict[str, Any]
    ) -> WorkOrder:
        # The job's folder is visible to every worker, also on other machines.
        inputs = self.out.absolute() / _INPUTS
        shutil.rmtree(inputs, ignore_errors=True)
        shutil.copytree(folder, inputs / "package")
        for each in oracles:
            shutil.copytree(each.folder, inputs / each.name)
        table.to_parquet(inputs / "table.parquet")
        # Workers may have another working directory.
        demo = None if self.source.path is None else os.path.abspath(self.source.path)
        return WorkOrder(
            package=str(inputs / "package"),
            table=str(inputs / "table.parquet"),
            out=str(self.out.absolute()),
            methods=tuple(job["methods"]),
            options=self.options,
            targets=job.get("targets", {}),
            adjust=job["adjust"],
            oracles={each.name: str(inputs / each.name) for each in oracles},
            oracle_adjust=job["oracle_adjust"],
            colour_limits=job.get("full_colour", {}),
            sample=tuple(job.get("sample", ())),
            demo=demo if demo is not None and find_twins(demo) else None,
        )

    def _work(self, order: WorkOrder, left: list[int], model: Network) -> None:
        self._steps.begin("start of the workers and the first fields")
        with ExitStack() as stack:
            patience = StartPatience(self.console, self.start_patience_s)
            patience.retry(lambda: stack.enter_context(ray_cluster(self.ray_address, verbose=self.verbose)))
            sizes = {"batch_size": self.batch_size, "workers": self.workers}
            results = explain_batches(order, left, model, self.console, **sizes)
            try:
                with Progress(self.console, "explaining fields", len(left)) as progress:
                    for batch in results:
                        self._steps.begin("")  # from here on the progress tells
                        progress.advance(len(batch["row"]))
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                raise LeighError(
                    f"A worker of the job failed ({reason}); run the same command again to finish the remaining fields."
                ) from None

    def _close(
        self, job: dict[str, Any], version: Version, package: ModelPackage, table: pd.DataFrame
    ) -> dict[str, Any]:
        self._steps.begin("tables, pictures and report")
        pack_records(self.out, dict(zip(field_ids(table), table[Metadata.PLATE].astype(str), strict=True)))
        fields, failures = build_tables(self.out, table)
        write_outputs(self.out, fields, failures, package, job)
        shutil.rmtree(self.out / _INPUTS, ignore_errors=True)
        self._steps.begin("upload to the store")
        done = job | {"done": len(fields), "failed": len(failures), "fields": len(table), "finished": True}
        done |= {"ended": _timestamp()}
        write_job(self.out, done)
        with self._open_run(job, version, package) as run:
            # Written before the upload, so that a job resumed after a kill continues this run.
            done["run"] = run.id
            write_job(self.out, done)
            moment = (self.out / JOB_FILE).stat().st_ctime_ns
            run.log_metrics({"fields/done": len(fields), "fields/failed": len(failures)})
            run.log_folder(self.out, job.get(_LOGGED, 0))
        done[_LOGGED] = moment
        # Only now is everything where it belongs.
        write_job(self.out, done | (describe_state(self.out, self.request, self._inputs) if self.request else {}))
        return done

    @contextmanager
    def _open_run(self, job: dict[str, Any], version: Version, package: ModelPackage) -> Iterator[Run]:
        """Open the job's run; a job that is started repeatedly has one run, with its files once."""
        if "run" in job:
            with self.store.reopen_run(job["run"]) as run:
                yield run
            return
        tags = {"model_version": version.uri, "model": package.model.spec.family, "demo": package.about["demo"]}
        data = self.source.path.name if self.source.path else "demo"
        note = explanation_note(version.uri, data, str(self.out))
        with self.store.run(f"explain {version.uri}", kind="explain", note=note, **tags) as run:
            run.log_params({key: value for key, value in job.items() if key not in _UNLOGGED_KEYS})
            yield run


def _find_adjustment(job: dict[str, Any], name: str) -> Adjust:
    """Offsets and gains that a job has for its own model, or for one of its oracles."""
    found: Adjust = job.get("adjust") if name == _OWN else job.get("oracle_adjust", {}).get(name)
    return found


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
