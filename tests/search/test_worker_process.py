import errno
import os

import pytest

from leigh_mlops.search.worker_process import failure_event


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_for_tune_itself_is_said(code: int) -> None:
    full = OSError(code, os.strerror(code))
    wrapped = RuntimeError("the state can't be saved")
    wrapped.__cause__ = full
    for error in (full, wrapped, RuntimeError(f"Traceback ...\n{full}")):
        words = failure_event(error)
        assert words["what"] == "refused"
        assert words["reason"].startswith("The disk is full (")
        assert words["reason"].endswith("); make space, then go on with --resume.")
    assert failure_event(OSError(errno.EPIPE, "Broken pipe"))["what"] == "broken"
