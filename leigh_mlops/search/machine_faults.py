"""Failures not caused by a trial: full disks and lost machines."""

import errno
import socket

from leigh_mlops.errors import is_disk_full

__all__ = ["disk_full_message", "halt_reason", "is_disk_full", "is_machine_lost"]

_LOST_ERRNOS = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS)


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
