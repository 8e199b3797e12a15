"""Nothing that a quick check runs starts Ray, whoever forgets the marker; a cluster of this machine is for us alone."""

import json
import os
import subprocess
import sys
import tempfile
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NO_RAY

START = """
import json, os, signal
import psutil, ray
from leigh_mlops.search.cluster import ray_cluster
signal.signal(signal.SIGTERM, signal.default_int_handler)
with ray_cluster(workers=2):
    remote = ray.get(ray.remote(lambda: os.environ["RAY_AUTH_TOKEN"]).remote())
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"]
    token = os.environ["RAY_AUTH_TOKEN"]
    lines = [" ".join(p.cmdline()) for p in family]
handler = signal.getsignal(signal.SIGTERM) is signal.default_int_handler
after = os.environ.get("RAY_AUTH_TOKEN")
print(json.dumps(dict(remote=remote, sockets=sockets, token=token, lines=lines, handler=handler, after=after)))
"""


def start(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", START], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def is_loopback(address: str) -> bool:
    host = ip_address(address)
    return (host.ipv4_mapped or host).is_loopback if isinstance(host, IPv6Address) else host.is_loopback


@pytest.mark.parametrize(
    ("address", "own"), [("0.0.0.0", False), ("::", False), ("::1", True), ("::ffff:10.0.0.1", False)]
)
def test_an_address_beyond_loopback_is_seen(address: str, own: bool) -> None:
    assert is_loopback(address) is own


@pytest.mark.ray
def test_a_cluster_of_this_machine_is_for_us_alone() -> None:
    """It starts without a home, whatever the environment or a file in the temporary folder names."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # a socket's path may not be long
        named = Path(folder) / "ray" / "ray_current_cluster"
        named.parent.mkdir()
        named.write_text("127.0.0.1:1")
        others = {"RAY_ADDRESS": "127.0.0.1:1", "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "of another cluster"}
        done = start(RAY_TMPDIR=folder, HOME="/nonexistent", **others)
        assert done.returncode == 0, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout)
        private = Path(folder) / f"ray-{os.geteuid()}"
        assert private.stat().st_mode & 0o077 == 0
        written = [path for path in private.rglob("*") if path.is_file()]
        assert written
        assert not [path for path in written if seen["token"].encode() in path.read_bytes()]
    assert len(seen["sockets"]) > 3
    assert [address for address in seen["sockets"] if not is_loopback(address)] == []
    assert seen["token"] == seen["remote"] != others["RAY_AUTH_TOKEN"]
    assert len(seen["token"]) == 64
    assert not [line for line in seen["lines"] if seen["token"] in line]
    assert seen["after"] == others["RAY_AUTH_TOKEN"]
    assert seen["handler"]


def test_ray_does_not_start_without_the_marker() -> None:
    done = start()
    assert done.stdout == ""
    assert NO_RAY in done.stderr
