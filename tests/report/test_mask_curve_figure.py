import numpy as np

from leigh_mlops.report.mask_curve_figure import mask_curve_figure

SHARES = np.array([0.0, 0.1, 1.0])
SCORES = {"this network": np.array([0.1, 0.8, 0.9]), "cnn": np.array([0.0, 0.2, 1.0])}


def test_each_predictor_is_a_line_by_its_name() -> None:
    axes = mask_curve_figure(SHARES, SCORES, target="TT").axes[0]
    drawn = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.lines}
    assert list(drawn) == list(SCORES)
    for name, points in drawn.items():
        np.testing.assert_array_equal(points, np.stack([SHARES, SCORES[name]], axis=1))
    assert axes.get_ylabel() == "probability of TT"


def test_the_smallest_edit_is_marked_where_there_is_one() -> None:
    assert len(mask_curve_figure(SHARES, SCORES, target="TT").axes[0].lines) == 2
    marked = mask_curve_figure(SHARES, SCORES, target="TT", smallest=0.035).axes[0].lines[-1]
    assert list(np.asarray(marked.get_xdata())) == [0.035, 0.035]
    assert marked.get_label() == "smallest edit (3.5 %)"
