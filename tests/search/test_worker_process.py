import errno
import os

import pytest

from leigh_mlops.search.request import ProcessFailure, SearchRefusal
from leigh_mlops.search.worker_process import failure_message


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_for_tune_itself_is_said(code: int) -> None:
    full = OSError(code, os.strerror(code))
    wrapped = RuntimeError("the state can't be saved")
    wrapped.__cause__ = full
    for error in (full, wrapped, RuntimeError(f"Traceback ...\n{full}")):
        message = failure_message(error)
        assert isinstance(message, SearchRefusal)
        assert message.reason.startswith("The disk is full (")
        assert message.reason.endswith("); free space, then continue with --resume.")
    assert isinstance(failure_message(OSError(errno.EPIPE, "Broken pipe")), ProcessFailure)
