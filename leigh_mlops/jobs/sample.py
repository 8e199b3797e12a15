"""Sample of fields that represents a job."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np
import pandas as pd
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.prepared_field import Field
from leigh_mlops.images import IntensityScale
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.plates.columns import Metadata

__all__ = ["MAX_SAMPLE", "read_sample", "scale_fields"]

MAX_SAMPLE = 12
"""Most fields of a sample; small jobs sample an eighth of their fields, at least four."""

_MIN_SAMPLE = 4
_SAMPLE_DIVISOR = 8


def read_sample(reader: FieldReader, table: pd.DataFrame) -> list[Field]:
    """Read fields of alternating classes, spread over each class; unreadable fields are skipped.

    Args:
        reader: Reader of the fields of the table.
        table: An image table.
    """
    wanted = min(MAX_SAMPLE, max(_MIN_SAMPLE, len(table) // _SAMPLE_DIVISOR))
    fields: list[Field] = []
    for row in _interleave_classes(table):
        if len(fields) == wanted:
            break
        try:
            fields.append(reader.read(row))
        except LeighError:
            continue  # the job reports the failure of each such field
    return fields


def scale_fields(fields: Iterable[Field], scale: IntensityScale) -> torch.Tensor | None:
    """Scale the fields to the input of the network, shape (N, C, S, S); None for no fields."""
    raw = [field.raw for field in fields]
    return torch.from_numpy(scale.apply(np.stack(raw)).astype(np.float32)) if raw else None


def _interleave_classes(table: pd.DataFrame) -> Iterator[int]:
    """Yield every row once: one of each class in turn, in an order that spreads over each class."""
    if Metadata.CONDITION in table:
        classes = table[Metadata.CONDITION].astype(object).where(table[Metadata.CONDITION].notna(), "")
    else:
        classes = pd.Series("", index=table.index)
    groups = [_spread_order(np.flatnonzero(classes == name)) for name in sorted(set(classes))]
    for rows in zip_longest(*groups):
        yield from (int(row) for row in rows if row is not None)


def _spread_order(rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[int]:
    """Reorder rows so that every prefix is spread over all of them (van der Corput)."""
    bits = max(1, int(len(rows) - 1).bit_length())
    order = sorted(range(len(rows)), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return [int(rows[place]) for place in order]
