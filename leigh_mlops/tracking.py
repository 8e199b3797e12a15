"""Runs, artifacts and the model registry: the only module that imports MLflow, called by the driver alone."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import numpy as np
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import load_package
from leigh_mlops.report.style import save_figure

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Measured",
    "NoVersionError",
    "PackagedNetwork",
    "Run",
    "Store",
    "StoreAwayError",
    "Version",
    "first_line",
    "serve_ui",
]

CHAMPION, CHALLENGER = "champion", "challenger"
EXPERIMENT = "leigh"
_PACKAGE = "package"
# Models from code execute this file when MLflow itself loads them; it only calls what is installed.
_LOADER = (
    "import mlflow\nfrom leigh_mlops.tracking import PackagedNetwork\nmlflow.models.set_model(PackagedNetwork())\n"
)


# What a store says of a request that it would refuse again; anything else may pass.
_REFUSALS = {
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
_METRICS_AT_ONCE = 1000
_MONITOR_AGAIN_S = 30.0


class StoreAwayError(LeighError):
    """The store does not answer; what was asked for may be asked again."""


class NoVersionError(LeighError):
    """The store has no such version."""


@dataclass(frozen=True)
class Measured:
    """A number at a moment (seconds since 1970): delivered twice, it stands once in the store."""

    name: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        """``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"


class PackagedNetwork(PythonModel):  # type: ignore[misc]
    """A model package behind MLflow's own interface: raw intensities in, probabilities or images out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Build the network from the package's weights with the installed code."""
        self.package = load_package(Path(context.artifacts[_PACKAGE]))
        self.scale = IntensityScale.from_json(self.package.scale)

    # MLflow takes a more precise type hint for a schema, and warns of none.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ANN401
        """Raw intensities (N, C, H, W) to class probabilities (N, K), or to raw reconstructions (N, C, H, W)."""
        import torch

        with torch.no_grad():
            output = self.package.model(torch.from_numpy(self.scale.apply(np.asarray(model_input, np.float32))))
        if self.package.model.task == "classify":
            return output.softmax(1).numpy()
        return self.scale.invert(output.numpy())


class Run:
    """A run that is written to; what it is given is in the store when a call returns."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; they can't be changed later."""
        entries = [Param(_key(key), _text(value)) for key, value in params.items()]
        with _asked(self.client):
            self.client.log_batch(self.id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0, *, at: float | None = None) -> None:
        """Log numbers of one moment, by default now; those that are not finite are left out."""
        moment = time.time() if at is None else at
        self.log_measured([Measured(name, value, step, moment) for name, value in metrics.items()])

    def log_measured(self, measured: Sequence[Measured]) -> None:
        """Log numbers of several moments at once; those that are not finite are left out."""
        entries = [
            Metric(_key(each.name), float(each.value), int(1000 * each.time), each.step)
            for each in measured
            if np.isfinite(each.value)
        ]
        for start in range(0, len(entries), _METRICS_AT_ONCE):
            with _asked(self.client):
                self.client.log_batch(self.id, metrics=entries[start : start + _METRICS_AT_ONCE])

    def log_dataset(self, name: str, digest: str, facts: Mapping[str, Any], context: str) -> None:
        """Name the data in the form that MLflow's UI shows: ``digest`` identifies it, ``context`` says for what."""
        profile = json.dumps({key: value for key, value in facts.items() if not isinstance(value, str)})
        source = json.dumps({key: value for key, value in facts.items() if isinstance(value, str)})
        dataset = Dataset(name, digest, source_type="local", source=source, profile=profile)
        used = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        with _asked(self.client):
            self.client.log_inputs(self.id, [used])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set or change tags."""
        with _asked(self.client):
            self.client.log_batch(self.id, tags=[RunTag(key, _text(value)) for key, value in tags.items()])

    def tags(self) -> dict[str, str]:
        """Its tags as they stand."""
        with _asked(self.client):
            return dict(self.client.get_run(self.id).data.tags)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or all that lies in a folder, to the run's artifacts."""
        with _asked(self.client):
            if path.is_dir():
                self.client.log_artifacts(self.id, str(path), folder)
            else:
                self.client.log_artifact(self.id, str(path), folder)

    def log_figure(self, figure: Any, name: str) -> None:  # noqa: ANN401
        """Log a matplotlib figure under a path that ends in ``.png``."""
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / Path(name).name
            save_figure(figure, path)
            self.log_file(path, str(Path(name).parent))

    def log_text(self, text: str, name: str) -> None:
        """Log a text under a path."""
        with _asked(self.client):
            self.client.log_text(self.id, text, name)

    def end(self, status: str = "FINISHED", at: float | None = None) -> None:
        """End as ``FINISHED``, ``FAILED`` or ``KILLED``, now or at a moment in seconds since 1970."""
        with _asked(self.client):
            self.client.set_terminated(self.id, status, end_time=None if at is None else int(1000 * at))

    def go_on(self) -> None:
        """Run again after an end."""
        with _asked(self.client):
            self.client.update_run(self.id, status="RUNNING")


class Store:
    """An MLflow server, or the embedded store: a SQLite file and a folder."""

    def __init__(self, uri: str, artifacts: str | None) -> None:
        self.uri = uri
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self.experiment_id = self._experiment(artifacts)

    @classmethod
    def open(cls, uri: str | None = None, *, verbose: bool = False) -> "Store":
        """Open a store, and make the embedded one where it does not stand yet.

        Args:
            uri: Tracking address, or the folder of an embedded store; by default ``./mlruns``.
            verbose: Let MLflow speak.

        Raises:
            LeighError: The store can't be reached, or the address is of a kind that MLflow does not take.
        """
        if not verbose:
            for name in ("mlflow", "alembic", "sqlalchemy"):
                logging.getLogger(name).setLevel(logging.ERROR)
        uri = _with_password_aside(uri or "mlruns")
        if "://" not in uri:
            uri = f"sqlite:///{Path(uri).absolute()}/mlflow.db"
        try:
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            if not uri.startswith("sqlite:///"):
                if not uri.startswith("http"):
                    # MLflow tries for two minutes, also with a wrong password.
                    create_engine(uri).connect().close()
                return cls(uri, None)
            file = Path(uri.removeprefix("sqlite:///")).absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            # Several processes that create one SQLite store at once leave it unusable.
            with FileLock(f"{file}.lock"):
                return cls(f"sqlite:///{file}", (file.parent / "artifacts").as_uri())
        except (MlflowException, SQLAlchemyError, OSError, ValueError, ImportError) as error:
            raise LeighError(
                f"The store {_without_secrets(uri)} can't be reached ({first_line(error)}); "
                "start the server, or give another --store."
            ) from None

    @property
    def words(self) -> str:
        """Where the store is, without passwords."""
        return _without_secrets(self.uri.removeprefix("sqlite:///"))

    def _experiment(self, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))

    @contextmanager
    def run(self, name: str, *, parent: Run | None = None, **tags: Any) -> Iterator[Run]:  # noqa: ANN401
        """A run that ends FINISHED, or FAILED or KILLED where the body does not reach its end."""
        run = self.start(name, parent=parent, **tags)
        try:
            yield run
        except BaseException as error:
            run.set_tags({"error": first_line(error)})
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end()

    def start(self, name: str, *, parent: Run | None = None, at: float | None = None, **tags: Any) -> Run:  # noqa: ANN401
        """Start a run, now or at a moment in seconds since 1970; whoever starts it ends it."""
        family = {"mlflow.parentRunId": parent.id} if parent else {}
        texts = {key: _text(value) for key, value in (tags | family).items()}
        started = None if at is None else int(1000 * at)
        with _asked(self.client):
            created = self.client.create_run(self.experiment_id, start_time=started, run_name=name, tags=texts)
        return Run(self.client, created.info.run_id)

    def run_of(self, run_id: str) -> Run:
        """A run that is there already."""
        return Run(self.client, run_id)

    def children(self, parent: Run) -> dict[str, Run]:
        """Runs of a parent by name; of several with one name, the first."""
        runs: dict[str, Run] = {}
        for found in self._pages(f"tags.mlflow.parentRunId = '{parent.id}'", "ASC"):
            runs.setdefault(found.info.run_name, Run(self.client, found.info.run_id))
        return runs

    def search_run(self, search: str) -> Run | None:
        """The run of a search by the search's id, if the store has it."""
        for found in self._pages(f"tags.search = '{search}'", "ASC"):
            return Run(self.client, found.info.run_id)
        return None

    def newest_search(self) -> Run:
        """The run of the search that was begun last.

        Raises:
            LeighError: There is none.
        """
        for found in self._pages("tags.kind = 'search'", "DESC"):
            return Run(self.client, found.info.run_id)
        raise LeighError(f"The store {self.words} holds no search; run the tune command first.")

    def records(self, parent: Run) -> list[dict[str, Any]]:
        """Name, status, tags and latest metrics of a parent's runs, as they began."""
        return [
            {"name": found.info.run_name, "status": found.info.status}
            | {"tags": found.data.tags}
            | {"metrics": found.data.metrics}
            for found in self._pages(f"tags.mlflow.parentRunId = '{parent.id}'", "ASC")
        ]

    def _pages(self, wanted: str, order: str) -> Iterator[Any]:
        """All runs that fit, by the moment at which they began."""
        token = None
        while True:
            with _asked(self.client):
                page = self.client.search_runs(
                    [self.experiment_id],
                    wanted,
                    max_results=1000,
                    order_by=[f"attributes.start_time {order}"],
                    page_token=token,
                )
            yield from page
            token = page.token
            if not token:
                return

    @contextmanager
    def monitored(self, run: Run) -> Iterator[None]:
        """Log CPU, memory and GPU of this machine with a run, by MLflow's own monitor, while the body runs."""
        monitor = _Monitor(run.id, resume_logging=True)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def log_package(self, run: Run, folder: Path, *, channels: int, image_size: int, classifies: bool) -> str:
        """Log a model package as MLflow model ``model`` of a run, once; returns its address for :meth:`register`."""
        if (logged := self._logged_model(run)) is not None:
            return logged
        spec = TensorSpec(np.dtype(np.float32), (-1, channels, image_size, image_size))
        output = TensorSpec(np.dtype(np.float32), (-1, -1) if classifies else spec.shape)
        with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings(), _asked(self.client):
            warnings.simplefilter("ignore")
            # Otherwise it lies in MLflow's default experiment, whose files are those of the working directory.
            mlflow.set_experiment(experiment_id=self.experiment_id)
            loader = Path(temporary) / "loader.py"
            loader.write_text(_LOADER)
            info = Model.log(
                artifact_path=None,
                flavor=mlflow.pyfunc,
                name="model",
                run_id=run.id,
                python_model=str(loader),
                artifacts={_PACKAGE: str(folder)},
                signature=ModelSignature(inputs=Schema([spec]), outputs=Schema([output])),
                input_example=np.zeros((1, *spec.shape[1:]), np.float32),
                pip_requirements=["leigh_mlops"],
            )
        return str(info.model_uri)

    def _logged_model(self, run: Run) -> str | None:
        """Address of the whole model that a run logged before, in a search that was interrupted."""
        with _asked(self.client):
            found = self.client.search_logged_models([self.experiment_id], f"source_run_id = '{run.id}'")
        return next((str(model.model_uri) for model in found if model.status == LoggedModelStatus.READY), None)

    def register(self, name: str, model_uri: str, run: Run, tags: Mapping[str, Any]) -> Version:
        """Register a logged model as the next version of a name, with alias ``challenger``."""
        texts = {key: _text(value) for key, value in tags.items()}
        # A server wants to be told which logged model an address names.
        logged = model_uri.removeprefix("models:/") if model_uri.startswith("models:/m-") else None
        with _asked(self.client):
            try:
                self.client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = self.client.create_model_version(name, model_uri, run_id=run.id, tags=texts, model_id=logged)
        version = Version(name, int(made.version), run.id, texts)
        self.name_alias(version, CHALLENGER)
        return version

    def version_of(self, name: str, run: Run) -> Version | None:
        """The version of a name that a run gave, if there is one."""
        with _asked(self.client):
            found = self.client.search_model_versions(f"name = '{name}'")
        versions = [each for each in found if each.run_id == run.id]
        if not versions:
            return None
        first = min(versions, key=lambda each: int(each.version))
        return Version(name, int(first.version), run.id, dict(first.tags))

    def promote(self, name: str, version: int) -> Version:
        """Give a version the alias ``champion``.

        Raises:
            LeighError: There is no such version.
        """
        found = self.version(f"models:/{name}/{version}")
        self.name_alias(found, CHAMPION)
        return found

    def name_alias(self, version: Version, alias: str) -> None:
        """Let an alias name a version."""
        with _asked(self.client):
            self.client.set_registered_model_alias(version.name, alias, str(version.version))

    def champion(self, name: str) -> Version | None:
        """The version with the alias ``champion``, if there is one."""
        try:
            return self.version(f"models:/{name}@{CHAMPION}")
        except NoVersionError:
            return None

    def version(self, uri: str) -> Version:
        """Find ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

        Raises:
            LeighError: The address is no such thing, or the store has no such version.
        """
        parts = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(\w+))", uri)
        if parts is None:
            raise LeighError(f"{uri!r} names no registered model; write models:/NAME@champion or models:/NAME/3.")
        name, number, alias = parts.groups()
        with _asked(self.client):
            try:
                if alias:
                    found = self.client.get_model_version_by_alias(name, alias)
                else:
                    found = self.client.get_model_version(name, number)
            except MlflowException as error:
                # An alias that is not there is an invalid value.
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                names = ", ".join(sorted(model.name for model in self.client.search_registered_models())) or "none yet"
                raise NoVersionError(
                    f"The store has no {uri}; registered models are: {names}. Name one of them with a version "
                    "or alias that it has, run the tune command first, or give the --store that it wrote to."
                ) from None
        return Version(name, int(found.version), found.run_id, dict(found.tags))

    def download(self, version: Version, folder: Path) -> Path:
        """Copy a version's model package into a folder; nothing of it is run."""
        with tempfile.TemporaryDirectory() as temporary:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fetched = Path(mlflow.artifacts.download_artifacts(version.uri, dst_path=temporary))
            except (MlflowException, SQLAlchemyError, OSError) as error:
                raise LeighError(
                    f"The files of {version.uri} can't be had ({first_line(error)}); check the store that has them."
                ) from None
            found = [path.parent for path in sorted(fetched.rglob("model.json"))]
            if len(found) != 1:
                raise LeighError(f"{version.uri} holds no model package; register it again with the train command.")
            shutil.copytree(found[0], folder, dirs_exist_ok=True)
        return folder


class _Monitor(SystemMetricsMonitor):  # type: ignore[misc]
    """MLflow's own gives up where the store is away for a moment, or the run is not running yet."""

    def monitor(self) -> None:
        while not self._shutdown_event.is_set():
            super().monitor()
            self._shutdown_event.wait(_MONITOR_AGAIN_S)


@contextmanager
def _asked(client: MlflowClient) -> Iterator[None]:
    """Tell a store that does not answer from one that refuses.

    Raises:
        StoreAwayError: The request may be made again.
        LeighError: It would be refused again.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        where = _without_secrets(str(client.tracking_uri))
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if getattr(error, "error_code", None) in _REFUSALS or status in (400, 401, 403, 404):
            raise LeighError(f"The store {where} refuses ({first_line(error)}); see its log.") from None
        raise StoreAwayError(
            f"The store {where} does not answer ({first_line(error)}); start it again, or give another --store."
        ) from None


def serve_ui(uri: str | None, host: str, port: int) -> int:
    """Run MLflow's own UI on a store until it is stopped; returns its exit code."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    # In the environment, where a password is not seen in the list of processes.
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": Store.open(uri).uri}
    try:
        return subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        return 0


def _key(name: str) -> str:
    """Class names stand in names of metrics, and MLflow takes few of their letters."""
    return re.sub(r"[^\w\-. /:]", "-", name)


def _text(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value, default=str)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind, without passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _without_secrets(lines[0])[:300]


def _with_password_aside(uri: str) -> str:
    """A server's address without user and password, which MLflow then takes from the environment.

    Left in the address, MLflow would write them under links to runs.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _without_secrets(text: str) -> str:
    text = re.sub(r"(\w+://)\S*@", r"\1…@", text)
    return re.sub(r"(\w+://[^\s?]*)\?\S*", r"\1?…", text)
