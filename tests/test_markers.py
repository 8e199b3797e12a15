"""Nothing that a quick check runs starts Ray, whoever forgets the marker."""

import subprocess
import sys

import pytest

from tests.conftest import NO_RAY

START = """
from leigh_mlops.search.cluster import ray_cluster
with ray_cluster():
    print("a cluster")
"""


def start() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=False)


@pytest.mark.ray
def test_ray_starts_where_the_marker_is() -> None:
    assert start().stdout == "a cluster\n"


def test_ray_does_not_start_without_the_marker() -> None:
    done = start()
    assert done.stdout == ""
    assert NO_RAY in done.stderr
