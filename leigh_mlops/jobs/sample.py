"""Some fields of a job that stand for all of them."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np
import pandas as pd
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.jobs.reading import Field, FieldReader

__all__ = ["MOST", "read_sample", "scaled"]

MOST = 12
"""Fields of a sample; small jobs take an eighth of theirs, but four."""

_LEAST = 4
_SHARE = 8


def read_sample(reader: FieldReader, table: pd.DataFrame) -> list[Field]:
    """Fields of the classes in turn, from all over each; what can't be read is passed over.

    Args:
        reader: Of the table.
        table: An image table.
    """
    wanted = min(MOST, max(_LEAST, len(table) // _SHARE))
    fields: list[Field] = []
    for row in _in_turn(table):
        if len(fields) == wanted:
            break
        try:
            fields.append(reader.read(row))
        except LeighError:
            continue  # the job says of each such field why it failed
    return fields


def scaled(fields: Iterable[Field], scale: IntensityScale) -> torch.Tensor | None:
    """The fields as the network sees them, shape (N, C, S, S); None for none."""
    raw = [field.raw for field in fields]
    return torch.from_numpy(scale.apply(np.stack(raw)).astype(np.float32)) if raw else None


def _in_turn(table: pd.DataFrame) -> Iterator[int]:
    """Every row once: one of each class in turn, those of a class in an order that spreads over it."""
    if "Metadata_Condition" in table:
        classes = table["Metadata_Condition"].astype(object).where(table["Metadata_Condition"].notna(), "")
    else:
        classes = pd.Series("", index=table.index)
    groups = [_spread(np.flatnonzero(classes == name)) for name in sorted(set(classes))]
    for rows in zip_longest(*groups):
        yield from (int(row) for row in rows if row is not None)


def _spread(rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[int]:
    """The same rows, first, middle and end before what lies between (van der Corput)."""
    bits = max(1, int(len(rows) - 1).bit_length())
    order = sorted(range(len(rows)), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return [int(rows[place]) for place in order]
