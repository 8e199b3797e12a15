"""Progress display of a running search."""

from collections.abc import Iterable, Mapping

from rich.console import Console

from leigh_mlops.events import Ended, EpochDone, TrialEvent
from leigh_mlops.progress import Progress
from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Trial

__all__ = ["ProgressBoard"]


class ProgressBoard:
    """Context manager that shows a bar of all epochs and a line for each finished trial.

    Args:
        spaces: Search space of each family.
        trials: Trials that have been shown before.
        console: Console to print to.
    """

    def __init__(self, spaces: Mapping[str, SearchSpace], trials: Iterable[Trial], console: Console) -> None:
        self.spaces, self.console = spaces, console
        known = list(trials)
        self._best: dict[str, dict[int, float]] = {family: {} for family in spaces}
        for trial in known:
            if trial.best:
                self._best[trial.family][trial.number] = trial.best[spaces[trial.family].metric]
        epochs = sum(space.trials * int(space.published.get("epochs", 1)) for space in spaces.values())
        self._progress = Progress(console, "epochs", epochs)
        self._before = sum(len(trial.epochs) for trial in known)

    def __enter__(self) -> "ProgressBoard":
        self._progress.__enter__()
        if self._before:
            self._progress.advance(self._before)
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.__exit__()

    def update(self, event: TrialEvent) -> None:
        """Show an event of the search."""
        space, best = self.spaces[event.family], self._best[event.family]
        match event:
            case EpochDone():
                best[event.number] = event.best[space.metric]
                leader = (min if space.mode == "min" else max)(best.values())
                self._progress.advance(what=f"{space.family}: best {space.metric} {leader:.4g}, epochs")
            case Ended(state="failed"):
                self.console.print(f"  {event.trial_name} failed: {event.error}", style="red", markup=False)
            case Ended():
                score = f"best {space.metric} {best[event.number]:.4g}"
                stopped = f" ({event.stopped})" if event.stopped else ""
                self.console.print(f"  {event.trial_name} done: {score}{stopped}", markup=False)
