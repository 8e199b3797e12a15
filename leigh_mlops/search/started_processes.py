"""Processes that a local node starts before there are trials."""

from ray.tune.execution import class_cache

__all__ = ["give_trials_started_processes"]


def give_trials_started_processes() -> None:
    """Let Tune in this process give trials no environment of their own, since for one Ray always starts a new process.

    The processes of a local node inherit that of this one, and Tune's own variable is for a library that is not used.
    """
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
