"""Figures as the published work shows them."""

import numpy as np
import pytest

from leigh_mlops.report.published_figures import prediction_spread, training_curves

EPOCHS = [
    {"train/accuracy": 0.7, "train/loss": 0.6, "val/accuracy": 0.8, "val/loss": 0.5},
    {"train/accuracy": 0.9, "train/loss": 0.3, "val/accuracy": 1.0, "val/loss": 0.2},
]


def test_accuracy_and_loss_of_both_parts_stand_side_by_side():
    accuracy, loss = training_curves(EPOCHS).axes
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("accuracy", "loss")
    for axes, name in ((accuracy, "accuracy"), (loss, "loss")):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert lines.keys() == {"training", "validation"}
        assert lines["training"].get_ydata().tolist() == [metrics[f"train/{name}"] for metrics in EPOCHS]
        assert lines["validation"].get_ydata().tolist() == [metrics[f"val/{name}"] for metrics in EPOCHS]
        assert lines["validation"].get_xdata().tolist() == [1, 2]
    kept = training_curves(EPOCHS, kept=2).axes[0].get_lines()[-1]
    assert (kept.get_label(), list(kept.get_xdata())) == ("epoch kept (2)", [2, 2])


def test_a_network_without_classes_has_its_loss_alone():
    epochs = [{"train/loss": 1.0, "val/loss": float("nan")}, {"train/loss": 0.5, "val/loss": 0.7}]
    (axes,) = training_curves(epochs).axes
    training, validation = axes.get_lines()
    assert training.get_xdata().tolist() == [1, 2]
    assert validation.get_xdata().tolist() == [2]
    with pytest.raises(ValueError, match="no epoch has a finite accuracy or loss"):
        training_curves([{"val/mse": 1.0}])


def test_predictions_stand_by_true_class_with_the_band_of_z_prime():
    predictions = {"DS": [0.0, 0.1, 0.2], "TT": [0.9, 1.0, 0.8, 0.9]}
    (axes,) = prediction_spread(predictions, target="TT", z_prime=0.5).axes
    assert axes.get_ylabel() == "predicted probability of TT"
    assert axes.get_title(loc="left") == "Z' of probabilities (fields): 0.500"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["DS\n3 fields", "TT\n4 fields"]
    bars = [bar.get_segments()[0] for bar in axes.collections if hasattr(bar, "get_segments")]
    for values, ((_, low), (_, high)) in zip(predictions.values(), bars, strict=True):
        assert (low + high) / 2 == pytest.approx(np.mean(values))
        assert high - low == pytest.approx(6 * np.std(values, ddof=1))


def test_a_class_without_fields_is_drawn_empty():
    (axes,) = prediction_spread({"DS": [], "TT": [0.9, 1.0]}, target="TT").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["DS\n0 fields", "TT\n2 fields"]
    with pytest.raises(ValueError, match="there is no prediction"):
        prediction_spread({"DS": [], "TT": []}, target="TT")


@pytest.mark.parametrize("values", [[0.5, 1.1], [np.nan]])
def test_what_is_no_probability_is_refused(values):
    with pytest.raises(ValueError, match=r"the predictions of DS are not all in \[0, 1\]"):
        prediction_spread({"DS": values, "TT": [1.0]}, target="TT")
