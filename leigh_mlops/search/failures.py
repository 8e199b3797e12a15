"""What is no trial's fault: full disks and lost machines."""

import errno
import os
import socket

__all__ = ["full_disk", "halt", "is_full", "is_lost"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOST = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS)


def is_full(error: BaseException) -> bool:
    """Whether a full disk is behind it; those who wrap an error may keep no more than its words."""
    words = [os.strerror(code) for code in _FULL]
    return any(
        getattr(each, "errno", None) in _FULL or any(word in str(each) for word in words)
        for each in (error, error.__cause__, error.__context__)
    )


def full_disk(error: BaseException) -> str:
    """What to do about it, in a sentence."""
    reason = (str(error) or type(error).__name__).strip().splitlines()[-1]
    return f"The disk is full ({reason}); make space, then go on with --resume."


def is_lost(error: BaseException) -> bool:
    """Whether the machine can't read or write any more."""
    return getattr(error, "errno", None) in _LOST


def halt(error: Exception) -> str:
    """Why a machine can't run any trial."""
    if is_full(error):
        return full_disk(error)
    return f"{socket.gethostname()}: {' '.join(str(error).split()).rstrip('.')}; mend it, then go on with --resume."
