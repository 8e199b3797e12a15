"""Validation of architecture settings, so that absurd values are refused before anything is built."""

import operator
from collections.abc import Sequence
from typing import Any

from leigh_mlops.errors import LeighError

__all__ = ["check_choice", "check_number", "check_integer", "check_integers"]


def check_integer(name: str, value: Any, low: int, high: int) -> int:  # noqa: ANN401
    """Return an integer from ``low`` to ``high``, both included.

    Raises:
        LeighError: The value is no integer or lies outside.

    Example:
        >>> check_integer("groups", 32, 1, 1024)
        32
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise LeighError(f"{name} is {value!r}; give a whole number from {low} to {high}.")
    return number


def check_integers(name: str, values: Any, low: int, high: int, *, count: tuple[int, int]) -> tuple[int, ...]:  # noqa: ANN401
    """Return a list of integers from ``low`` to ``high``, as many as ``count`` (fewest, most) allows.

    Raises:
        LeighError: It is no list, too short or long, or a value lies outside.
    """
    fewest, most = count
    if not isinstance(values, Sequence) or isinstance(values, str) or not fewest <= len(values) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise LeighError(f"{name} is {values!r}; give a list of {wanted} whole numbers.")
    return tuple(check_integer(f"{name}[{index}]", value, low, high) for index, value in enumerate(values))


def check_number(name: str, value: Any, low: float, high: float) -> float:  # noqa: ANN401
    """Return a number from ``low`` to ``high``, both included.

    Raises:
        LeighError: The value is no number or lies outside.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise LeighError(f"{name} is {value!r}; give a number from {low} to {high}.")
    return float(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:  # noqa: ANN401
    """Return a value that is one of some choices.

    Raises:
        LeighError: The value is no such choice.
    """
    if value not in choices:
        raise LeighError(f"{name} is {value!r}; choose one of {', '.join(choices)}.")
    return str(value)
