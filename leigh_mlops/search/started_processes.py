"""Processes that a local node starts before there are trials."""

from ray.tune.execution import class_cache

__all__ = ["give_trials_started_processes"]


def give_trials_started_processes() -> None:
    """Let Tune in this process give trials no environment of their own, which on a local node they inherit anyway.

    Ray gives what has an environment of its own a new process, never one that was started before.
    """
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
