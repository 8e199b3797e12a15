"""A tracking server in memory: runs, logged models and registered versions, as MLflow keeps them.

Metrics that are logged twice at one time and step stand once, parameters never change, and of the requests that a
client repeats each is done.
"""

import copy
import random
import re
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)

from benchmarks.nights.faults import Fault
from benchmarks.nights.world import World
from leigh_mlops.tracking import BEST_MODEL, Run, Store
from leigh_mlops.tracking.store_errors import translate_store_errors

__all__ = ["Client", "RunRecord", "Server", "SimulatedStore"]

URI = "http://store.example:5000"
_REQUEST_S = 0.02
_LATE_S = 60.0

Point = tuple[int, int, str]
"""Step, time in ms and value of a metric, as text because NaN equals nothing."""


class Page(list[Any]):
    """A page of runs, the last one."""

    token = ""


@dataclass
class RunRecord:
    """A run."""

    id: str
    name: str
    start: int
    status: str = "RUNNING"
    end: int | None = None
    is_deleted: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, set[Point]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def to_entity(self) -> SimpleNamespace:
        """Snapshot as the client gives it, with the latest value of each metric."""
        latest = {name: float(max(points)[2]) for name, points in self.metrics.items()}
        info = SimpleNamespace(run_id=self.id, run_name=self.name, status=self.status, start_time=self.start)
        data = SimpleNamespace(tags=dict(self.tags), params=dict(self.params), metrics=latest)
        return SimpleNamespace(info=info, data=data)


@dataclass
class Model:
    """A registered model."""

    versions: dict[int, SimpleNamespace] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    count: int = 0


@dataclass
class Server:
    """Content of the store, and the requests that change it."""

    world: World
    ids: random.Random
    runs: dict[str, RunRecord] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    logged: list[SimpleNamespace] = field(default_factory=list)

    def _run(self, run_id: str) -> RunRecord:
        run = self.runs.get(run_id)
        if run is None:
            raise MlflowException("no such run", RESOURCE_DOES_NOT_EXIST)
        return run

    def _active_run(self, run_id: str) -> RunRecord:
        run = self._run(run_id)
        if run.is_deleted:
            raise MlflowException("the run is deleted", INVALID_PARAMETER_VALUE)
        return run

    def _model(self, name: str) -> Model:
        if name not in self.models:
            raise MlflowException("no such model", RESOURCE_DOES_NOT_EXIST)
        return self.models[name]

    def create_run(
        self, experiment_id: str, start_time: int | None, run_name: str, tags: dict[str, str]
    ) -> SimpleNamespace:
        """Create a run."""
        start = int(1000 * self.world.wall) if start_time is None else start_time
        run = RunRecord(f"{self.ids.getrandbits(128):032x}", run_name, start, tags=dict(tags))
        self.runs[run.id] = run
        return run.to_entity()

    def delete_run(self, run_id: str) -> None:
        """Delete a run; it can be restored."""
        self._run(run_id).is_deleted = True

    def get_run(self, run_id: str) -> SimpleNamespace:
        """Return a run."""
        return self._run(run_id).to_entity()

    def search_runs(
        self, experiment_ids: Sequence[str], filter_string: str, max_results: int, order_by: list[str], page_token: Any
    ) -> Page:
        """Return the runs that have some tags and names, in the order of their start."""
        found = [run for run in self.runs.values() if not run.is_deleted]
        if (started := re.fullmatch(r"attributes\.start_time = (\d+)", filter_string)) is not None:
            found = [run for run in found if run.start == int(started[1])]
        for key, value in re.findall(r"tags\.([\w.]+) = '([^']*)'", filter_string):
            found = [run for run in found if run.tags.get(key) == value]
        sign = -1 if order_by[0].endswith("DESC") else 1
        found.sort(key=lambda run: (sign * run.start, run.id))
        return Page(run.to_entity() for run in found)

    def log_batch(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """Log metrics, parameters and tags."""
        run = self._active_run(run_id)
        for param in params:
            if run.params.setdefault(param.key, param.value) != param.value:
                raise MlflowException("parameters can't be changed", INVALID_PARAMETER_VALUE)
        for metric in metrics:
            run.metrics.setdefault(metric.key, set()).add((metric.step, metric.timestamp, str(metric.value)))
        run.tags |= {tag.key: tag.value for tag in tags}

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag."""
        if self._active_run(run_id).tags.pop(key, None) is None:
            raise MlflowException("no such tag", RESOURCE_DOES_NOT_EXIST)

    def set_terminated(self, run_id: str, status: str, end_time: int | None) -> None:
        """End a run."""
        run = self._active_run(run_id)
        run.status, run.end = status, int(1000 * self.world.wall) if end_time is None else end_time

    def update_run(self, run_id: str, status: str) -> None:
        """Set the status of a run."""
        self._active_run(run_id).status = status

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Store a text."""
        self._active_run(run_id).files[name] = text

    def search_logged_models(self, experiment_ids: Sequence[str], filter_string: str) -> list[SimpleNamespace]:
        """Return the logged models of a run."""
        run_id = filter_string.split("'")[1]
        return [copy.copy(each) for each in self.logged if each.source_run_id == run_id]

    def create_logged_model(self, run_id: str, name: str) -> SimpleNamespace:
        """Create a logged model whose files are still to come."""
        uri = f"models:/m-{self.ids.getrandbits(128):032x}"
        made = SimpleNamespace(name=name, model_uri=uri, source_run_id=run_id, tags={"digest": name})
        made.status = LoggedModelStatus.PENDING
        self.logged.append(made)
        return copy.copy(made)

    def get_logged_model(self, model_id: str) -> SimpleNamespace:
        """Return a logged model."""
        return copy.copy(next(each for each in self.logged if each.model_uri == f"models:/{model_id}"))

    def finalize_logged_model(self, uri: str) -> None:
        """Mark a logged model as whole."""
        next(each for each in self.logged if each.model_uri == uri).status = LoggedModelStatus.READY

    def create_registered_model(self, name: str) -> None:
        """Create a name."""
        if name in self.models:
            raise MlflowException("it exists", RESOURCE_ALREADY_EXISTS)
        self.models[name] = Model()

    def create_model_version(
        self, name: str, source: str, run_id: str, tags: dict[str, str], model_id: str | None
    ) -> SimpleNamespace:
        """Create the next version of a name."""
        model = self._model(name)
        model.count += 1
        made = SimpleNamespace(version=str(model.count), run_id=run_id, tags=dict(tags), source=source)
        model.versions[model.count] = made
        return copy.copy(made)

    def update_model_version(self, name: str, version: str, description: str) -> None:
        """Describe a version."""
        self.get_model_version(name, version)
        self._model(name).versions[int(version)].description = description

    def delete_model_version(self, name: str, version: str) -> None:
        """Delete a version with its aliases."""
        self.get_model_version(name, version)
        model = self._model(name)
        del model.versions[int(version)]
        model.aliases = {alias: number for alias, number in model.aliases.items() if number != int(version)}

    def search_model_versions(self, filter_string: str) -> list[SimpleNamespace]:
        """Return the versions of a name."""
        model = self.models.get(filter_string.split("'")[1], Model())
        return [copy.copy(each) for each in model.versions.values()]

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        """Return a version."""
        if int(version) not in self._model(name).versions:
            raise MlflowException("no such version", RESOURCE_DOES_NOT_EXIST)
        return copy.copy(self.models[name].versions[int(version)])

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        """Return the version with an alias."""
        model = self._model(name)
        if alias not in model.aliases:
            raise MlflowException("no such alias", INVALID_PARAMETER_VALUE)
        return self.get_model_version(name, str(model.aliases[alias]))

    def get_registered_model(self, name: str) -> SimpleNamespace:
        """Return a name with its aliases."""
        return SimpleNamespace(name=name, aliases=dict(self._model(name).aliases))

    def search_registered_models(self) -> list[SimpleNamespace]:
        """Return all names."""
        return [self.get_registered_model(name) for name in self.models]

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Give a version an alias."""
        self.get_model_version(name, version)
        self._model(name).aliases[alias] = int(version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        self._model(name).aliases.pop(alias, None)


class Client:
    """A client of the server across a network in which requests and answers are lost, late and repeated."""

    tracking_uri = URI

    def __init__(self, server: Server) -> None:
        self._server, self._world = server, server.world

    def __getattr__(self, name: str) -> Callable[..., Any]:
        request = getattr(self._server, name)

        def send(*args: Any, **kwargs: Any) -> Any:
            return self._send(name, lambda **less: request(*args, **(kwargs | less)), kwargs.get("metrics"))

        return send

    def _send(self, name: str, effect: Callable[..., Any], metrics: Sequence[Any] | None) -> Any:
        world = self._world
        if world.has(Fault.AWAY):
            world.wait(f"{name}: no answer", 1.0)
            raise ConnectionError("connection refused")
        if world.has(Fault.ERROR):
            world.wait(f"{name}: 500", _REQUEST_S)
            raise MlflowException("internal error", INTERNAL_ERROR)
        fault = world.take(Fault.LOST, Fault.DOUBLE, Fault.LATE)
        if fault is Fault.LOST:
            less = {"metrics": metrics[: world.dice.randint(0, len(metrics))]} if metrics else {}
            world.act(f"{name}, whose answer is lost", lambda: effect(**less), seconds=_REQUEST_S)
            raise ConnectionError("the answer was lost")
        result = world.act(name, effect, seconds=_REQUEST_S)
        if fault is Fault.LATE:  # what comes later is done later, as by a server with one queue
            world.wait(f"the late answer to {name}", _LATE_S)
        if fault is Fault.DOUBLE:
            result = world.act(f"{name}, repeated", effect, seconds=_REQUEST_S)
        return result


class SimulatedStore(Store):
    """The store over a simulated server; the files of models are not written."""

    def __init__(self, server: Server) -> None:
        self.uri, self.experiment_id = URI, "1"
        self.client = Client(server)

    def log_package(  # type: ignore[override]
        self, run: Run, package: Any, *example: object, name: str = BEST_MODEL, step: int = 0
    ) -> str:
        """Log a model once, in two requests like MLflow."""
        if (logged := self._logged_models(run).get(name)) is not None:
            return logged
        with translate_store_errors(self.client):
            made = self.client.create_logged_model(run.id, name)
            self.client.finalize_logged_model(made.model_uri)
        return str(made.model_uri)

    @contextmanager
    def monitor_system(self, run: Run) -> Any:
        """Measure nothing."""
        with nullcontext():
            yield
