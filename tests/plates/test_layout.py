import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.find_images import find_images
from leigh_mlops.plates.layout import describe_layout, has_other_class_neighbour, plate_shape, position_features
from leigh_mlops.plates.names import well_name


def plate(n_rows, n_cols, condition, name="p", fields=1):
    """A plate of which ``condition(row, col)`` gives the classes; wells without one have ``None``, '' is no well."""
    places = [(r, c) for r in range(1, n_rows + 1) for c in range(1, n_cols + 1) if condition(r, c) != ""]
    return pd.DataFrame(
        [
            {
                "Metadata_Plate": name,
                "Metadata_Well": well_name(row, col),
                "Metadata_Site": site,
                "Metadata_Row": row,
                "Metadata_Col": col,
                "Metadata_Condition": condition(row, col),
            }
            for row, col in places
            for site in range(1, fields + 1)
        ]
    )


@pytest.mark.parametrize(
    ("place", "shape"),
    [((2, 3), (2, 3)), ((3, 3), (3, 4)), ((8, 12), (8, 12)), ((9, 2), (16, 24)), ((32, 48), (32, 48))],
)
def test_the_smallest_plate_that_holds_all(place, shape):
    assert plate_shape([1, place[0]], [1, place[1]]) == shape


def test_wells_off_every_plate():
    with pytest.raises(LeighError, match="row 33, column 1 is outside any plate"):
        plate_shape([33], [1])


def test_features_by_hand():
    # Row 2 of 3 is the middle, column 5 of 5 the right edge; the plate's middle is 1 from all edges.
    features = position_features([2, 2], [5, 3], 3, 5)
    np.testing.assert_allclose(features[0], [0, 1, 0, 0, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(features[1], [0, 0, 1, 0, 0, 1, 0, 0, 0])


def test_a_mirrored_plate_has_mirrored_features():
    rows, cols = np.array([1, 4, 8]), np.array([2, 6, 12])
    signs = [-1, 1, 1, 1, 1, 1, -1, -1, 1]
    np.testing.assert_allclose(position_features(9 - rows, cols, 8, 12), position_features(rows, cols, 8, 12) * signs)


def by(places):
    """Classes by the number of a line, ``.`` for an empty one."""
    names = {"D": "DS", "T": "TT", "W": "WT", ".": ""}
    return lambda line: names[places[(line - 1) % len(places)]]


LAYOUTS = {
    "columns": ("interleaved columns", plate(8, 12, lambda r, c: by("DT")(c))),
    "columns with gaps": ("interleaved columns", plate(8, 12, lambda r, c: by("DT")(c) if (3 * r + c) % 5 else "")),
    "columns with empty ones between": ("interleaved columns", plate(8, 24, lambda r, c: by(".D.T")(c))),
    "columns in pairs with a gap": ("interleaved columns", plate(8, 24, lambda r, c: by(".DT")(c))),
    "columns two by two": ("interleaved columns", plate(8, 12, lambda r, c: by("DDTT")(c))),
    "columns of three classes": ("interleaved columns", plate(8, 12, lambda r, c: by("DTW")(c))),
    "columns in no order": ("interleaved columns", plate(8, 12, lambda r, c: by("DTTDTDDTDTTD")(c))),
    "one row": ("interleaved columns", plate(1, 12, lambda r, c: by("DT")(c))),
    "rows": ("interleaved rows", plate(8, 12, lambda r, c: by("DT")(r))),
    "rows of three classes": ("interleaved rows", plate(9, 12, lambda r, c: by("DTW")(r))),
    "chessboard": ("checkered", plate(8, 12, lambda r, c: by("DT")(r + c))),
    "chessboard of every second well": (
        "checkered",
        plate(16, 24, lambda r, c: by("DT")((r + c) // 2) if r % 2 and c % 2 else ""),
    ),
    "diagonals": ("checkered", plate(8, 12, lambda r, c: by("DTW")(r + c))),
    "halves": ("blocks", plate(8, 12, lambda r, c: "DS" if c <= 6 else "TT")),
    "thirds": ("blocks", plate(9, 12, lambda r, c: ("DS", "TT", "WT")[(r - 1) // 3])),
    "a rim": ("blocks", plate(8, 12, lambda r, c: "WT" if r in (1, 8) or c in (1, 12) else "DS")),
    "random": ("scattered", plate(8, 12, lambda r, c: by("DT")(int(np.random.default_rng([r, c]).integers(2)) + 1))),
    "a column per class": ("blocks", plate(8, 12, lambda r, c: f"c{c:02d}")),
    "three columns in a row": ("blocks", plate(8, 3, lambda r, c: by("DTW")(c))),
    "quadrants of four plates": ("checkered", plate(16, 24, lambda r, c: "ABCD"[2 * (r % 2) + c % 2])),
    "chessboard of two by two": ("checkered", plate(8, 12, lambda r, c: by("DT")(1 + (r - 1) // 2 + (c - 1) // 2))),
    "snake": ("checkered", plate(8, 12, lambda r, c: by("DTW")(c if r % 2 else 13 - c))),
    "one class": ("one class", plate(8, 12, lambda r, c: "DS")),
    "no class": ("one class", plate(8, 12, lambda r, c: None)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised(name):
    kind, table = LAYOUTS[name]
    layout = describe_layout(table)
    assert layout.kind == kind
    assert 0 <= layout.beside <= 1
    assert layout.sentence.endswith(".")


def test_layouts_of_many_plates():
    odd, even = plate(8, 12, lambda r, c: by("DT")(c), "odd"), plate(8, 12, lambda r, c: by("TD")(c), "even")
    assert describe_layout(pd.concat([odd, even], ignore_index=True)).kind == "interleaved columns"
    apart = [plate(4, 6, lambda r, c, k=k: k, k) for k in ("DS", "TT")]
    layout = describe_layout(pd.concat(apart, ignore_index=True))
    assert (layout.kind, layout.beside, layout.parity_accuracy) == ("blocks", 0.0, None)
    assert layout.sentence == "each plate holds one class: no score can tell the class from the plate."


def test_the_sentences_and_numbers():
    columns = describe_layout(LAYOUTS["columns"][1])
    assert columns.sentence == (
        "DS and TT alternate by column: no smooth effect of the position explains them, but the parity of the column "
        "names the class."
    )
    assert (columns.beside, columns.parity_accuracy) == (1.0, 1.0)
    halves = describe_layout(LAYOUTS["halves"][1])
    assert halves.beside == pytest.approx(2 / 12)
    assert halves.parity_accuracy == pytest.approx(0.5)
    assert "17 % of the wells stand beside a well of another class" in halves.sentence
    three = describe_layout(LAYOUTS["columns of three classes"][1])
    assert "DS, TT and WT take turns by column in a cycle of 3" in three.sentence
    assert describe_layout(LAYOUTS["no class"][1]).sentence == "no well has a class: there is nothing to tell apart."


def test_what_lines_and_tiles_give_away_is_said():
    own = describe_layout(LAYOUTS["a column per class"][1])
    assert own.sentence == (
        "each column holds one class, 100 % of the wells stand beside a well of another class: a score can hardly "
        "tell the class from the column."
    )
    quadrants = describe_layout(LAYOUTS["quadrants of four plates"][1])
    assert quadrants.parity_accuracy == 1.0
    assert quadrants.sentence == (
        "A, B, C and D come back in a tile of 2 by 2 wells: no smooth effect of the position explains them, but the "
        "row modulo 2 and the column modulo 2 together name the class."
    )


@pytest.mark.parametrize(("n_rows", "n_cols", "count"), [(4, 6, 1), (8, 12, 1), (2, 3, 10), (3, 4, 6)])
def test_shuffled_wells_are_scattered_whatever_the_mix_of_their_plate(n_rows, n_cols, count):
    kinds = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        plates = [
            plate(n_rows, n_cols, lambda *_, share=share: "DS" if rng.random() < share else "TT", f"{share}-{k}")  # noqa: B023
            for k in range(count)
            for share in (0.8, 0.2)
        ]
        kinds.append(describe_layout(pd.concat(plates, ignore_index=True)).kind)
    assert kinds.count("scattered") >= 19


def test_plates_of_one_class_beside_a_scattered_one_are_said():
    scattered = LAYOUTS["random"][1]
    table = pd.concat([scattered, *(plate(8, 12, lambda *_, k=k: k, k) for k in ("DS", "TT"))], ignore_index=True)
    assert describe_layout(table).kind == "scattered"
    assert describe_layout(table).sentence.endswith("class; 2 more plates hold one class each.")
    assert "more plate" not in describe_layout(scattered).sentence


def test_a_few_wrong_wells_do_not_hide_the_columns():
    table = LAYOUTS["columns"][1].copy()
    table.loc[[5, 50], "Metadata_Condition"] = ["DS", "TT"]
    layout = describe_layout(table)
    assert layout.kind == "interleaved columns"
    assert layout.parity_accuracy == pytest.approx(94 / 96)


def test_the_layout_does_not_depend_on_order_or_fields():
    table = plate(8, 12, lambda r, c: "DS" if c <= 6 else "TT", fields=2)
    shuffled = table.sample(frac=1, random_state=0)
    assert describe_layout(shuffled) == describe_layout(table)
    pd.testing.assert_series_equal(has_other_class_neighbour(shuffled).sort_index(), has_other_class_neighbour(table))


def test_beside_by_hand():
    # A1 A2 A3 A4 / B1 .. B4: only A4 is WT.
    table = plate(2, 4, lambda r, c: "WT" if (r, c) == (1, 4) else "DS")
    assert not has_other_class_neighbour(table.assign(Metadata_Condition="DS")).any()
    near = has_other_class_neighbour(table)
    assert table.loc[near, "Metadata_Well"].tolist() == ["A03", "A04", "B03", "B04"]


def test_a_neighbour_on_another_plate_or_without_a_class_is_none():
    table = plate(1, 3, lambda r, c: ("DS", None, "TT")[c - 1])
    other = plate(1, 2, lambda r, c: "WT", "q")
    both = pd.concat([table, other], ignore_index=True)
    # A01 and A03 are two apart, and that is the distance of the wells that have a class.
    assert has_other_class_neighbour(both).tolist() == [True, False, True, False, False]
    assert not has_other_class_neighbour(plate(1, 2, lambda r, c: None)).any()
    assert not has_other_class_neighbour(plate(1, 1, lambda r, c: "DS")).any()


@pytest.mark.skipif("LEIGH_DATA" not in os.environ, reason="LEIGH_DATA names no folder of real plates")
def test_real_plates():
    root = Path(os.environ.get("LEIGH_DATA", ""))
    columns = describe_layout(find_images(root / "leigh_ds_tt").table)
    assert (columns.kind, columns.parity_accuracy) == ("interleaved columns", 1.0)
    assert columns.beside > 0.95
    table = find_images(root / "leigh_ds_wt").table
    blocks = describe_layout(table)
    assert blocks.kind == "blocks"
    assert blocks.beside == pytest.approx(5 / 30)
    assert has_other_class_neighbour(table).sum() == 5 * 12
