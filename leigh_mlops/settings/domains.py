"""Domains from which a search draws hyperparameters, and the conditions under which it draws them at all."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from leigh_mlops.settings.base import Settings, quote_value
from leigh_mlops.settings.training_settings import ARCHITECTURE, JOINT, joint_parts

__all__ = ["Choice", "Domain", "Range", "has_wanted_value", "hyperparameter_value", "map_choices"]


def hyperparameter_value(config: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """Value of a hyperparameter, or of a part of the architecture that is chosen together with others.

    Raises:
        KeyError: There is none.

    Example:
        >>> hyperparameter_value({"architecture": "head=gaussian, log_det=series"}, "architecture.log_det")
        'series'
    """
    if key not in config and key.startswith(ARCHITECTURE) and JOINT in config:
        return joint_parts(config[JOINT])[key.removeprefix(ARCHITECTURE)]
    return config[key]


def _values_as_lists(when: object) -> object:
    if isinstance(when, dict):
        return {key: wanted if isinstance(wanted, list) else [wanted] for key, wanted in when.items()}
    return when


class _Conditional(Settings):
    """Base of domains that are drawn only where other hyperparameters have certain values, else stay as published."""

    when: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], BeforeValidator(_values_as_lists)] = Field(
        default_factory=dict, description="values of other hyperparameters, all of which must be met"
    )

    def is_active(self, config: Mapping[str, Any]) -> bool:
        """Return whether it is drawn, given the values of other hyperparameters in a flat configuration."""
        return all(has_wanted_value(config, key, wanted) for key, wanted in self.when.items())


def has_wanted_value(config: Mapping[str, Any], key: str, wanted: list[Any]) -> bool:
    """Return whether a hyperparameter has one of the wanted values; one that is not set has none."""
    try:
        return hyperparameter_value(config, key) in wanted
    except KeyError:
        return False


class Choice(_Conditional):
    """Choice of one of several equally likely values; a plain list stands for one without a condition."""

    values: list[Any] = Field(min_length=1, max_length=1000)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: object) -> object:
        return {"values": given} if isinstance(given, list) else given

    @model_validator(mode="after")
    def _check_unique(self) -> Self:
        for index, value in enumerate(self.values):
            if value in self.values[:index]:
                raise ValueError(f"{quote_value(value)} is listed twice; list it once.")
        return self

    def contains(self, value: Any) -> bool:  # noqa: ANN401
        """Return whether a value is one of them."""
        return value in self.values


class Range(_Conditional):
    """Interval to sample from, uniformly in the value or in its logarithm, ends included."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False
    integer: bool = False

    @model_validator(mode="before")
    @classmethod
    def _check_mapping(cls, given: object) -> object:
        if isinstance(given, dict | Range):
            return given
        raise ValueError(
            f"{quote_value(given)} is neither a list of choices nor {{low: …, high: …}}; "
            "put a fixed value under published only."
        )

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"range from {self.low} to {self.high}: low must be below high, and above 0 with log.")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"range from {self.low} to {self.high}: with integer, low and high must be whole numbers.")
        return self

    def contains(self, value: Any) -> bool:  # noqa: ANN401
        """Return whether a value lies in the range, ends included."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.integer or float(value).is_integer())


def map_choices(function: Callable[[Any], Any], given: object) -> object:
    """Apply a function to the values of a choice as a search file gives it; what is no choice stays as it is."""
    if isinstance(given, list):
        return [function(value) for value in given]
    if isinstance(given, dict) and isinstance(given.get("values"), list):
        return given | {"values": [function(value) for value in given["values"]]}
    return given


def _kind(given: object) -> str:
    listed = isinstance(given, list | Choice) or (isinstance(given, dict) and "values" in given)
    return "<choice>" if listed else "<range>"


Domain = Annotated[
    Annotated[Choice, Tag("<choice>")] | Annotated[Range, Tag("<range>")],
    Discriminator(_kind),
]
"""A :class:`Choice` or a :class:`Range`."""
