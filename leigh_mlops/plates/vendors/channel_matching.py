"""Channels of several images or plates, matched by their labels."""

from collections.abc import Mapping

__all__ = ["match_labels"]


def match_labels(labels: Mapping[str, str], known: dict[str, str], numbers: set[str]) -> dict[str, str]:
    """Match the channels of an image with those that are known, by their labels.

    Args:
        labels: Number to label of the channels here; numbers without a label are left out.
        known: Number to label of the channels so far; new ones are added.
        numbers: All numbers of the channels here.

    Returns:
        Number here to number among the known ones; numbers without a label stay.

    Raises:
        ValueError: None of the labels is known although their numbers are, or a channel without a
            label has the number of another.

    Example:
        >>> match_labels({"1": "TMRM", "2": "DAPI"}, {"1": "DAPI", "2": "TMRM"}, {"1", "2"})
        {'1': '2', '2': '1'}
    """
    of_label = {label: number for number, label in known.items()}
    matched = {number: of_label[label] for number, label in labels.items() if label in of_label}
    for number, label in labels.items():
        if number in matched:
            continue
        if number not in known and number not in matched.values():
            matched[number] = number
        elif set(matched.values()) & set(of_label.values()):
            matched[number] = str(1 + max(map(int, {*known, *numbers, *matched.values()})))
        else:
            raise ValueError(f"channel {number} is {label!r} here but {known.get(number, '')!r} before")
    matched |= {number: number for number in numbers - set(labels)}
    if len(set(matched.values())) < len(matched):
        raise ValueError("some of its channels have labels and others have none, so that they cannot be matched")
    known |= {matched[number]: label for number, label in labels.items()}
    return {number: matched[number] for number in sorted(matched)}
