"""Checkpoints on the disk: flushed before the journal names them, and removed when they are no longer needed."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.run_artifacts import rank_trials
from leigh_mlops.trials import Trial

__all__ = ["drop_checkpoints", "flush_checkpoint"]


def flush_checkpoint(folder: Path) -> None:
    """Flush the files of a checkpoint, so that a loss of power can't leave a journal that names a damaged one.

    A checkpoint that was removed meanwhile is left out: its trial has a later one.

    Raises:
        LeighError: The disk can't take them.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                with suppress(FileNotFoundError), (folder / parent / name).open("rb") as file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise LeighError(
                    f"{folder} can't be written ({error.strerror}); free space, then continue with --resume."
                ) from None


def drop_checkpoints(space: SearchSpace, trials: Iterable[Trial]) -> None:
    """Remove the checkpoints of finished trials, except the last ones of the best.

    A trial that runs keeps its own, and a population all of them: a member may start from any other's.

    Args:
        space: Search space; ``keep`` is the number of best trials to keep.
        trials: All known trials.
    """
    if space.algorithm == "pbt":
        return
    ended = [trial for trial in trials if trial.has_ended and trial.checkpoint is not None]
    kept = {trial.checkpoint for trial in rank_trials(space, ended)[: space.keep]}
    for trial in ended:
        assert trial.checkpoint is not None
        for folder in trial.checkpoint.parent.glob("checkpoint_*"):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
