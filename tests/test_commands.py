"""A signal ends any command in the same words, and tells its number by the exit code."""

import errno
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest
import typer

from leigh_mlops.commands import labelled_source, run
from leigh_mlops.crossvalidate import crossvalidate
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.train import train
from leigh_mlops.tune import tune


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 4)])
def test_sigterm_is_ctrl_c(
    number: int | None, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = []

    def work() -> None:
        try:
            if number is not None:
                os.kill(os.getpid(), number)
            raise typer.Exit(4)
        finally:
            ended.append(True)

    monkeypatch.setattr("sys.argv", ["work"])
    with pytest.raises(SystemExit) as caught:
        run(work)
    assert caught.value.code == code
    assert ended
    words = "stopped; finished work is kept, and a batch job resumes when started again.\n"
    assert capsys.readouterr().err == (words if number else "")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a disk can't be written (no space left on device); free"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/out/a"), "a disk can't be written (disk quota exceeded); free"),
        (
            shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a'")]),
            "written (no space left on device); free",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/out\n"), r"/out\n cannot be used (permission denied)"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), "can be written to with TMPDIR"),
    ],
)
def test_an_error_of_a_disk_is_one_sentence(
    error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["work"])
    with pytest.raises(SystemExit) as caught:
        run(work)
    said = capsys.readouterr().err
    assert (caught.value.code, said.count("\n")) == (1, 1)
    assert sentence in said


def test_options_on_the_images_reach_the_source() -> None:
    named = {field.name for field in fields(DataSource)} - {"path"}
    for command, others in ((tune, set()), (train, set()), (crossvalidate, {"fold", "shares"})):
        assert named - signature(command).parameters.keys() == others
    assert labelled_source({"data": None, "exclude": None, "trials": 3}) == DataSource(None)
    given = {"data": Path("a"), "exclude": "empty, unreadable", "group": "plate", "shares": "70,15,15"}
    wanted = DataSource(Path("a"), group="plate", exclude=["empty", "unreadable"], shares="70,15,15")
    assert labelled_source(given) == wanted


@pytest.mark.parametrize("verbose", [False, True])
def test_warnings_of_codecs_are_shown_on_request(
    verbose: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("imagecodecs")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setattr("sys.argv", ["work", *(["--verbose"] if verbose else [])])

    def work(verbose: bool = False) -> None:
        logger.warning("PNG warning: zTXt: truncated")

    with pytest.raises(SystemExit):
        run(work)
    assert bool(caplog.records) is verbose
    logger.setLevel(logging.NOTSET)  # loggers remember whether they are enabled


@pytest.mark.parametrize("has_home", [False, True])
def test_matplotlib_has_a_folder_where_there_is_no_home(
    has_home: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["work"])
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path if has_home else tmp_path / "nowhere"))
    monkeypatch.setenv("LEIGH_CACHE", str(tmp_path / "cache"))
    found = []
    with pytest.raises(SystemExit):
        run(lambda: found.append(os.environ.get("MPLCONFIGDIR")))
    os.environ.pop("MPLCONFIGDIR", None)
    assert found == [None if has_home else str(tmp_path / "cache" / "matplotlib")]


def test_an_error_that_is_none_of_a_disk_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        raise ConnectionResetError("reset")

    monkeypatch.setattr("sys.argv", ["work"])
    with pytest.raises(ConnectionResetError):
        run(work)


def test_a_background_job_goes_on_at_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr("sys.argv", ["work"])
    with pytest.raises(SystemExit) as caught:
        run(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert caught.value.code == 0


def test_waiting_threads_of_a_command_leave_the_cores_to_others() -> None:
    """What OpenMP says of itself as PyTorch loads it."""

    def spins(code: str) -> int:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        environment |= {"OMP_DISPLAY_ENV": "verbose"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        return int(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)[0])

    assert spins("import torch") > 0
    assert spins("from leigh_mlops.commands import run\nrun(lambda: __import__('torch'))") == 0
