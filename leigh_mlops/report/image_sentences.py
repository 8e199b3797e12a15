"""Sentences on the images and wells of a study for biologists."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from leigh_mlops.plates import TreatedCounts, WellUse
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import MAX_NAMED_PLATES, format_count

__all__ = [
    "depth_lines",
    "leak_sentence",
    "square_note",
    "treated_sentences",
    "use_sentences",
    "width_sentences",
]


def depth_lines(depths: Mapping[str, object]) -> list[str]:
    """Lines on the bit depth of the plates, one for each depth.

    Args:
        depths: Plate to its depth, whose text ends a sentence, such as ``12 bits in 16-bit files``.
    """
    plates: dict[str, list[str]] = {}
    for plate, depth in depths.items():
        plates.setdefault(str(depth), []).append(plate)
    return [f"Bit depth of {_plates_text(names)}: {depth}." for depth, names in plates.items()]


def square_note(size: tuple[int, int] | None, table: pd.DataFrame) -> str:
    """Describe which part of rectangular fields is used; empty for square ones and fields that are cut already.

    Args:
        size: Width and height of the fields in pixels; None if it is not known.
        table: Image table.
    """
    if size is None or size[0] == size[1] or Metadata.TILE in table:
        return ""
    side, count = min(size), math.ceil(max(size) / min(size))
    return (
        f"Fields have {size[0]} x {size[1]} pixels: the centre {side} x {side} of each are used. "
        f"ingest --tiles {count} cuts each into {count} squares that cover it."
    )


def width_sentences(trained_um: float | None, others: Mapping[str, float]) -> list[str]:
    """Warn of plates whose fields are wider or narrower than those of a model's training; nothing if there are none.

    Args:
        trained_um: Width in µm of the fields of the training.
        others: Width in µm of the fields of each plate that has another one.
    """
    if trained_um is None or not others:
        return []
    groups: dict[float, list[str]] = {}
    for plate, width in others.items():
        groups.setdefault(float(f"{width:.4g}"), []).append(plate)
    listed = "; ".join(
        f"{_plates_text(plates)}: {width:g} µm, where cells look {trained_um / width:.2g} times as large"
        for width, plates in groups.items()
    )
    remedy = (
        f"ingest --field-um {trained_um:.4g} cuts fields of that width out of these"
        if min(others.values()) > trained_um
        else "train on squares of a width that all plates have (ingest --field-um)"
    )
    return [
        f"The model was trained on fields {trained_um:.4g} µm wide, and these are not ({listed}), so it has not seen "
        f"cells of this size in an image; {remedy}."
    ]


def treated_sentences(
    counts: TreatedCounts, *, train_on_compounds: bool = False, needs_labels: bool = True
) -> list[str]:
    """Describe how treated wells are counted; empty where no well carries a compound."""
    sentences = []
    if counts.wells:
        labels = ", ".join(f"{name} {number}" for name, number in counts.by_class.items()) or "without a class"
        carry = f"{format_count(counts.wells, 'well')} ({format_count(counts.fields, 'field')}; labelled {labels})"
        verb = "carries" if counts.wells == 1 else "carry"
        if train_on_compounds:
            sentences.append(f"{carry} {verb} a compound and count as labelled (--train-on-compounds).")
        elif not needs_labels:
            used = "it is in no class and is used" if counts.wells == 1 else "they are in no class and are used"
            sentences.append(f"{carry} {verb} a compound: {used} like the others, as no labels are needed.")
        else:
            pronoun, verbs = (
                ("it is", "trains, validates and tests")
                if counts.wells == 1
                else ("they are", "train, validate and test")
            )
            sentences.append(
                f"{carry} {verb} a compound: {pronoun} in no class and {verbs} nothing. --train-on-compounds of tune "
                "and train counts such wells as labelled; pert_type in the plate map marks controls."
            )
            if counts.lost_classes:
                names = ", ".join(counts.lost_classes)
                sentences.append(f"No class {names}: all its wells carry a compound and none is marked as a control.")
    if counts.controls:
        sentences.append(
            f"{format_count(counts.controls, 'control well')} with a compound "
            f"{'counts' if counts.controls == 1 else 'count'} as labelled."
        )
    return sentences


def leak_sentence(leaked: Sequence[str]) -> str:
    """Describe the wells that a given split has in several parts; empty where there are none."""
    if not leaked:
        return ""
    return (
        f"Leak: {len(leaked)} wells are in more than one part of the given split (for example {leaked[0]}). Scores on "
        "them show what the network has memorised, not how well it generalises."
    )


def use_sentences(uses: Mapping[str, int], leaked: Sequence[str] = ()) -> list[str]:
    """Describe what a search would do with the wells, leaks first.

    Args:
        uses: Use (a value of ``WellUse``) to its number of wells.
        leaked: Wells that a given split has in several parts.
    """
    listed = "; ".join(f"{use}: {uses[use]}" for use in WellUse if uses.get(use))
    return [*([leak_sentence(leaked)] if leaked else []), f"Wells in a search with its defaults: {listed}."]


def _plates_text(plates: list[str]) -> str:
    if len(plates) > MAX_NAMED_PLATES:
        return f"{len(plates)} plates"
    return f"{'plate' if len(plates) == 1 else 'plates'} {', '.join(plates)}"
