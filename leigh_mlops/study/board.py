"""What a search shows while it runs, and what it hands to tracking: one child run per trial."""

from typing import Any

import pandas as pd
from rich.console import Console

from leigh_mlops.progress import Progress
from leigh_mlops.settings import SearchSpace
from leigh_mlops.tracking import Run, Store

__all__ = ["Board"]


class Board:
    """Listens to one family's search.

    Attributes:
        runs: The child run of every trial.
        names: A short name of every trial, such as ``resnext-1``.
        curves: Columns ``run``, ``family``, ``epoch``, ``metric``, ``value``.
    """

    def __init__(self, store: Store, parent: Run, space: SearchSpace, facts: dict[str, Any], console: Console) -> None:
        self.store, self.parent, self.space, self.facts = store, parent, space, facts
        self.runs: dict[str, Run] = {}
        self.names: dict[str, str] = {}
        self._curves: list[dict[str, Any]] = []
        self._best: dict[str, float] = {}
        self._open: set[str] = set()
        self.console = console
        epochs = space.trials * int(space.published.get("epochs", 1))
        self.progress = Progress(console, f"{space.family}: epochs", epochs)

    @property
    def curves(self) -> pd.DataFrame:
        """Every metric of every epoch."""
        return pd.DataFrame(self._curves, columns=["run", "family", "epoch", "metric", "value"])

    def __enter__(self) -> "Board":
        self.progress.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.progress.__exit__()
        for trial in sorted(self._open):
            if error is not None or trial not in self._best:
                self._close(
                    trial, "KILLED", "the search was stopped" if error else "the time ended before its first epoch"
                )
            else:
                self.runs[trial].set_tags({"stopped": "time budget"})
                self.ended(trial, None)

    def started(self, trial: str, number: int, config: dict[str, Any]) -> None:
        """Start its run, or go on with it."""
        if trial in self.runs:
            return
        self.names[trial] = f"{self.space.family}-{number}"
        tags = {"model": self.space.family, "trial": trial} | self.facts
        self.runs[trial] = self.store.start(self.names[trial], parent=self.parent, **tags)
        self.runs[trial].log_params({"family": self.space.family, "image_size": self.space.image_size} | config)
        self._open.add(trial)

    def epoch_done(self, trial: str, epoch: int, metrics: dict[str, float]) -> None:
        """Log an epoch."""
        self.runs[trial].log_metrics(metrics, step=epoch)
        name, value = self.names[trial], metrics[self.space.metric]
        for metric, number in metrics.items():
            self._curves.append(
                {"run": name, "family": self.space.family, "epoch": epoch, "metric": metric, "value": number}
            )
        better = min if self.space.mode == "min" else max
        self._best[trial] = better(self._best.get(trial, value), value)
        best = better(self._best.values())
        self.progress.advance(what=f"{self.space.family}: best {self.space.metric} {best:.4g}, epochs")

    def ended(self, trial: str, error: str | None) -> None:
        """Close its run, and say how it went."""
        if error is not None:
            self._close(trial, "FAILED", error)
            self.console.print(f"  {self.names[trial]} failed: {error}", style="red", markup=False)
        else:
            self._open.discard(trial)
            self.runs[trial].end()
            best = self._best.get(trial)
            self.console.print(
                f"  {self.names[trial]} done: best {self.space.metric} {best:.4g}" if best is not None else "",
                markup=False,
            )

    def _close(self, trial: str, status: str, reason: str) -> None:
        self._open.discard(trial)
        self.runs[trial].set_tags({"error": reason})
        self.runs[trial].end(status)
