"""What a start of Ray leaves behind that fails, and where it puts its files; Ray itself does not start here."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.search.cluster import ray_cluster
from leigh_mlops.search.cluster_start import ClusterStartError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path / f"ray-{os.geteuid()}"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Exception("The current node timed out during startup."), ClusterStartError),
        (RuntimeError("Timed out waiting for file gcs_server_port"), ClusterStartError),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ClusterStartError),
        (BlockingIOError(errno.EAGAIN, "no more processes"), ClusterStartError),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), LeighError),
        (PermissionError(errno.EACCES, "denied", "/somewhere"), LeighError),
        (ValueError("the path of a socket is too long"), LeighError),
        (SystemExit(signal.SIGTERM), StoppedError),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    error: BaseException, expected: type[BaseException], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = []

    def init(**options: object) -> None:
        children.append(subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert os.environ["RAY_AUTH_TOKEN"] != "of another cluster"
        raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    before = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with pytest.raises(expected) as caught, ray_cluster():
        pass
    assert type(caught.value) is expected
    assert (dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
    assert children[0].wait(30) == -signal.SIGKILL


def started_in(monkeypatch: pytest.MonkeyPatch) -> Path:
    places: list[Path] = []
    monkeypatch.setattr(ray, "init", lambda **options: places.append(Path(options["_temp_dir"])))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with ray_cluster():
        pass
    return places[0].parent


@pytest.mark.parametrize(
    ("module", "expected"),
    [("", (None, None, None)), ("leigh_mlops.search.trainable", ("leigh_mlops.search.trainable", "1", "86400000"))],
)
def test_processes_of_a_node_import_what_they_will_need_and_wait_for_it(
    module: str, expected: tuple[str | None, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("RAY_preload_python_modules", "OMP_NUM_THREADS", "RAY_idle_worker_killing_time_threshold_ms")
    found: list[tuple[str | None, ...]] = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(ray, "init", lambda **_: found.append(tuple(os.environ.get(name) for name in names)))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with ray_cluster(module=module):
        assert not os.environ.keys() & set(names)
    assert found == [expected]


def test_only_this_user_enters_the_folder_of_ray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started_in(monkeypatch) == started_in(monkeypatch) == folder
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open", "link"])
def test_a_folder_that_others_prepared_is_not_taken(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "open":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        (folder.parent / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(folder.parent / "elsewhere")
    place = started_in(monkeypatch)
    assert place.parent == folder.parent
    assert place != folder
    assert place.stat().st_mode & 0o777 == 0o700
