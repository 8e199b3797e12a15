import numpy as np
import pandas as pd
import pytest
from PIL import Image

from leigh_mlops.report import figures
from leigh_mlops.report.style import PALETTE, class_colours, save_figure


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def curves():
    rows = [
        {"run": f"{family}-{run}", "family": family, "epoch": epoch, "metric": "val/log_loss", "value": 1 / epoch}
        for family, runs in (("resnext", 2), ("iresnet", 1))
        for run in range(runs)
        for epoch in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def test_learning_curves_draw_every_run(curves):
    curves.loc[0, "value"] = np.inf
    figure = figures.learning_curves(curves, ["val/log_loss", "val/wells/accuracy"])
    loss, accuracy = figure.axes
    drawn = [line for line in loss.lines if len(line.get_xdata())]
    assert sorted(len(line.get_xdata()) for line in drawn) == [2, 3, 3]
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "log loss (nats), validation fields")
    assert accuracy.get_ylabel() == "accuracy (validation wells)"
    assert texts(accuracy) == ["not measured"]
    assert legend(figure) == ["resnext (2 runs)", "iresnet (1 run)"]


def test_score_distributions_count_fields_and_wells():
    fields, wells = {"DS": [-1.0, -2.0, np.nan], "TT": [1.0, 2.0]}, {"DS": [-1.5], "TT": [1.5]}
    figure = figures.score_distributions(fields, wells, score="log-odds of TT (nats)", z_prime=0.5)
    top, bottom = figure.axes
    assert top.get_title(loc="left") == "Z' of log-odds (wells): 0.50"
    assert bottom.get_xlabel() == "log-odds of TT (nats)"
    assert legend(figure) == ["DS: 2 fields, 1 well", "TT: 2 fields, 1 well"]
    assert sum(patch.get_height() for patch in top.patches) == 4


def test_score_distributions_need_a_score():
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.score_distributions({"DS": [np.nan]}, {}, score="score")


def test_confusion_matrix_has_counts_and_percent_of_each_true_class():
    figure = figures.confusion_matrix([0, 0, 0, 1], [0, 0, 1, 1], ["DS", "TT"])
    axes = figure.axes[0]
    assert texts(axes) == ["2\n67 %", "1\n33 %", "0\n0 %", "1\n100 %"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_confusion_matrix_refuses_unknown_places():
    with pytest.raises(ValueError, match="pass 0 to 1"):
        figures.confusion_matrix([0, 2], [0, 1], ["DS", "TT"])


def test_beside_baseline_shows_each_value_once():
    rows = [
        {"model": "resnext", "kind": "network", "wells/accuracy": 0.9, "interval": (0.8, 1.0)},
        {"model": "autoencoder", "kind": "network"},
        {"model": "mean intensity", "kind": "baseline", "wells/accuracy": 1.0},
        {"model": "row, column", "kind": "position", "wells/accuracy": 0.5},
    ]
    figure = figures.baseline_comparison(rows)
    axes = figure.axes[0]
    assert texts(axes) == ["0.900", "1.000", "0.500"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["resnext", "mean intensity", "row, column"]
    assert legend(figure) == ["a network", "a threshold on intensity", "the position on the plate"]


def test_saved_figures_are_equal_byte_for_byte(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        save_figure(figures.confusion_matrix([0, 1], [0, 1], ["D$x$S", "$"]), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Image.open(paths[0]) as picture:
        assert picture.width > 300


def test_colours_follow_the_order_of_the_classes():
    assert class_colours(["WT", "DS"])["WT"] == PALETTE[0]
    assert len(set(class_colours([str(number) for number in range(7)]).values())) == 7


def test_learning_curves_of_no_run(curves):
    assert texts(figures.learning_curves(curves[:0].astype(object), ["val/log_loss"]).axes[0]) == ["not measured"]
