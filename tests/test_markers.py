"""Nothing that a quick check runs starts Ray, whoever forgets the marker."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import NO_RAY

START = """
from leigh_mlops.search.cluster import ray_cluster
with ray_cluster():
    print("a cluster")
"""


def start(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", START], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.ray
def test_ray_starts_where_the_marker_is_and_joins_no_cluster_that_a_file_names() -> None:
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # a socket's path may not be long
        named = Path(folder) / "ray" / "ray_current_cluster"
        named.parent.mkdir()
        named.write_text("127.0.0.1:1")
        done = start(RAY_TMPDIR=folder)
        assert list(named.parent.glob("session_*"))
    assert done.stdout == "a cluster\n", done.stderr


def test_ray_does_not_start_without_the_marker() -> None:
    done = start()
    assert done.stdout == ""
    assert NO_RAY in done.stderr
