"""Layout: positions of wells on the plate, and the arrangement of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = [
    "PLATE_SHAPES",
    "Layout",
    "has_other_class_neighbour",
    "describe_layout",
    "labelled_wells",
    "plate_shape",
    "position_features",
]

# Wells: (rows, columns)
PLATE_SHAPES = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}

WELL = [Metadata.PLATE, Metadata.WELL]
MIN_ACCURACY = 0.95  # a cycle, or the lines themselves, name the classes where they are right about so many wells
# From neighbours as in shuffled wells (0) to neighbours of one class everywhere (1). Shuffled, 24 wells
# stay below 0.18 in 99 of 100 cases; a rim of one class around 96 wells has 0.4, halves have 0.9.
MIN_CLUMPING = 0.25
MAX_TILE = 4  # rows and columns
MIN_TILES = 4  # a tile that comes back less often is found in shuffled wells
KINDS = {"interleaved columns": "column", "interleaved rows": "row", "checkered": "row plus column"}

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Arrangement of the classes on their plates.

    Attributes:
        kind: ``interleaved columns``, ``interleaved rows``, ``checkered``, ``blocks``,
            ``scattered``, or ``one class`` where there are not two.
        sentence: Interpretation, in words.
        beside: Share of the wells that have a well of another class beside them, 0 to 1.
        parity_accuracy: Share of the wells whose class the parity of column, row or both names,
            whichever does best, averaged over the classes (1 / classes is chance). With more than
            two classes, or where lines are interleaved two by two, that of the cycle; where a tile
            of wells comes back, that of the tile. ``None`` where no plate has two classes, or none
            is long enough for two cycles.
    """

    kind: str
    sentence: str
    beside: float
    parity_accuracy: float | None


def plate_shape(rows: npt.ArrayLike, cols: npt.ArrayLike) -> tuple[int, int]:
    """Rows and columns of the smallest standard plate that holds all of some wells.

    Args:
        rows: Rows of the wells from 1, shape (N,).
        cols: Columns of the wells from 1, shape (N,).

    Raises:
        LeighError: No standard plate has so many rows or columns.

    Example:
        >>> plate_shape([2, 8], [3, 12])
        (8, 12)
    """
    last_row, last_col = int(np.max(rows)), int(np.max(cols))
    for shape in PLATE_SHAPES.values():
        if last_row <= shape[0] and last_col <= shape[1]:
            return shape
    raise LeighError(f"row {last_row}, column {last_col} is outside any plate of up to 1536 wells; correct the wells.")


def position_features(rows: npt.ArrayLike, cols: npt.ArrayLike, n_rows: int, n_cols: int) -> Floats:
    """Terms of a quadratic function of the place on the plate.

    Args:
        rows: Rows from 1, shape (N,).
        cols: Columns from 1, shape (N,).
        n_rows: Rows of the plate.
        n_cols: Columns of the plate.

    Returns:
        Shape (N, 9): row and column from -1 to 1, distance to the nearest edge from 0 (an edge
        well) to 1 (the plate's middle), the three squares and the three products.

    Example:
        >>> position_features([1], [12], 8, 12).round(2).tolist()
        [[-1.0, 1.0, 0.0, 1.0, 1.0, 0.0, -1.0, -0.0, 0.0]]
    """
    row, col = np.asarray(rows, float), np.asarray(cols, float)
    steps = np.min([row - 1, n_rows - row, col - 1, n_cols - col], axis=0)
    edge = steps / max((min(n_rows, n_cols) - 1) // 2, 1)
    row = 2 * (row - 1) / max(n_rows - 1, 1) - 1
    col = 2 * (col - 1) / max(n_cols - 1, 1) - 1
    return np.stack([row, col, edge, row**2, col**2, edge**2, row * col, row * edge, col * edge], axis=1)


def labelled_wells(table: pd.DataFrame) -> pd.DataFrame:
    """One row per well that has a class, sorted by plate and well; the index is that of its first field."""
    labelled = table[table[Metadata.CONDITION].notna()]
    return labelled.drop_duplicates(WELL).sort_values(WELL)


def has_other_class_neighbour(table: pd.DataFrame) -> "pd.Series[bool]":
    """Mark fields whose well has a well of another class beside it, where position helps least.

    The eight neighbours of a well are beside it. Where only every second row or column of a plate
    is used, they are at that distance: the commonest distance between the used ones.

    Args:
        table: Image table; wells without a class do not count as neighbours.

    Returns:
        On the table's index; ``False`` where the row has no class.
    """
    wells = labelled_wells(table)
    near = _has_other_neighbour(wells, _neighbours(wells))
    names = set(_names(wells)[near])
    return (_names(table).isin(names) & table[Metadata.CONDITION].notna()).rename(None)


def _names(table: pd.DataFrame) -> "pd.Series[str]":
    return table[Metadata.PLATE].astype("str") + "/" + table[Metadata.WELL].astype("str")


def _neighbours(wells: pd.DataFrame) -> Whole:
    """Pairs of neighbouring wells, shape (P, 2), numbers of rows."""
    from scipy.spatial import KDTree

    if len(wells) < 2:
        return np.zeros((0, 2), np.int64)
    plates = pd.factorize(wells[Metadata.PLATE])[0]
    places = [wells[name].to_numpy(float) / _steps(wells, name) for name in (Metadata.ROW, Metadata.COLUMN)]
    # Plates are so far apart that no two of their wells are neighbours.
    tree = KDTree(np.stack([*places, plates * 10.0], axis=1))
    return np.asarray(tree.query_pairs(1 + 1e-9, p=np.inf, output_type="ndarray"), np.int64)


def _steps(wells: pd.DataFrame, name: str) -> Floats:
    """Commonest distance between the used rows or columns of each well's plate; shape (N,)."""
    return wells.groupby(Metadata.PLATE)[name].transform(lambda used: _step(used.to_numpy(int))).to_numpy(float)


def _step(used: Whole) -> int:
    apart = np.diff(np.unique(used))
    return int(np.bincount(apart).argmax()) if len(apart) else 1


def _has_other_neighbour(wells: pd.DataFrame, pairs: Whole) -> npt.NDArray[np.bool_]:
    classes = pd.factorize(wells[Metadata.CONDITION])[0]
    near = np.zeros(len(wells), bool)
    near[pairs[classes[pairs[:, 0]] != classes[pairs[:, 1]]].ravel()] = True
    return near


def describe_layout(table: pd.DataFrame) -> Layout:
    """Describe how the classes are arranged on their plates.

    Columns are interleaved where the classes come back in a cycle (``DS TT DS TT``, ``DS DS TT
    TT DS DS TT TT``, with or without empty columns between), or where each column holds one class
    and most differ from the one before; rows likewise. Checkered is a cycle of row plus column, or
    a tile of up to four by four wells that comes back over the plate (384 wells filled from four
    plates, a chessboard of two by two wells). Blocks are other lines that each hold one class;
    else they are told from scattered wells by how much more often than by chance neighbours on a
    plate are of one class. Plates of a single class are blocks, too, where there are no others.
    """
    wells = labelled_wells(table)
    classes = sorted(wells[Metadata.CONDITION].unique())
    if len(classes) < 2:
        only = f"every well is of the class {classes[0]}" if classes else "no well has a class"
        return Layout("one class", f"{only}: there is nothing to tell apart.", 0.0, None)
    pairs = _neighbours(wells)
    beside = float(_has_other_neighbour(wells, pairs).mean())
    mixed = wells[wells.groupby(Metadata.PLATE)[Metadata.CONDITION].transform("nunique") > 1]
    if mixed.empty:
        return Layout("blocks", "each plate holds one class: no score can tell the class from the plate.", beside, None)
    names, cycles = _join_names(classes), _cycles(mixed)
    # The first of equals: the shortest cycle, and lines before diagonals.
    accuracy, kind, period = max(cycles, key=lambda one: one[0], default=(0.0, "", 0))
    if accuracy >= MIN_ACCURACY:
        return Layout(kind, _cycle_sentence(names, kind, period), beside, accuracy)
    parity = max((right for right, _, period in cycles if period <= len(classes)), default=None)
    for name, kind in ((Metadata.COLUMN, "interleaved columns"), (Metadata.ROW, "interleaved rows")):
        if _pure_lines(mixed, name):
            back = _lines_return(mixed, name)
            sentence = _lines_sentence(names, KINDS[kind]) if back else _own_lines_sentence(KINDS[kind], beside)
            return Layout(kind if back else "blocks", sentence, beside, parity)
    right, tall, wide = max(_tiles(mixed), key=lambda one: one[0], default=(0.0, 0, 0))
    if right >= MIN_ACCURACY:
        return Layout("checkered", _tile_sentence(names, tall, wide), beside, right)
    kind = "blocks" if _clumping(mixed, _neighbours(mixed)) > MIN_CLUMPING else "scattered"
    alone = wells[Metadata.PLATE].nunique() - mixed[Metadata.PLATE].nunique()
    return Layout(kind, _place_sentence(names, kind, beside, alone), beside, parity)


def _cycles(wells: pd.DataFrame) -> list[tuple[float, str, int]]:
    """Accuracy with which each cycle names the classes, what the cycle counts, and its period."""
    row, col = _from_first(wells, Metadata.ROW), _from_first(wells, Metadata.COLUMN)
    count = wells[Metadata.CONDITION].nunique()
    tried: list[tuple[float, str, int]] = []
    # A class may fill two lines side by side; on diagonals that would find patterns everywhere.
    lines: Sequence[tuple[str, Whole, int]] = (
        ("interleaved columns", col, 2 * count),
        ("interleaved rows", row, 2 * count),
        ("checkered", row + col, count),
        ("checkered", row - col, count),
    )
    for kind, place, longest in lines:
        if kind == "checkered" and min(row.max(), col.max()) == 0:
            continue
        cycles = range(2, min(longest, (int(np.ptp(place)) + 1) // 2) + 1)
        tried += [(_naming_accuracy(wells, place % period), kind, period) for period in cycles]
    return tried


def _from_first(wells: pd.DataFrame, name: str) -> Whole:
    """Rows or columns counted from the first one used on the plate, in steps; shape (N,)."""
    first = wells.groupby(Metadata.PLATE)[name].transform("min")
    return ((wells[name] - first).to_numpy(float) // _steps(wells, name)).astype(np.int64)


def _naming_accuracy(wells: pd.DataFrame, places: Whole) -> float:
    """Share of the wells of the commonest class of their place and plate, averaged over the classes."""
    classes = wells[Metadata.CONDITION]
    counts = pd.crosstab([wells[Metadata.PLATE].to_numpy(), places], classes.to_numpy())
    commonest = counts.to_numpy() * (np.arange(counts.shape[1]) == counts.to_numpy().argmax(axis=1)[:, None])
    return float(np.mean(commonest.sum(axis=0) / counts.to_numpy().sum(axis=0)))


def _pure_lines(wells: pd.DataFrame, name: str) -> bool:
    """Return whether each line holds one class, and lines have at least two wells on average."""
    lines = wells.groupby([Metadata.PLATE, name]).ngroups
    return len(wells) >= 2 * lines and _naming_accuracy(wells, wells[name].to_numpy(np.int64)) >= MIN_ACCURACY


def _lines_return(wells: pd.DataFrame, name: str) -> bool:
    """Return whether most lines differ from the one before, and every class comes back."""
    counts = pd.crosstab([wells[Metadata.PLATE], wells[name]], wells[Metadata.CONDITION])
    lines = counts.idxmax(axis=1)
    plates = lines.groupby(level=0)
    changes = int((plates.shift() != lines).sum()) - plates.ngroups
    back = changes + plates.ngroups >= 2 * int(plates.nunique().sum())
    return back and changes >= (len(lines) - plates.ngroups) / 2


def _tiles(wells: pd.DataFrame) -> list[tuple[float, int, int]]:
    """Accuracy with which the place in a repeated tile names the classes, and the tile's rows and columns."""
    row, col = _from_first(wells, Metadata.ROW), _from_first(wells, Metadata.COLUMN)
    tried: list[tuple[float, int, int]] = []
    for tall, wide in product(range(2, MAX_TILE + 1), repeat=2):
        places = row % tall * MAX_TILE + col % wide
        often = len(wells) >= MIN_TILES * wells.groupby([Metadata.PLATE, places]).ngroups
        if often and row.max() + 1 >= 2 * tall and col.max() + 1 >= 2 * wide:
            tried.append((_naming_accuracy(wells, places), tall, wide))
    return tried


def _clumping(wells: pd.DataFrame, pairs: Whole) -> float:
    """Excess of neighbours of one class over chance on their plate: 0 is chance, 1 always."""
    if not len(pairs):
        return 0.0
    classes, plates = pd.factorize(wells[Metadata.CONDITION])[0], pd.factorize(wells[Metadata.PLATE])[0]
    counts = pd.crosstab(plates, classes).to_numpy()
    alike = ((counts / counts.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    same = float(np.mean(classes[pairs[:, 0]] == classes[pairs[:, 1]]))
    chance = float(np.mean(alike[plates[pairs[:, 0]]]))
    return (same - chance) / (1 - chance)


def _join_names(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more classes"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _cycle_sentence(names: str, kind: str, period: int) -> str:
    by = KINDS[kind]
    smooth = "no smooth effect of the position explains them"
    if kind == "checkered" and period == 2:
        return f"{names} alternate like the squares of a chessboard: {smooth}, but the parity of {by} names the class."
    how = "along the diagonals" if kind == "checkered" else f"by {by}"
    if period == 2:
        return f"{names} alternate {how}: {smooth}, but the parity of the {by} names the class."
    return f"{names} take turns {how} in a cycle of {period}: {smooth}, but the {by} modulo {period} names the class."


def _lines_sentence(names: str, line: str) -> str:
    return (
        f"each {line} holds one class, and {names} change from {line} to {line}: no smooth effect of the position "
        f"explains them, but the {line} names the class."
    )


def _tile_sentence(names: str, tall: int, wide: int) -> str:
    return (
        f"{names} come back in a tile of {tall} by {wide} wells: no smooth effect of the position explains them, but "
        f"the row modulo {tall} and the column modulo {wide} together name the class."
    )


def _own_lines_sentence(line: str, beside: float) -> str:
    share = f"{100 * beside:.0f} % of the wells stand beside a well of another class"
    return f"each {line} holds one class, {share}: a score can hardly tell the class from the {line}."


def _place_sentence(names: str, kind: str, beside: float, alone: int) -> str:
    share = f"{100 * beside:.0f} % of the wells stand beside a well of another class"
    if kind == "blocks":
        return f"{names} stand in blocks of their own, {share}: a score can hardly tell the class from the place."
    plates = f"; {alone} more {'plate holds' if alone == 1 else 'plates hold'} one class each" if alone else ""
    return f"{names} are scattered over the plate: {share}{plates}."
