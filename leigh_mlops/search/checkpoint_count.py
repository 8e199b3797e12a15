"""Number of checkpoints that a running trial keeps."""

from leigh_mlops.settings import SearchSpace, TrainingSettings

__all__ = ["checkpoints_to_keep", "epochs_of_trial", "population_interval"]


def checkpoints_to_keep(space: SearchSpace) -> int:
    """Number of checkpoints to keep: at a synchronisation, a member may start from one of the previous one."""
    return max(3, population_interval(space) + 2) if space.algorithm == "pbt" else 3


def population_interval(space: SearchSpace) -> int:
    """Epochs between two synchronisations of a population."""
    return max(1, epochs_of_trial(space) // 5)


def epochs_of_trial(space: SearchSpace) -> int:
    """Epochs of a trial that does not end early."""
    return int(space.published.get("epochs", TrainingSettings().epochs))
