"""Notes in Markdown on what a run is, which MLflow's UI shows above its numbers."""

from collections.abc import Mapping, Sequence

from leigh_mlops.report.sentences import format_count

__all__ = ["explanation_note", "kept_sentence", "reference_note", "search_note", "stored_sentence", "trial_note"]

_TASKS = {
    "classify": "It predicts the class of a field. It has no error of reconstruction (`val/mse`).",
    "reconstruct": "It reconstructs fields and predicts no class, so it has `val/mse`, and neither accuracy nor Z'.",
    "cluster": "It names the cluster of a field and needs no labels. `val/replicates/score` is how well fields of one "
    "well find each other, above shuffled wells and above the position alone; `val/nmi/…` and `val/ari/…` compare its "
    "clusters with what is known of the wells, and choose nothing.",
}

_REFERENCES = {
    "baseline": "**A threshold on intensity**: a classifier of intensity features alone (linear or a forest), without "
    "a network. A network should beat it.",
    "position": "**The position on the plate**: a classifier of row, column and distance to the edge, which sees no "
    "image. Where it predicts the classes well, the layout of the plate gives them away.",
    "pca": "**PCA with as many numbers** as the autoencoder has latents: the error of reconstruction that the "
    "autoencoder should beat. It predicts no class, so it has neither accuracy nor Z'.",
}


def search_note(families: Mapping[str, int], data: str, *, demo: bool, results: Sequence[str] = ()) -> str:
    """Describe a search.

    Args:
        families: Number of trials by family.
        data: Name of the folder or table of images.
        demo: Whether the plate is a generated one.
        results: Sentences on the winners, at the end of the search.
    """
    counts = ", ".join(f"{format_count(trials, 'trial')} of {_code(family)}" for family, trials in families.items())
    made = " (a generated demo plate)" if demo else ""
    parts = [
        f"**Search** on {_code(data)}{made}: {counts}. The runs below it are the trials, the best of each family "
        "tagged `winner`, and the references without a network.",
        "Validation wells choose the epoch and the trial (`val/…`); test wells score the winners once (`test/…`). "
        "`search.html` compares all trials, `data/split.csv` names the wells of each part.",
    ]
    return "\n\n".join([*parts, *(line.strip() for line in results)])


def trial_note(
    family: str, number: int, data: str, *, task: str, image_size: int, sentences: Sequence[str] = ()
) -> str:
    """Describe a trial.

    Args:
        family: Family of its network.
        number: Its number, from 1.
        data: Name of the folder or table of images.
        task: ``classify``, ``reconstruct`` or ``cluster``.
        image_size: Side of the images in pixels.
        sentences: What is known of its result.
    """
    published = ", the published configuration" if number == 1 else ""
    first = f"**Trial {number}** of the search for a network of the family {_code(family)}{published}"
    return "\n\n".join([f"{first}, on {_code(data)} at {image_size} px. {_TASKS[task]}", *sentences])


def kept_sentence(metric: str, mode: str, value: float, *, epoch: int, epochs: int, stopped: str | None) -> str:
    """Sentence on the network that a finished trial keeps; ``stopped`` is the limit that ended the trial early."""
    order = "lowest" if mode == "min" else "highest"
    ended = f" The trial ended early ({stopped})." if stopped else ""
    return (
        f"The network that is kept is that of epoch {epoch} of {epochs}, with the {order} `{metric}` ({value:.4g}); "
        f"`val/…` and `train/…` are its scores, `epoch/…` the curves.{ended}"
    )


def stored_sentence(checkpoints: Sequence[tuple[str, int]]) -> str:
    """Sentence on what a trial left in the store: names and epochs of its networks, and the pictures."""
    pictures = "`pictures/examples.png` shows the same validation fields as in the other stored trials"
    if not checkpoints:
        return f"Its network is not stored; {pictures}."
    networks = " and ".join(f"`{name}` (epoch {epoch})" for name, epoch in checkpoints)
    return f"Stored: {networks}; {pictures}."


def reference_note(kind: str, data: str) -> str:
    """Describe a reference without a network: ``baseline``, ``position`` or ``pca``."""
    return f"{_REFERENCES[kind]}\n\nFitted on the training wells of {_code(data)}; `val/…` is of the validation wells."


def explanation_note(model: str, data: str, out: str) -> str:
    """Describe an explanation job by the address of its model, its images and its folder."""
    made = f"**Explanation** of {_code(data)} by {_code(model)}, made in {_code(out)}."
    return f"{made} Its report is `report/index.html`."


def _code(text: str) -> str:
    """Text as code, so that no character of a name is Markdown."""
    return f"`{text.replace('`', chr(39))}`"
