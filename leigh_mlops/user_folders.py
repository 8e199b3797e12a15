"""Folders of the user: below the home folder, or where there is none, a private one for temporary files."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from leigh_mlops.errors import LeighError

__all__ = ["private_folder", "user_folder"]


def user_folder(variable: str, xdg_variable: str, place: str) -> Path:
    """Return the folder of this package that a variable names, or its default.

    Args:
        variable: Variable that names the folder itself, such as ``LEIGH_CACHE``.
        xdg_variable: Variable of the XDG base directories that names the folder above it.
        place: The folder above it below the home folder, such as ``.cache``.

    Raises:
        LeighError: There is neither a home folder to write to, nor can a private one be made.
    """
    if named := os.environ.get(variable):
        return Path(named)
    if above := os.environ.get(xdg_variable):
        return Path(above) / "leigh_mlops"
    home = Path(os.path.expanduser("~"))
    if home.is_absolute() and (os.access(home, os.W_OK) or os.access(home / place, os.W_OK)):
        return home / place / "leigh_mlops"
    parent = Path(tempfile.gettempdir())
    folder = private_folder(parent / f"leigh-{os.geteuid()}")
    if folder is None:
        raise LeighError(
            f"There is no home folder to write to, and {parent} holds a leigh-{os.geteuid()} that others can write to; "
            f"name a folder with {variable}."
        )
    return folder / place


def private_folder(folder: Path) -> Path | None:
    """Return a folder that this user alone can enter, made if it does not exist; None if others prepared it."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    is_private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder if is_private else None
