import numpy as np
import pytest

from leigh_mlops.scores.plate_effects import BScoreRefusal, RefusalReason, b_scores, line_share, median_polish


def grid(rows: int = 8, columns: int = 12) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.meshgrid(np.arange(1, rows + 1), np.arange(1, columns + 1), indexing="ij")
    return row.ravel(), column.ravel()


def test_an_additive_plate_leaves_nothing() -> None:
    rows, columns = np.array([-2.0, 0.0, 5.0]), np.array([-1.0, 0.0, 3.0])
    found = median_polish(10 + rows[:, None] + columns)
    np.testing.assert_allclose(found.residuals, 0)
    assert found.overall == 10
    assert found.rows.tolist() == rows.tolist()
    assert found.columns.tolist() == columns.tolist()


def test_a_polish_by_hand() -> None:
    # Rows' medians 2, 5, 8; then the columns' -1, 0, 1, and the 92 that one well has too much stays.
    found = median_polish([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 101.0]])
    assert found.overall == 5
    assert found.rows.tolist() == [-3, 0, 3]
    assert found.columns.tolist() == [-1, 0, 1]
    expected = np.zeros((3, 3))
    expected[2, 2] = 92
    assert found.residuals.tolist() == expected.tolist()


def test_empty_places_do_not_count() -> None:
    plate = 10 + np.arange(4.0)[:, None] + np.arange(5.0)
    plate[1, 2] = plate[3, 0] = np.nan
    found = median_polish(plate)
    np.testing.assert_allclose(found.residuals[np.isfinite(plate)], 0)
    assert np.isnan(found.residuals[1, 2])
    with pytest.raises(ValueError, match="no scores"):
        median_polish([[np.nan]])


def test_share_of_lines_by_hand() -> None:
    assert line_share([True, True, False, False], [1, 1, 2, 2]) == 1
    assert line_share([True, False, True, False], [1, 1, 2, 2]) == 0
    assert line_share([True] * 4, [1, 1, 2, 2]) == 0
    # Line 1 has 2 of 3, line 2 has 0 of 3: within 2/3 on 4, total 4/3 on 5.
    assert line_share([1, 1, 0, 0, 0, 0], [1, 1, 1, 2, 2, 2]) == pytest.approx(1 - (2 / 3 / 4) / (4 / 3 / 5))


def test_a_hit_stands_out_once_rows_and_columns_are_gone() -> None:
    rng = np.random.default_rng(0)
    row, column = grid()
    scores = rng.normal(0, 1, 96) + 4.0 * row + 3.0 * (column == 1)
    scores[40] += 12
    assert np.argmax(scores) != 40
    names = np.full(96, "", object)
    names[rng.permutation(96)[:16]] = "DS"
    found = b_scores(scores, row, column, names)
    assert found.refusal is None
    assert found.scores is not None
    assert np.argmax(found.scores) == 40
    polished = median_polish(scores.reshape(8, 12)).residuals.ravel()
    spread = 1.4826 * np.median(np.abs(polished - np.median(polished)))
    np.testing.assert_allclose(found.scores, polished / spread)


def test_controls_that_fill_columns_refuse_it() -> None:
    row, column = grid()
    scores = np.random.default_rng(0).normal(size=96)
    for line, kind in ((column, "column"), (row, "row")):
        names = np.where(line <= 2, "DS", "").astype(object)
        found = b_scores(scores, row, column, names)
        assert found.scores is None
        assert found.refusal is not None
        assert (found.refusal.reason, found.refusal.line) == (RefusalReason.CONTROLS_FILL_LINES, kind)
        assert found.refusal.group == "DS"
        assert found.refusal.share > 0.25


def test_a_plate_of_controls_refuses_it() -> None:
    rng = np.random.default_rng(0)
    row, column = grid()
    names = np.where(rng.random(96) < 0.7, "DS", "").astype(object)
    few = b_scores(rng.normal(size=96), row, column, names).refusal
    assert few == BScoreRefusal(RefusalReason.FEW_SAMPLES, controls=int((names == "DS").sum()), wells=96)
    names[:] = ""
    assert b_scores(np.zeros(96), row, column, names).refusal == BScoreRefusal(RefusalReason.NO_SPREAD)
    two = row <= 2
    lines = b_scores(np.zeros(24), row[two], column[two], names[two]).refusal
    assert lines == BScoreRefusal(RefusalReason.FEW_LINES, line="row", lines=2)
