"""The store of runs: an MLflow server, or a file and a folder."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError
from leigh_mlops.tracking.asking import asked
from leigh_mlops.tracking.monitor import Monitor
from leigh_mlops.tracking.registry import Registry
from leigh_mlops.tracking.runs import Run, text_of
from leigh_mlops.tracking.secrets import first_line, with_password_aside, without_secrets

__all__ = ["Store", "serve_ui"]

EXPERIMENT = "leigh"


class Store(Registry):
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
        uri = with_password_aside(uri or "mlruns")
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
                f"The store {without_secrets(uri)} can't be reached ({first_line(error)}); "
                "start the server, or give another --store."
            ) from None

    @property
    def words(self) -> str:
        """Where the store is, without passwords."""
        return without_secrets(self.uri.removeprefix("sqlite:///"))

    def _experiment(self, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))

    @contextmanager
    def run(self, name: str, *, parent: Run | None = None, **tags: Any) -> Iterator[Run]:  # noqa: ANN401
        """A run that ends FINISHED, or FAILED or KILLED where the body does not reach its end."""
        with _ended(self.start(name, parent=parent, **tags)) as run:
            yield run

    @contextmanager
    def again(self, run_id: str) -> Iterator[Run]:
        """The same with a run that has ended before."""
        run = self.run_of(run_id)
        run.go_on()
        with _ended(run):
            yield run

    def start(self, name: str, *, parent: Run | None = None, at: float | None = None, **tags: Any) -> Run:  # noqa: ANN401
        """Start a run, now or at a moment in seconds since 1970; whoever starts it ends it."""
        family = {"mlflow.parentRunId": parent.id} if parent else {}
        texts = {key: text_of(value) for key, value in (tags | family).items()}
        started = None if at is None else int(1000 * at)
        with asked(self.client):
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
            with asked(self.client):
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
        monitor = Monitor(run.id, resume_logging=True)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()


@contextmanager
def _ended(run: Run) -> Iterator[Run]:
    try:
        yield run
    except BaseException as error:
        run.set_tags({"error": first_line(error)})
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    run.end()


def serve_ui(uri: str | None, host: str, port: int) -> int:
    """Run MLflow's own UI on a store until it is stopped; returns its exit code."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    # In the environment, where a password is not seen in the list of processes.
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": Store.open(uri).uri}
    try:
        return subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        return 0
