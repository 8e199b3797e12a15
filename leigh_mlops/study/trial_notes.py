"""Notes on trials from the events of their journal."""

from collections.abc import Mapping, Sequence
from typing import Any

from leigh_mlops.events import Ended, EpochDone, TrialEvent
from leigh_mlops.models import MODELS
from leigh_mlops.report.run_notes import kept_sentence, trial_note

__all__ = ["drawn_note", "ended_note"]

Space = Mapping[str, Any]


def drawn_note(space: Space, data: str, event: TrialEvent, sentences: Sequence[str] = ()) -> str:
    """Describe a trial that was drawn.

    Args:
        space: Settings of its search as in the journal.
        data: Name of the folder or table of images.
        event: Any event of the trial.
        sentences: What is known of its result.
    """
    family, size = event.family, space["image_size"]
    return trial_note(family, event.number, data, task=MODELS[family].task, image_size=size, sentences=sentences)


def ended_note(space: Space, data: str, latest: EpochDone | None, event: Ended, further: Sequence[str] = ()) -> str:
    """Describe a trial that ended, with its latest epoch, if it finished one, and further sentences."""
    sentences = []
    if latest is not None and space["metric"] in latest.best:
        value = latest.best[space["metric"]]
        sentences.append(
            kept_sentence(
                space["metric"],
                space["mode"],
                value,
                epoch=latest.best_epoch,
                epochs=latest.epoch,
                stopped=event.stopped,
            )
        )
    if event.error:
        sentences.insert(0, f"It failed: {event.error}.")
    return drawn_note(space, data, event, [*sentences, *further])
