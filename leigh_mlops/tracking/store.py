"""The store of runs: an MLflow server, or a file and a folder."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, build_opener

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError, is_disk_full
from leigh_mlops.events import rename_old_metrics
from leigh_mlops.tracking.monitor import SystemMonitor
from leigh_mlops.tracking.package_seal import load_signer, load_verifier
from leigh_mlops.tracking.registry import Registry
from leigh_mlops.tracking.run_origin import origin_tags
from leigh_mlops.tracking.runs import NOTE, Run, tag_texts
from leigh_mlops.tracking.secrets import first_line, move_password_to_environment, redact_secrets
from leigh_mlops.tracking.store_errors import describe_missing_package, translate_store_errors

__all__ = ["Store"]

EXPERIMENT = "leigh"
_PARENT = "mlflow.parentRunId"


# MLflow waits two minutes for each answer, and asks several times.
_ANSWER_SECONDS = 15.0
_OTHER_SCHEMA = "out-of-date database schema"


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirect for an answer, wherever it leads."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401
        """Follow none."""


def _require_answer(uri: str) -> None:
    """Ask a server for anything; errors but silence are left to MLflow, which knows its certificates and passwords.

    Raises:
        TimeoutError: It does not answer.
    """
    try:
        build_opener(_NoRedirect).open(uri, timeout=_ANSWER_SECONDS).close()
    except URLError as error:  # an answer such as 401, too
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError(f"no answer within {_ANSWER_SECONDS:g} s") from None
    except TimeoutError:
        raise TimeoutError(f"no answer within {_ANSWER_SECONDS:g} s") from None
    except (OSError, ValueError, HTTPException):
        pass


class Store(Registry):
    """An MLflow server, or the embedded store: a SQLite file and a folder."""

    def __init__(self, uri: str, artifacts: str | None) -> None:
        self.uri = uri
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self.experiment_id = self._find_or_create_experiment(artifacts)

    @classmethod
    def open(
        cls,
        uri: str | None = None,
        *,
        verbose: bool = False,
        sign_key: Path | None = None,
        trusted_key: Path | None = None,
    ) -> "Store":
        """Open a store; an embedded one is created if it does not exist.

        Args:
            uri: Tracking address, or the folder of an embedded store; by default ``./mlruns``.
            verbose: Show MLflow's log messages.
            sign_key: Private key that signs each package that is logged.
            trusted_key: Public key without whose signature no package is downloaded.

        Raises:
            LeighError: The store can't be reached, MLflow does not support the address, or a key can't be used.
        """
        if sign_key is not None:
            load_signer(sign_key)
        if trusted_key is not None:
            load_verifier(trusted_key)
        if not verbose:
            for name in ("mlflow", "alembic", "sqlalchemy"):
                logging.getLogger(name).setLevel(logging.ERROR)
            # Samples that a store without space or answer does not take are no loss.
            logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
        store = cls._connect(uri or "mlruns")
        store.sign_key, store.trusted_key = sign_key, trusted_key
        return store

    @classmethod
    def _connect(cls, uri: str) -> "Store":
        uri = move_password_to_environment(uri)
        if "://" not in uri:
            uri = f"sqlite:///{Path(uri).absolute()}/mlflow.db"
        try:
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            if not uri.startswith("sqlite:///"):
                if not uri.startswith("http"):
                    # MLflow tries for two minutes, also with a wrong password.
                    create_engine(uri).connect().close()
                else:
                    _require_answer(uri)
                return cls(uri, None)
            file = Path(uri.removeprefix("sqlite:///")).absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            # Several processes that create one SQLite store at once leave it unusable.
            with FileLock(f"{file}.lock"):
                return cls(f"sqlite:///{file}", (file.parent / "artifacts").as_uri())
        except (MlflowException, SQLAlchemyError, OSError, ValueError, ImportError) as error:
            if _OTHER_SCHEMA in str(error):
                raise LeighError(
                    f"The store {redact_secrets(uri)} was made by another version of MLflow, and nothing in it was "
                    f"changed; copy it, then run: mlflow db upgrade {redact_secrets(uri)}"
                ) from None
            if missing := describe_missing_package(error):
                raise LeighError(missing) from None
            remedy = "free space on its disk" if is_disk_full(error) else "start the server"
            raise LeighError(
                f"The store {redact_secrets(uri)} can't be reached ({first_line(error)}); "
                f"{remedy}, or give another --store."
            ) from None

    @property
    def location(self) -> str:
        """Location of the store, without passwords."""
        return redact_secrets(self.uri.removeprefix("sqlite:///"))

    def typed_options(self, given: str | None) -> list[str]:
        """Options by which another command opens this store; no password is among them.

        Args:
            given: Address with which the store was opened; None for the default, which needs no option.
        """
        if given is None:
            return []
        return ["--store", self.location if "://" in self.location else given]

    def _find_or_create_experiment(self, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))

    @contextmanager
    def run(self, name: str, *, parent: Run | None = None, **tags: Any) -> Iterator[Run]:  # noqa: ANN401
        """Start a run that ends as FINISHED, or as FAILED or KILLED if the body raises."""
        with _end_on_exit(self.start(name, parent=parent, **tags)) as run:
            yield run

    @contextmanager
    def reopen_run(self, run_id: str) -> Iterator[Run]:
        """Reopen a run that has ended; it ends again like that of :meth:`run`."""
        run = self.get_run(run_id)
        run.resume()
        with _end_on_exit(run):
            yield run

    def start(
        self,
        name: str,
        *,
        parent: Run | None = None,
        at: float | None = None,
        note: str = "",
        **tags: Any,  # noqa: ANN401
    ) -> Run:
        """Start a run, now or at a time in seconds since 1970; the caller must end it.

        Its tags say who and what made it, too; ``note`` says in Markdown what it is.
        """
        family = {_PARENT: parent.id} if parent else {}
        texts = tag_texts(origin_tags() | tags | family | {NOTE: note})
        started = int(1000 * (time.time() if at is None else at))
        with translate_store_errors(self.client):
            created = self.client.create_run(self.experiment_id, start_time=started, run_name=name, tags=texts)
        if self.uri.startswith("http"):
            self._delete_repeated(created, texts)
        return Run(self.client, created.info.run_id)

    def _delete_repeated(self, run: Any, tags: Mapping[str, str]) -> None:  # noqa: ANN401
        """Delete the twins of a run that was just started, which differ in nothing.

        MLflow's client repeats a request whose answer was lost or is an error of the server, which may start a run
        twice. The other one would stay open for ever.
        """
        for found in self._iterate_runs(f"attributes.start_time = {run.info.start_time}", "ASC"):
            same = found.info.run_name == run.info.run_name and tags.items() <= found.data.tags.items()
            if same and found.info.run_id != run.info.run_id:
                Run(self.client, found.info.run_id).delete()

    def get_run(self, run_id: str) -> Run:
        """Return an existing run."""
        return Run(self.client, run_id)

    def children(self, parent: Run) -> dict[str, Run]:
        """Runs of a parent by name; of several with one name, the first is returned and the others are deleted.

        Names are unique within a search; others are left by a request that the client repeated.
        """
        return self._keep_first_by_name(_parent_filter(parent))

    def find_search_run(self, search: str) -> Run | None:
        """Find the run of a search by the search's id, if the store has it.

        Of several with one name, as a repeated request leaves them, the first is returned and the others are deleted.
        """
        return next(iter(self._keep_first_by_name(f"tags.search = '{search}'").values()), None)

    def _keep_first_by_name(self, filter_string: str) -> dict[str, Run]:
        """Delete all runs but the first of each name, and return those by name."""
        runs: dict[str, Run] = {}
        for found in self._iterate_runs(filter_string, "ASC"):
            run = Run(self.client, found.info.run_id)
            if runs.setdefault(found.info.run_name, run).id != run.id:  # pages may overlap
                run.delete()
        return runs

    def newest_search(self) -> Run:
        """Find the run of the search that was started last.

        Raises:
            LeighError: There is none.
        """
        for found in self._iterate_runs("tags.kind = 'search'", "DESC"):
            return Run(self.client, found.info.run_id)
        raise LeighError(f"The store {self.location} holds no search; run the tune command first.")

    def search_records(self) -> list[dict[str, Any]]:
        """Id, tags and parameters of all searches, the newest first."""
        return [
            {"id": found.info.run_id, "tags": found.data.tags, "params": found.data.params}
            for found in self._iterate_runs("tags.kind = 'search'", "DESC")
        ]

    def child_records(self, parent: Run) -> list[dict[str, Any]]:
        """Name, status, tags, parameters and latest metrics of a parent's runs, in the order of their start."""
        return [
            {"name": found.info.run_name, "status": found.info.status}
            | {"tags": found.data.tags, "params": found.data.params}
            | {"metrics": rename_old_metrics(found.data.metrics)}
            for found in self._iterate_runs(_parent_filter(parent), "ASC")
        ]

    def _iterate_runs(self, filter_string: str, order: str) -> Iterator[Any]:
        """Iterate over all matching runs in the order of their start."""
        token = None
        while True:
            with translate_store_errors(self.client):
                page = self.client.search_runs(
                    [self.experiment_id],
                    filter_string,
                    max_results=1000,
                    order_by=[f"attributes.start_time {order}"],
                    page_token=token,
                )
            yield from page
            token = page.token
            if not token:
                return

    @contextmanager
    def monitor_system(self, run: Run) -> Iterator[None]:
        """Log CPU, memory and GPU of this machine to a run, by MLflow's own monitor, while the body runs."""
        monitor = SystemMonitor(run.id, resume_logging=True)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()


def _parent_filter(parent: Run) -> str:
    return f"tags.{_PARENT} = '{parent.id}'"


@contextmanager
def _end_on_exit(run: Run) -> Iterator[Run]:
    try:
        yield run
    except BaseException as error:
        run.set_tags({"error": first_line(error)})
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    run.end()
