"""Image tables whose rectangular fields are cut into several squares."""

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = ["MAX_TILES", "tile_rows"]

MAX_TILES = 16
"""Most squares of one field."""


def tile_rows(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return an image table with one row for each of the squares into which its fields are cut.

    ``Metadata_Tile`` says which square a row is (``2/3``: the second of three along the longer side), and each square
    is a field of its own: site 1 cut in two becomes the sites 1 and 2, site 2 becomes 3 and 4.

    Args:
        table: An image table.
        count: Number of squares of each field, from 1; 1 is the centre square, for which the table stays as it is.

    Raises:
        LeighError: The number is out of its range, or the table's fields are squares of fields already.
    """
    if not 1 <= count <= MAX_TILES:
        raise LeighError(f"--tiles {count} is not a number of squares; pass one from 1 to {MAX_TILES}.")
    if count == 1:
        return table
    if Metadata.TILE in table:
        raise LeighError("The table's fields are cut into squares already; leave --tiles out.")
    numbers = pd.Series(range(1, count + 1), name="number")
    rows = table.reset_index(drop=True).merge(numbers, how="cross")
    tiles = rows.pop("number")
    rows[Metadata.SITE] = (rows[Metadata.SITE] - 1) * count + tiles
    return rows.assign(**{Metadata.TILE: tiles.map(lambda number: f"{number}/{count}").astype("str")})
