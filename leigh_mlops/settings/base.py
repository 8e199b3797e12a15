"""Base of all settings: frozen, without unknown keys, and with errors of one sentence that know their key."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from leigh_mlops.errors import LeighError, escape_unprintable

__all__ = ["KeyedError", "Settings", "SettingsError", "suggest_key", "parse_settings", "quote_value"]

Model = TypeVar("Model", bound=BaseModel)
Keys = tuple[str | int, ...]


class _ShortRepr(reprlib.Repr):
    """Short forms of values; also of numbers with thousands of digits, which Python does not write out."""

    def repr_int(self, x: int, level: int) -> str:
        """Format a whole number."""
        digits = int(0.30103 * x.bit_length())
        return super().repr_int(x, level) if digits < 100 else f"a number of about {digits} digits"


_SHORT = _ShortRepr()
_SHORT.maxstring = _SHORT.maxother = 80


class SettingsError(LeighError):
    """Error about invalid settings; the message begins with their source.

    Attributes:
        keys: Path of keys to the value, from the outermost; where the reason is about a key that is not written there,
            as much of the path as is.
        reason: The message without its source.
    """

    def __init__(self, source: str, reason: str, keys: Keys = ()) -> None:
        super().__init__(f"{source}: {reason}")
        self.keys = keys
        self.reason = reason


class KeyedError(ValueError):
    """Error of a validator that knows which key, below the value that it validates, is wrong."""

    def __init__(self, reason: str, *keys: str) -> None:
        super().__init__(reason)
        self.keys = keys


class Settings(BaseModel):
    """Base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_known_keys(cls, values: object) -> object:
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                raise KeyedError(f"{quote_value(key)} is unknown; {suggest_key(key, cls.model_fields)}", str(key))
        return values


def suggest_key(key: object, known: Iterable[str]) -> str:
    """Suggest the key that an unknown one was meant to be, or list the known ones.

    Example:
        >>> suggest_key("trails", ["trials", "epochs"])
        "did you mean 'trials'?"
    """
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."


def quote_value(value: object) -> str:
    """Format a value for a message: shortened, on one line."""
    return escape_unprintable(_SHORT.repr(value))


def parse_settings(kind: type[Model], values: dict[str, Any], source: str) -> Model:
    """Validate settings, and turn the first error into one sentence that begins with its source.

    Raises:
        SettingsError: A key is unknown or a value out of bounds.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _first_complaint(error.errors()[0], source) from None


def _first_complaint(found: ErrorDetails, source: str) -> SettingsError:
    # Names in angle brackets are kinds of domains and "[key]" is pydantic's marker for the key itself.
    keys = tuple(key for key in found["loc"] if not str(key).startswith(("<", "[")))
    where = ".".join(map(str, keys))
    cause = found.get("ctx", {}).get("error")
    if isinstance(cause, KeyedError):
        return SettingsError(source, str(cause), keys + cause.keys)
    if cause is not None:
        return SettingsError(source, f"{where}: {cause}" if where else str(cause), keys)
    if found["type"] == "missing":
        return SettingsError(source, f"{where} is missing; give it.", keys)
    return SettingsError(source, f"{where}: {found['msg']}; it is {quote_value(found['input'])}.", keys)
