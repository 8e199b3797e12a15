"""Failures not caused by a trial: full disks and lost machines."""

import errno
import os
import socket

__all__ = ["disk_full_message", "halt_reason", "is_disk_full", "is_machine_lost"]

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_LOST_ERRNOS = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS)


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk caused an error; wrapped errors are recognised by their message."""
    words = [os.strerror(code) for code in _FULL_ERRNOS]
    return any(
        getattr(each, "errno", None) in _FULL_ERRNOS or any(word in str(each) for word in words)
        for each in (error, error.__cause__, error.__context__)
    )


def disk_full_message(error: BaseException) -> str:
    """Error message for a full disk, with the remedy."""
    reason = (str(error) or type(error).__name__).strip().splitlines()[-1]
    return f"The disk is full ({reason}); free space, then continue with --resume."


def is_machine_lost(error: BaseException) -> bool:
    """Return whether an error means that the machine can no longer read or write."""
    return getattr(error, "errno", None) in _LOST_ERRNOS


def halt_reason(error: Exception) -> str:
    """Reason why a machine can't run any trial, with the remedy."""
    if is_disk_full(error):
        return disk_full_message(error)
    return f"{socket.gethostname()}: {' '.join(str(error).split()).rstrip('.')}; fix this, then continue with --resume."
