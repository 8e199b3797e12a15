"""A step that takes long is named again and again; a short one is not."""

import io
import threading

import pytest
from rich.console import Console

from leigh_mlops import progress
from leigh_mlops.progress import Steps


class Said(io.StringIO):
    """A log file whose reader can wait for lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = threading.Semaphore(0)

    def write(self, text: str) -> int:
        count = super().write(text)
        self.lines.release()
        return count


def test_a_long_step_is_named_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.001)
    said = Said()
    with Steps(Console(file=said, width=100), "ending the search", 3) as steps:
        steps.begin("")
        steps.begin("pictures of resnext")
        for _ in range(3):
            assert said.lines.acquire(timeout=60)
    named = {line.partition(" (")[0] for line in said.getvalue().splitlines()}
    assert named == {"  ending the search: pictures of resnext, step 2 of 3"}
    ended = said.getvalue()
    assert not any(thread.name == "steps" for thread in threading.enumerate())
    assert said.getvalue() == ended


def test_short_steps_are_silent_and_errors_end_it() -> None:
    said = io.StringIO()

    def work() -> None:
        with Steps(Console(file=said), "job") as steps:
            steps.begin("a")
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        work()
    assert said.getvalue() == ""
    assert not any(thread.name == "steps" for thread in threading.enumerate())
