"""A hint can be typed as it is, wherever the program lies."""

import sys
from pathlib import Path

import pytest

from leigh_mlops.command_line import command_line


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(make_program(tmp_path / ".venv/bin/python3")))
    (tmp_path / ".venv/bin/python").symlink_to("python3")
    monkeypatch.setattr(sys, "argv", ["leigh_mlops/tune.py"])
    return tmp_path


def test_an_environment_on_the_path_needs_no_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place / ".venv/bin"))
    assert command_line("explain", "--data", "my plate") == "python -m leigh_mlops.explain --data 'my plate'"


@pytest.mark.parametrize("has_other_python", [False, True])
def test_an_environment_off_the_path_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, has_other_python: bool
) -> None:
    monkeypatch.setenv("PATH", str(place / "system"))
    if has_other_python:
        make_program(place / "system/python")
    assert command_line("ui") == ".venv/bin/python3 -m leigh_mlops.ui"
    (place / "data").mkdir()
    monkeypatch.chdir(place / "data")
    assert command_line("ui") == f"{place}/.venv/bin/python3 -m leigh_mlops.ui"


def test_leigh_names_itself(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = make_program(place / ".venv/bin/leigh")
    monkeypatch.setattr(sys, "argv", [str(program), "tune"])
    monkeypatch.setenv("PATH", str(place / "system"))
    assert command_line("tune", "--resume") == ".venv/bin/leigh tune --resume"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command_line("tune", "--resume") == "leigh tune --resume"
