"""Where a search draws a hyperparameter from, and under which condition it draws it at all."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from leigh_mlops.settings.base import Settings, shown
from leigh_mlops.settings.training import ARCHITECTURE, JOINT, joint_parts

__all__ = ["Choice", "Domain", "Range", "meets", "value_in"]


def value_in(config: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """Value of a hyperparameter, or of a part of the architecture that is chosen together with others.

    Raises:
        KeyError: There is none.

    Example:
        >>> value_in({"architecture": "head=gaussian, log_det=series"}, "architecture.log_det")
        'series'
    """
    if key not in config and key.startswith(ARCHITECTURE) and JOINT in config:
        return joint_parts(config[JOINT])[key.removeprefix(ARCHITECTURE)]
    return config[key]


def _listed(when: object) -> object:
    if isinstance(when, dict):
        return {key: wanted if isinstance(wanted, list) else [wanted] for key, wanted in when.items()}
    return when


class _Conditional(Settings):
    """What is drawn only where other hyperparameters have certain values; elsewhere the published value is kept."""

    when: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], BeforeValidator(_listed)] = Field(
        default_factory=dict, description="values of other hyperparameters, all of which must be met"
    )

    def active(self, config: Mapping[str, Any]) -> bool:
        """Whether it is drawn beside the values that other hyperparameters have in a flat configuration."""
        return all(meets(config, key, wanted) for key, wanted in self.when.items())


def meets(config: Mapping[str, Any], key: str, wanted: list[Any]) -> bool:
    """Whether a hyperparameter has one of the values wanted; one that is not set has none."""
    try:
        return value_in(config, key) in wanted
    except KeyError:
        return False


class Choice(_Conditional):
    """One of several values, each as likely; a plain list stands for one without a condition."""

    values: list[Any] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: object) -> object:
        return {"values": given} if isinstance(given, list) else given

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for index, value in enumerate(self.values):
            if value in self.values[:index]:
                raise ValueError(f"{shown(value)} is listed twice; list it once.")
        return self

    def holds(self, value: Any) -> bool:  # noqa: ANN401
        """Whether a value is one of them."""
        return value in self.values


class Range(_Conditional):
    """An interval to sample from, uniformly in the value or in its logarithm, ends included."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False
    integer: bool = False

    @model_validator(mode="before")
    @classmethod
    def _written_as_one(cls, given: object) -> object:
        if isinstance(given, dict | Range):
            return given
        raise ValueError(
            f"{shown(given)} is neither a list of choices nor {{low: …, high: …}}; what does not vary stands under "
            "published alone."
        )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"range from {self.low} to {self.high}: low must be below high, above 0 where log.")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"range from {self.low} to {self.high}: with integer, low and high must be whole numbers.")
        return self

    def holds(self, value: Any) -> bool:  # noqa: ANN401
        """Whether a value lies inside, ends included."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.integer or float(value).is_integer())


def _kind(given: object) -> str:
    listed = isinstance(given, list | Choice) or (isinstance(given, dict) and "values" in given)
    return "<choice>" if listed else "<range>"


Domain = Annotated[
    Annotated[Choice, Tag("<choice>")] | Annotated[Range, Tag("<range>")],
    Discriminator(_kind),
]
"""A :class:`Choice` or a :class:`Range`."""
