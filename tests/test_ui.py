"""The UI is for this machine, unless it asks for a password."""

import configparser
import io
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.tracking import serve_ui, ui_server


class Server:
    """A process in the place of MLflow's."""

    started: dict[str, Any]
    stop: int | None = None
    ended = False

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        config = configparser.ConfigParser()
        config.read(env.get("MLFLOW_AUTH_CONFIG_PATH", ""))
        Server.started = {"command": command, "env": env, "config": config}
        Server.ended = False

    def poll(self) -> int | None:
        return 0

    def wait(self, *timeout: float) -> int:
        if Server.stop is not None and not Server.ended:
            raise StoppedError(Server.stop)
        return 5

    def terminate(self) -> None:
        Server.ended = True


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ui_server, "subprocess", type("", (), {"Popen": Server, "TimeoutExpired": subprocess.TimeoutExpired})
    )
    monkeypatch.setattr(Server, "stop", None)
    for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


def serve(folder: Path, host: str) -> int:
    return serve_ui(str(folder / "store"), host, 1, Console(file=io.StringIO()))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "localhost.example.org"])
def test_another_address_than_loopback_needs_a_password(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LeighError, match=r"set a password of at least 12 characters in MLFLOW_AUTH_ADMIN_PASSWORD"):
        serve(tmp_path, host)
    assert not (tmp_path / "store").exists()
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "a long password")
    assert serve(tmp_path, host) == 5
    assert Server.started["command"][-2:] == ["--app-name", "basic-auth"]
    assert "a long password" not in " ".join(Server.started["command"])
    users = tmp_path / "store" / "users.db"
    assert Server.started["config"]["mlflow"]["database_uri"] == f"sqlite:///{users}"
    assert users.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_this_machine_needs_none(host: str, tmp_path: Path) -> None:
    assert serve(tmp_path, host) == 5
    assert "--app-name" not in Server.started["command"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_server_end_its_processes(number: int, tmp_path: Path) -> None:
    Server.stop = number
    if number == signal.SIGTERM:
        with pytest.raises(StoppedError):
            serve(tmp_path, "localhost")
    else:
        assert serve(tmp_path, "localhost") == 0
    assert Server.ended
