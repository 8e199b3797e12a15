"""Removal of checkpoints that are no longer needed."""

import shutil
from collections.abc import Iterable

from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.run_artifacts import rank_trials
from leigh_mlops.trials import Trial

__all__ = ["drop_checkpoints"]


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
