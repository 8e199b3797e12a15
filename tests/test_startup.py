"""Help is there at once: no command imports a heavy library before it has work for it."""

import subprocess
import sys

import pytest

from tests.test_rooms import COMMANDS

HEAVY = ["torch", "pandas", "scipy.stats", "matplotlib", "ray", "mlflow", "sklearn", "cv2"]
PROBE = f"""
import runpy, sys
for line in sys.argv[1:]:
    sys.argv = line.split()
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
print("imported:", *sorted({set(HEAVY)} & set(sys.modules)), file=sys.stderr)
"""


def heavy_imports(*lines: str) -> list[str]:
    """What one process has imported that runs modules with their arguments, one after another."""
    command = [sys.executable, "-c", PROBE, *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()[1:]


def test_a_heavy_import_is_seen() -> None:
    assert "pandas" in heavy_imports("leigh_mlops.plates.columns")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_no_heavy_library(command: str) -> None:
    assert heavy_imports(f"leigh_mlops.{command} --help", f"leigh_mlops {command} --help") == []


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_list_of_commands_imports_no_heavy_library(option: str) -> None:
    assert heavy_imports(f"leigh_mlops {option}") == []


def test_reading_images_imports_no_torch() -> None:
    assert "torch" in heavy_imports("leigh_mlops.models.bounds")
    assert "torch" not in heavy_imports("leigh_mlops.images.failure")
