"""A search that is killed again and again, against the same search left alone.

    python -m benchmarks.chaos [--kills 20] [--seed 0]

At random moments it kills the driver (which is then started again with ``--resume``), the search's own process,
workers, Ray's processes and the tracking server (which comes back after a while). Then it checks the store: every
trial finished once, with an epoch for every step, one champion, no run left open, and the best configuration and its
scores as in the undisturbed search. The last line is one JSON object.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from mlflow.tracking import MlflowClient

from benchmarks.report import report
from leigh_mlops.commands import ENVIRONMENT
from tests.conftest import write_class_folders

TARGETS = ("driver", "search", "worker", "ray", "server")
SEARCH = """
family: autoencoder
metric: val/mse
early_stopping: none
trials: {trials}
keep: 1
image_size: 64
published: {{learning_rate: 0.001, batch_size: 8, epochs: {epochs}, flip: 0.5}}
space:
  learning_rate: {{low: 1.0e-4, high: 1.0e-2, log: true}}
  flip: [0.0, 0.5]
"""


@dataclass
class Server:
    """An MLflow server on a folder of its own, which can be killed and started again."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self.folder.mkdir(exist_ok=True)
        store = [f"sqlite:///{self.folder}/mlflow.db", str(self.folder / "artifacts")]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", store[0], "--artifacts-destination", store[1]]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.2)
        raise RuntimeError(f"no server answers: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill the server."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class DisturbedSearch:
    """A search in a process of its own, parts of which are killed.

    Attributes:
        place: Folder with the images; state, store and output are written here.
        server: Tracking server of the search.
        killed: Targets that were killed, in order.
    """

    place: Path
    server: Server
    seed: int = 0
    killed: list[str] = field(default_factory=list)
    driver: subprocess.Popen[bytes] | None = None

    def start(self, *, resume: bool = False) -> None:
        """Start the search, or resume it."""
        environment = (
            os.environ
            | ENVIRONMENT
            | {
                "LEIGH_STATE": str(self.place / "state"),
                "LEIGH_CACHE": str(self.place / "cache"),
                "OMP_NUM_THREADS": "1",
            }
        )
        command = [sys.executable, "-m", "leigh_mlops.tune", "--store", self.server.uri]
        if resume:
            command += ["--resume"]
        else:
            command += ["search.yaml", "--data", "plate", "--seed", str(self.seed)]
        with (self.place / "out").open("ab") as out:
            self.driver = subprocess.Popen(
                command, cwd=self.place, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    def kill(self, target: str) -> bool:
        """Kill one target; return whether there was one."""
        if self.driver is None or self.driver.poll() is not None:
            return False
        if target == "server":
            self.server.kill()
            time.sleep(2)
            self.server.start()
        elif target == "driver":
            self.driver.kill()
            self.driver.wait()
            self.start(resume=True)
        else:
            found = [process for process in _child_processes(self.driver.pid) if _matches_target(process, target)]
            if not found:
                return False
            random.Random(f"{self.seed} {len(self.killed)}").choice(found).kill()
        self.killed.append(target)
        return True

    def wait(self, seconds: float) -> int | None:
        """Wait for the end of the search, at most so many seconds; return its exit code."""
        assert self.driver is not None
        with suppress(subprocess.TimeoutExpired):
            return self.driver.wait(seconds)
        return None

    def epochs(self) -> int:
        """Count the epochs in the search's journal so far."""
        files = sorted((self.place / "state" / "searches").glob("*/journal.jsonl"))
        return sum('"what": "epoch"' in line for line in files[-1].read_text().splitlines()) if files else 0


def _child_processes(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _matches_target(process: psutil.Process, target: str) -> bool:
    try:
        name, command = process.name(), " ".join(process.cmdline())
    except psutil.Error:
        return False
    if target == "worker":
        return command.startswith("ray::")
    if target == "ray":
        return name in ("raylet", "gcs_server")
    return "multiprocessing.spawn" in command


@contextmanager
def prepare_search(place: Path, *, trials: int, epochs: int, fields: int, seed: int = 0) -> Iterator[DisturbedSearch]:
    """Prepare a search that can be started, with its server."""
    place.mkdir(parents=True)
    write_class_folders(place / "plate", size=64, wells=8, fields=fields)
    (place / "search.yaml").write_text(SEARCH.format(trials=trials, epochs=epochs))
    server = Server(place / "server")
    server.start()
    storm = DisturbedSearch(place, server, seed)
    try:
        yield storm
    finally:
        if storm.driver is not None and storm.driver.poll() is None:
            os.killpg(storm.driver.pid, signal.SIGKILL)
            storm.driver.wait()
        server.kill()


def disturb(storm: DisturbedSearch, targets: Sequence[str], *, most_s: float, timeout_s: float) -> int:
    """Run a search and kill the targets one after another at random times; return its exit code.

    Three of four kills wait for a new epoch first, so that there is something to lose; the others may hit a search
    that is just coming back.

    Raises:
        TimeoutError: The search does not end.
    """
    moments = random.Random(storm.seed)
    deadline = time.monotonic() + timeout_s
    storm.start()
    before = 0
    for number, target in enumerate(targets):
        while number % 4 != 3 and storm.epochs() <= before and storm.wait(0.1) is None:
            _check_deadline(storm, deadline)
        storm.wait(moments.uniform(0, most_s))
        while not storm.kill(target) and storm.wait(0.1) is None:
            _check_deadline(storm, deadline)
        before = storm.epochs()
    while (code := storm.wait(1.0)) is None:
        _check_deadline(storm, deadline)
    return code


def _check_deadline(storm: DisturbedSearch, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError((storm.place / "out").read_text())


def read_store(storm: DisturbedSearch) -> dict[str, Any]:
    """Read the facts of the search from the store."""
    client = MlflowClient(storm.server.uri, storm.server.uri)
    experiment = client.get_experiment_by_name("leigh")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    trials = [run for run in runs if run.data.tags.get("trial")]
    steps = {
        run.info.run_name: [metric.step for metric in client.get_metric_history(run.info.run_id, "epoch/val/mse")]
        for run in trials
    }
    best = min(trials, key=lambda run: run.data.metrics.get("val/mse", float("inf")))
    return {
        "open": [run.info.run_name for run in runs if run.info.status == "RUNNING"],
        "parents": sum(run.data.tags.get("kind") == "search" for run in runs),
        "names": sorted(run.info.run_name for run in trials),
        "status": sorted({run.info.status for run in trials}),
        "steps": steps,
        "versions": len(client.search_model_versions("name = 'leigh-autoencoder'")),
        "champion": str(client.get_registered_model("leigh-autoencoder").aliases.get("champion", "")),
        "best": dict(best.data.params),
        "score": best.data.metrics["val/mse"],
    }


def find_faults(said: dict[str, Any], calm: dict[str, Any], *, trials: int, epochs: int) -> list[str]:
    """Describe the differences between a disturbed search and an undisturbed one."""
    wanted = {
        "open": [],
        "parents": 1,
        "names": sorted(f"autoencoder-{number}" for number in range(1, trials + 1)),
        "status": ["FINISHED"],
        "steps": {f"autoencoder-{number}": list(range(1, epochs + 1)) for number in range(1, trials + 1)},
        "versions": 1,
        "champion": "1",
        "best": calm["best"],
        "score": calm["score"],
    }
    return [f"{key}: {said[key]} instead of {value}" for key, value in wanted.items() if said[key] != value]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--fields", type=int, default=40, help="fields of each well: more make longer epochs")
    parser.add_argument("--most-s", type=float, default=10.0, help="longest wait before a kill")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    size = {"trials": given.trials, "epochs": given.epochs}
    dice = random.Random(given.seed)
    targets = [dice.choice(TARGETS) for _ in range(given.kills)]
    with tempfile.TemporaryDirectory() as temporary:
        with prepare_search(Path(temporary) / "calm", fields=given.fields, seed=given.seed, **size) as calm:
            calm.start()
            started = time.monotonic()
            assert calm.wait(3600) == 0, (calm.place / "out").read_text()
            undisturbed, quiet_s = read_store(calm), time.monotonic() - started
        with prepare_search(Path(temporary) / "storm", fields=given.fields, seed=given.seed, **size) as storm:
            started = time.monotonic()
            code = disturb(storm, targets, most_s=given.most_s, timeout_s=3600)
            wrong = find_faults(read_store(storm), undisturbed, **size) if code == 0 else [f"exit code {code}"]
            if len(storm.killed) < given.kills:
                wrong.append(f"only {len(storm.killed)} kills: the search ended before; give it more --fields")
            stormy_s = time.monotonic() - started
            print(f"killed: {', '.join(storm.killed)}")
            print("\n".join(wrong) or "nothing was lost, and nothing happened twice")
            if wrong:
                print((storm.place / "out").read_text())
    print(f"{stormy_s:.0f} s with {len(storm.killed)} kills, {quiet_s:.0f} s without")
    report("chaos", ours=len(wrong), reference=max(1, len(storm.killed)), unit="faults per kill", bar=0)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
