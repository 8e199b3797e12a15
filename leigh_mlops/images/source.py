"""Opening untrusted files, and limits on the sizes that they may claim."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError, escape_unprintable

__all__ = [
    "MAX_PIXELS",
    "TransientReadError",
    "Pixels",
    "Source",
    "check_pixels",
    "open_source",
    "translate_read_errors",
    "to_unsigned",
]

Pixels = npt.NDArray[np.unsignedinteger[Any]]

MAX_PIXELS = 100_000_000
"""Pixels of one page or block: 20 times a 2160 x 2160 camera, a fifth of a gigabyte at 16 bits."""

# None: libraries report an error of the file itself. Once the others are mended, the state of the file has changed.
_PERMANENT_ERRNOS = {None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG}


class TransientReadError(LeighError):
    """A file could not be read now, for a reason that may be gone while the file stays as it is."""


class Source(NamedTuple):
    """A regular file, open for reading.

    Attributes:
        path: Its path.
        descriptor: Of the open file.
        size: In bytes.
    """

    path: Path
    descriptor: int
    size: int

    def read(self, start: int, count: int) -> bytes:
        """Read exactly ``count`` bytes from ``start``.

        Raises:
            ValueError: The file ends before.
        """
        if start < 0 or count < 0 or start + count > self.size:
            raise ValueError("it is cut off or has offsets outside the file")
        data = os.pread(self.descriptor, count, start)
        if len(data) < count:
            raise ValueError("it is cut off")
        return data


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a regular file; a pipe or a device is refused before anything could block.

    Raises:
        ValueError: The path is no regular file.
        OSError: It can't be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is not a regular file")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield Source(path, descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


@contextmanager
def translate_read_errors(path: Path) -> Iterator[None]:
    """Turn any error of reading a file into one sentence that begins with its path.

    Raises:
        TransientReadError: Memory, open files, the network or a disk failed.
        LeighError: The file can't be read or is no image.
    """
    try:
        yield
    except LeighError:
        raise
    except OSError as error:
        reason = escape_unprintable(error.strerror or str(error))
        if error.errno not in _PERMANENT_ERRNOS:
            raise TransientReadError(
                f"{escape_unprintable(path)} can't be read ({reason}); check the disk or network."
            ) from None
        raise LeighError(f"{escape_unprintable(path)} can't be read ({reason}); check the file.") from None
    except MemoryError:
        raise TransientReadError(
            f"{escape_unprintable(path)} can't be read (memory ran out); close other programs."
        ) from None
    except Exception as error:  # decoders raise types of their own, all of them about the file
        reason = escape_unprintable(str(error).split("\n")[0].rstrip(".") or type(error).__name__)
        raise LeighError(
            f"{escape_unprintable(path)} is not a readable image ({reason}); replace or remove it."
        ) from None


def check_pixels(*lengths: int) -> None:
    """Refuse an image, tile or block that claims to be empty or absurdly large, before anything is allocated.

    Raises:
        ValueError: The product of the lengths is below 1 or above :data:`MAX_PIXELS`.
    """
    total = 1
    for length in lengths:
        total *= int(length)
    if min(lengths) < 1 or total > MAX_PIXELS:
        shown = " x ".join(map(str, lengths))
        raise ValueError(f"it claims {shown} pixels; 1 to {MAX_PIXELS} can be read")


def to_unsigned(image: npt.NDArray[Any]) -> Pixels:
    """Convert intensities to unsigned 8- or 16-bit integers in the machine's byte order.

    Args:
        image: Any shape; 8- and 16-bit integers, or wider integers and floats
            whose values are whole and fit 16 bits.

    Raises:
        ValueError: Values are below 0, above 65535, not whole or not finite, or no numbers at all.
    """
    if image.dtype.kind not in "uif":
        raise ValueError(f"its pixels are {image.dtype}; 8- or 16-bit grey values are needed")
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        native: Pixels = image.astype(image.dtype.newbyteorder("="), copy=False)
        return native
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError(f"some of its {image.dtype} values are not finite; export 16-bit integers")
    low, high = image.min(), image.max()
    if low < 0 or high > 65535:
        raise ValueError(f"its {image.dtype} values reach from {low:g} to {high:g}; 0 to 65535 can be read")
    whole: Pixels = image.astype(np.uint8 if image.dtype.itemsize == 1 else np.uint16)
    if image.dtype.kind == "f" and not np.array_equal(whole, image):
        raise ValueError(f"its {image.dtype} values are not whole numbers; export 16-bit integers")
    return whole
