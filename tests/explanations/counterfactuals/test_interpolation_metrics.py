import numpy as np
import pytest
import torch

from leigh_mlops.explanations import class_means
from leigh_mlops.explanations.counterfactuals.interpolation import interpolate_to_class_mean, interpolate_to_image
from leigh_mlops.explanations.counterfactuals.interpolation_metrics import measure_frames, summarise_frames
from leigh_mlops.images import IntensityScale

SCALE = IntensityScale("linear", 255, (0.25, 0.5), (0.125, 0.0625))
CHANNELS, CLASSES = ("DAPI", "TMRM"), ("DS", "WT")


def measured(model, way):
    return measure_frames(model, way, SCALE.invert(way.frames.numpy()))


def test_an_exact_inverse_has_no_reencoding_error_and_another_model_has(flow, coder, images):
    way = interpolate_to_image(flow, flow.encode(images[:3]), flow.encode(images[3:6]), 4)
    assert measured(flow, way).reencoding_error.max() < 1e-12
    coder.matrix *= 1.5
    errors = measured(coder, way).reencoding_error
    # f(x) = 1.5 z, so that frame i misses by half its own latent.
    for step in range(5):
        expected = 0.5 * way.latent(step).flatten(1).norm(dim=1) / (way.end - way.start).flatten(1).norm(dim=1)
        np.testing.assert_allclose(errors[step], expected)


def test_change_is_counted_from_the_first_frame_in_raw_intensity(flow, images):
    way = interpolate_to_image(flow, flow.encode(images[:3]), flow.encode(images[3:6]), 4)
    change = measured(flow, way).change
    assert not change[0].any()
    difference = (images[3:6] - images[:3]).mean(dim=(2, 3)).numpy() * np.array([0.125, 0.0625]) * 255
    np.testing.assert_allclose(change[-1], difference, atol=1e-4)
    np.testing.assert_allclose(change[1], difference / 4, atol=1e-4)


def test_probabilities_are_those_of_the_frames(flow, coder, images):
    way = interpolate_to_image(flow, flow.encode(images[:3]), flow.encode(images[3:6]), 2)
    found = measured(flow, way)
    for step in range(3):
        np.testing.assert_allclose(found.probabilities[step], flow(way.frames[step]).softmax(dim=1))
    assert measured(coder, way).probabilities is None


def test_a_way_without_length_has_no_error(flow, images):
    assert np.isnan(
        measured(flow, interpolate_to_image(flow, flow.encode(images[:1]), flow.encode(images[:1]), 2)).reencoding_error
    ).all()


def test_rows_of_a_way_and_what_a_table_says_of_it(flow, images):
    means = class_means(flow, [(images, torch.arange(40) % 2)])
    found = measured(flow, interpolate_to_class_mean(flow, flow.encode(images[:3]), "WT", means, 4))
    found.reencoding_error[2, 1] = 0.5
    rows = found.rows(1, CHANNELS, CLASSES)
    assert [row["share"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    assert rows[3]["change_TMRM"] == found.change[3, 1, 1]
    said = summarise_frames(rows)
    assert said["interpolation_reencoding_error"] == 0.5
    assert said["interpolation_change_DAPI"] == found.change[-1, 1, 0]
    assert said["interpolation_probability_WT"] == pytest.approx(1 - said["interpolation_probability_DS"])
    assert set(said) == {f"interpolation_{name}" for name in rows[0] if name != "share"}
