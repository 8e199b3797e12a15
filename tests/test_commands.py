"""A signal ends any command in the same words, and tells its number by the exit code."""

import os
import signal
from collections.abc import Iterator

import pytest
import typer

from leigh_mlops.commands import run


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


def test_a_background_job_goes_on_at_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr("sys.argv", ["work"])
    with pytest.raises(SystemExit) as caught:
        run(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert caught.value.code == 0
