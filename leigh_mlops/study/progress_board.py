"""Progress display of a running search."""

from collections.abc import Iterable

from rich.console import Console

from leigh_mlops.events import Ended, EpochDone, TrialEvent
from leigh_mlops.progress import Progress
from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Trial

__all__ = ["ProgressBoard"]


class ProgressBoard:
    """Context manager that shows a bar of one family's epochs and a line for each finished trial.

    Args:
        space: Search space.
        trials: Trials that have been shown before.
        console: Console to print to.
    """

    def __init__(self, space: SearchSpace, trials: Iterable[Trial], console: Console) -> None:
        self.space, self.console = space, console
        known = list(trials)
        self._best = {trial.name: trial.best[space.metric] for trial in known if trial.best}
        epochs = space.trials * int(space.published.get("epochs", 1))
        self._progress = Progress(console, f"{space.family}: epochs", epochs)
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
        match event:
            case EpochDone():
                self._best[event.trial_name] = event.best[self.space.metric]
                self._progress.advance(what=f"{self._leader()}, epochs")
            case Ended(state="failed"):
                self.console.print(f"  {event.trial_name} failed: {event.error}", style="red", markup=False)
            case Ended():
                best = f"best {self.space.metric} {self._best[event.trial_name]:.4g}"
                stopped = f" ({event.stopped})" if event.stopped else ""
                self.console.print(f"  {event.trial_name} done: {best}{stopped}", markup=False)

    def _leader(self) -> str:
        better = min if self.space.mode == "min" else max
        return f"{self.space.family}: best {self.space.metric} {better(self._best.values()):.4g}"
