"""Reading of text files that people write: regular ones, of the size of such files."""

from pathlib import Path

from leigh_mlops.errors import LeighError, escape_unprintable

__all__ = ["read_text_file"]

_MOST_MIB = 16


def read_text_file(path: Path) -> str:
    """Read a text file in UTF-8; a pipe or device, of which reading may never end, is not opened.

    Raises:
        LeighError: It is no regular file, larger than anything that people write, or can't be read.
        UnicodeDecodeError: It is no UTF-8.
    """
    name = escape_unprintable(path)
    try:
        if path.exists() and not path.is_file():
            raise LeighError(f"{name} is a folder, pipe or device; give a text file.")
        if (mib := path.stat().st_size / 2**20) > _MOST_MIB:
            raise LeighError(f"{name} has {mib:.0f} MiB, more than the {_MOST_MIB} MiB of a text file; check the path.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LeighError(f"{name} can't be read ({error.strerror}); check the path.") from None
