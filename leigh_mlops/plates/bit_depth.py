"""Bit depth: the share of a file's range that the camera used."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from leigh_mlops.plates.columns import Metadata

__all__ = ["BitDepth", "bit_depths"]

DEPTHS = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class BitDepth:
    """Depth of the pixels of one plate; its text is the sentence.

    Attributes:
        bits: 8, 10, 12, 14 or 16, the fewest that hold the largest value.
        shift: Zero bits below them, above 0 where the camera's values were moved up.
        file_bits: 8 or 16, bits of a pixel in the files.
        sentence: The same in words, such as ``12 bits in 16-bit files``.
    """

    bits: int
    shift: int
    file_bits: int
    sentence: str

    def __str__(self) -> str:
        return self.sentence

    @property
    def max_value(self) -> int:
        """The largest value that such a pixel can have."""
        return ((1 << self.bits) - 1) << self.shift


def bit_depths(table: pd.DataFrame, quality: pd.DataFrame, *, file_bits: int | None = None) -> dict[str, BitDepth]:
    """Bit depth of each plate, over all of its channels.

    Args:
        table: Image table.
        quality: Measures of each field on the table's index; of these ``max_<channel>``, the largest
            value, and ``bits_<channel>``, the bitwise or of the values.
        file_bits: Bits of a pixel in the files, where that is known. By default, files without any
            value above 255 count as 8-bit files.

    Returns:
        Plate to its depth, sorted; a plate of which nothing could be read is left out.
    """
    largest = quality.filter(regex="^max_").max(axis=1)
    read = largest.index[largest.notna()]
    plates = table.loc[read, Metadata.PLATE].astype("str")
    return {
        str(plate): _depth(int(largest[rows].max()), _bitwise_or(quality.loc[rows]), file_bits)
        for plate, rows in sorted(plates.groupby(plates).groups.items())
    }


def _bitwise_or(quality: pd.DataFrame) -> int:
    seen = quality.filter(regex="^bits_").fillna(0).to_numpy(np.int64)
    return int(np.bitwise_or.reduce(seen, axis=None))


def _depth(largest: int, ored: int, file_bits: int | None) -> BitDepth:
    if file_bits == 8 or (file_bits is None and largest <= 255):
        return BitDepth(8, 0, 8, "8 bits in 8-bit files")
    shift = (ored & -ored).bit_length() - 1 if ored else 0
    needed = (largest >> shift).bit_length()
    bits = next(depth for depth in DEPTHS if depth >= needed)
    moved = f", moved up by {shift}: every value is a multiple of {1 << shift}" if shift else ""
    return BitDepth(bits, shift, 16, f"{bits} bits in 16-bit files{moved}")
