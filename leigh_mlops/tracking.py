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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from filelock import FileLock
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import load_package
from leigh_mlops.report.style import save_figure

__all__ = ["CHALLENGER", "CHAMPION", "PackagedNetwork", "Run", "Store", "Version", "serve_ui"]

CHAMPION, CHALLENGER = "champion", "challenger"
EXPERIMENT = "leigh"
_PACKAGE = "package"
# Models from code execute this file when MLflow itself loads them; it only calls what is installed.
_LOADER = (
    "import mlflow\nfrom leigh_mlops.tracking import PackagedNetwork\nmlflow.models.set_model(PackagedNetwork())\n"
)


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
        self.client.log_batch(self.id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers; those that are not finite are left out."""
        now = int(1000 * time.time())
        finite = {key: float(value) for key, value in metrics.items() if np.isfinite(value)}
        entries = [Metric(_key(key), value, now, step) for key, value in finite.items()]
        self.client.log_batch(self.id, metrics=entries)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set or change tags."""
        self.client.log_batch(self.id, tags=[RunTag(key, _text(value)) for key, value in tags.items()])

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or all that lies in a folder, to the run's artifacts."""
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
        self.client.log_text(self.id, text, name)

    def end(self, status: str = "FINISHED") -> None:
        """End as ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.client.set_terminated(self.id, status)


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
        uri = uri or "mlruns"
        if "://" not in uri:
            uri = f"sqlite:///{Path(uri).absolute()}/mlflow.db"
        try:
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            if not uri.startswith("sqlite:///"):
                return cls(uri, None)
            file = Path(uri.removeprefix("sqlite:///")).absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            # Several processes that create one SQLite store at once leave it unusable.
            with FileLock(f"{file}.lock"):
                return cls(f"sqlite:///{file}", (file.parent / "artifacts").as_uri())
        except (MlflowException, SQLAlchemyError, OSError, ValueError, ImportError) as error:
            raise LeighError(
                f"The store {_without_secrets(uri)} can't be reached ({_first_line(error)}); "
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
            run.set_tags({"error": _first_line(error)})
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end()

    def start(self, name: str, *, parent: Run | None = None, **tags: Any) -> Run:  # noqa: ANN401
        """Start a run; whoever starts it ends it."""
        family = {"mlflow.parentRunId": parent.id} if parent else {}
        texts = {key: _text(value) for key, value in (tags | family).items()}
        created = self.client.create_run(self.experiment_id, run_name=name, tags=texts)
        return Run(self.client, created.info.run_id)

    def log_package(self, run: Run, folder: Path, *, channels: int, image_size: int, classifies: bool) -> str:
        """Log a model package as MLflow model ``model`` of a run; returns its address for :meth:`register`."""
        spec = TensorSpec(np.dtype(np.float32), (-1, channels, image_size, image_size))
        output = TensorSpec(np.dtype(np.float32), (-1, -1) if classifies else spec.shape)
        with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")
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

    def register(self, name: str, model_uri: str, run: Run, tags: Mapping[str, Any]) -> Version:
        """Register a logged model as the next version of a name, with alias ``challenger``."""
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        texts = {key: _text(value) for key, value in tags.items()}
        made = self.client.create_model_version(name, model_uri, run_id=run.id, tags=texts)
        version = Version(name, int(made.version), run.id, texts)
        self.client.set_registered_model_alias(name, CHALLENGER, str(version.version))
        return version

    def promote(self, name: str, version: int) -> Version:
        """Give a version the alias ``champion``.

        Raises:
            LeighError: There is no such version.
        """
        found = self.version(f"models:/{name}/{version}")
        self.client.set_registered_model_alias(name, CHAMPION, str(version))
        return found

    def champion(self, name: str) -> Version | None:
        """The version with the alias ``champion``, if there is one."""
        try:
            return self.version(f"models:/{name}@{CHAMPION}")
        except LeighError:
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
        try:
            if alias:
                found = self.client.get_model_version_by_alias(name, alias)
            else:
                found = self.client.get_model_version(name, number)
        except MlflowException:
            names = ", ".join(sorted(model.name for model in self.client.search_registered_models())) or "none yet"
            raise LeighError(
                f"The store has no {uri}; registered models are: {names}. Name one of them with a version "
                "or alias that it has, run the tune command first, or give the --store that it wrote to."
            ) from None
        return Version(name, int(found.version), found.run_id, dict(found.tags))

    def download(self, version: Version, folder: Path) -> Path:
        """Copy a version's model package into a folder; nothing of it is run."""
        with tempfile.TemporaryDirectory() as temporary:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fetched = Path(mlflow.artifacts.download_artifacts(version.uri, dst_path=temporary))
            found = [path.parent for path in sorted(fetched.rglob("model.json"))]
            if len(found) != 1:
                raise LeighError(f"{version.uri} holds no model package; register it again with the train command.")
            shutil.copytree(found[0], folder, dirs_exist_ok=True)
        return folder


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


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _without_secrets(lines[0])[:300]


def _without_secrets(text: str) -> str:
    return re.sub(r"(\w+://)\S*@", r"\1…@", text)
