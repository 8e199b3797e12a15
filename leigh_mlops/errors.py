"""Exceptions for errors that a user can fix and for signals, recognition of full disks, and paths in messages."""

import errno
import os
import signal

__all__ = ["LeighError", "StoppedError", "escape_unprintable", "is_disk_full"]

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_FULL_DATABASE = "database or disk is full"  # SQLite's words


class LeighError(ValueError):
    """Error that a user caused and can fix.

    The message is one sentence that says what is wrong, the value received and
    what to do. Commands print it without a traceback and exit with 1.
    """


class StoppedError(KeyboardInterrupt):
    """Signal that ends the work: Ctrl-C, or SIGTERM from Slurm, systemd or Kubernetes.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__("it was stopped")
        self.number = number


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk caused an error; wrapped errors are recognised by their message."""
    words = [*map(os.strerror, _FULL_ERRNOS), _FULL_DATABASE]
    return any(
        getattr(each, "errno", None) in _FULL_ERRNOS or any(word in str(each) for word in words)
        for each in (error, error.__cause__, error.__context__)
    )


def escape_unprintable(text: object) -> str:
    r"""Escape line breaks and bytes that are no text, for a path or reason in a message of one line.

    Example:
        >>> escape_unprintable("Plätte\n1")
        'Plätte\\n1'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))
