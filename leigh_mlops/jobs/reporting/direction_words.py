"""Words for the direction in which a screen scores wells: rescue where the end is health, a class elsewhere."""

from dataclasses import dataclass

from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = ["DirectionWords", "direction_words"]


@dataclass(frozen=True)
class DirectionWords:
    """Words for a direction.

    Attributes:
        shift: Name of the score between the controls, such as ``rescue`` or ``shift towards TT``.
        score: The same with its article, such as ``rescue`` or ``the shift towards TT``.
        heading: The same as the heading of a column, with its unit.
        act: What a compound does that moves wells along, such as ``rescue``.
        source: The controls at 0 %.
        target: The controls at 100 %.
        end: The end of the way, such as ``health``.
    """

    shift: str = "rescue"
    score: str = "rescue"
    heading: str = "rescue (%)"
    act: str = "rescue"
    source: str = "the diseased controls"
    target: str = "the healthy controls"
    end: str = "health"


def direction_words(reference: ReferenceClasses | None) -> DirectionWords:
    """Return the words for a pair of reference classes.

    Example:
        >>> from leigh_mlops.screening.reference_classes import ReferenceRule
        >>> direction_words(ReferenceClasses("DS", "WT")).shift
        'rescue'
        >>> direction_words(ReferenceClasses("DS", "TT", ReferenceRule.ONLY_CLASSES)).shift
        'shift towards TT'
    """
    if reference is None or reference.is_to_health:
        return DirectionWords()
    source, target = reference.source, reference.target
    return DirectionWords(
        shift=f"shift towards {target}",
        score=f"the shift towards {target}",
        heading=f"towards {target} (%)",
        act=f"shift towards {target}",
        source=f"the controls of {source}",
        target=f"the controls of {target}",
        end=target,
    )
