"""Checkpoints that nobody needs any more."""

import shutil
from collections.abc import Iterable

from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.records import ranking
from leigh_mlops.trials import Trial

__all__ = ["drop_checkpoints"]


def drop_checkpoints(space: SearchSpace, trials: Iterable[Trial]) -> None:
    """Remove those of trials that are over, but the last ones of the best.

    A trial that runs keeps its own, and a population all of them: a member may start from any other's.

    Args:
        space: What is searched; ``keep`` says how many of the best are kept.
        trials: All that are known.
    """
    if space.algorithm == "pbt":
        return
    over = [trial for trial in trials if trial.over and trial.checkpoint is not None]
    kept = {trial.checkpoint for trial in ranking(space, over)[: space.keep]}
    for trial in over:
        assert trial.checkpoint is not None
        for folder in trial.checkpoint.parent.glob("checkpoint_*"):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
