"""Commands of this package as a user can type them."""

import os
import shlex
import shutil
import sys
from pathlib import Path

__all__ = ["command_line"]

_SCRIPT = "leigh"


def command_line(command: str, *arguments: str) -> str:
    """Return a command of this package as it can be typed in the folder and environment of this process.

    It begins as this process was begun: by ``leigh`` or by ``python -m``. Where the shell would find another
    ``leigh`` or Python, such as that of the system beside ``.venv/bin/python``, the path is given.

    Args:
        command: Name of the command, such as ``explain``.
        arguments: Its arguments, which are quoted where necessary.
    """
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name == _SCRIPT:
        return shlex.join([_typed_program(program, _SCRIPT), command, *arguments])
    return shlex.join([_typed_program(Path(sys.executable), "python"), "-m", f"leigh_mlops.{command}", *arguments])


def _typed_program(program: Path, name: str) -> str:
    """Name of a program where the shell finds it by this name, else its path, relative where that is shorter."""
    found = shutil.which(name)
    path = os.path.abspath(program)
    if found is not None and _is_same_program(found, path):
        return name
    inside = os.path.relpath(path)
    return path if inside.startswith(os.pardir) else inside


def _is_same_program(found: str, path: str) -> bool:
    """Return whether two paths are one program of one environment: ``bin/python`` and ``bin/python3`` are."""
    same_folder = os.path.dirname(os.path.abspath(found)) == os.path.dirname(path)
    return same_folder and os.path.realpath(found) == os.path.realpath(path)
