"""A field that could not be read."""

from dataclasses import dataclass

__all__ = ["Failure"]


@dataclass(frozen=True)
class Failure:
    """A field that could not be read.

    Attributes:
        row: Its row in the image table.
        path: Its first file; empty where a channel is missing.
        reason: One sentence.
    """

    row: int
    path: str
    reason: str
