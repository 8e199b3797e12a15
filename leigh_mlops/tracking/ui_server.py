"""MLflow's own UI on a store, as a process of its own."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from rich.console import Console

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.tracking.store import Store

__all__ = ["serve_ui"]

_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
_STOP_WAIT_S = 10.0
_SECONDS_BETWEEN_LINES = 10.0


def serve_ui(uri: str | None, host: str, port: int, console: Console) -> int:
    """Run MLflow's UI on a store until it is stopped; returns its exit code.

    On another address than loopback it asks for the password of its first user, which comes from the environment.

    Raises:
        LeighError: The address is reachable from the network and there is no password, or the store can't be reached.
        StoppedError: SIGTERM stopped it.
    """
    shared = not _is_loopback(host)
    if shared:
        _check_password(host)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    # Passed in the environment, to keep a password out of the list of processes.
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": Store.open(uri).uri}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if shared:
            command += ["--app-name", "basic-auth"]
            environment |= _authentication(environment["MLFLOW_BACKEND_STORE_URI"], Path(folder))
        server = subprocess.Popen(command, env=environment)
        console.print("The UI needs about 20 seconds to start; press Ctrl-C to stop it.")
        try:
            _announce_start(server, host, port, console)
            return server.wait()
        except KeyboardInterrupt as error:
            if isinstance(error, StoppedError) and error.number != signal.SIGINT:
                raise
            return 0
        finally:
            _end(server)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_password(host: str) -> None:
    if not os.environ.get(_PASSWORD):
        raise LeighError(
            f"With --host {host}, everyone on the network could change and delete runs; set a password of at least "
            f"12 characters in {_PASSWORD}, or leave out --host."
        )
    if find_spec("flask_wtf") is None:
        raise LeighError(
            f"--host {host} needs MLflow's authentication; install it with pip install 'leigh_mlops[servers]'."
        )


def _authentication(store_uri: str, folder: Path) -> dict[str, str]:
    """Return variables by which the server knows its users: those of a file beside the embedded store."""
    variables = {"MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32), "MLFLOW_AUTH_ADMIN_USERNAME": "leigh"}
    if store_uri.startswith("sqlite:///"):
        users = Path(store_uri.removeprefix("sqlite:///")).with_name("users.db")
        users.touch(mode=0o600)
        store_uri = f"sqlite:///{users}"
    config = folder / "auth.ini"
    config.touch(mode=0o600)
    config.write_text(f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {store_uri.replace('%', '%%')}\n")
    variables["MLFLOW_AUTH_CONFIG_PATH"] = str(config)
    return {name: value for name, value in variables.items() if name not in os.environ}


def _announce_start(server: "subprocess.Popen[bytes]", host: str, port: int, console: Console) -> None:
    """Print that the server is ready as soon as it accepts connections, and until then that it is starting."""
    begin = line = time.monotonic()
    address = (host if host not in ("0.0.0.0", "::") else "127.0.0.1", port)
    while server.poll() is None:
        with closing(socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)) as client:
            client.settimeout(1.0)
            if client.connect_ex(address) == 0:
                console.print(f"The UI is ready at http://{host}:{port}.")
                return
        if time.monotonic() > line + _SECONDS_BETWEEN_LINES:
            line = time.monotonic()
            console.print(f"  the UI is starting ({line - begin:.0f} s)", markup=False)
        time.sleep(0.2)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Let the server end its own processes, which a kill would leave."""
    server.terminate()
    try:
        server.wait(_STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        server.kill()
